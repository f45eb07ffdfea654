"""Measures Headgate side by side with Apache, nginx and rclone, which are started here.

    python -m tests.bench.http run [--rounds 5] [--only get1,small16] [--mode open,login,tls]

Rounds are interleaved and their order rotates; printed are medians. Client and servers share the
machine, so only ratios mean something. Apache, nginx (with dav-ext), wrk and rclone are needed; a
peer that is not there is left out and told. Run it as root, so that all servers may write.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from tests.bench.http import fixtures, peers, table, workloads
from tests.bench.http.fixtures import Sizes
from tests.bench.http.table import Samples
from tests.bench.http.workloads import Place, Workload
from tests.servers.authority import make_authority
from tests.servers.daemon import Daemon

MODES = {
    "open": "Without login",
    "login": "With Basic auth, rights and rules",
    "tls": "With TLS",
}
_PASSWORD = "correct horse battery staple"


def measure(
    mode: str,
    *,
    servers: list[str],
    only: list[str],
    rounds: int,
    sizes: Sizes,
    root: Path,
    progress: Progress,
) -> tuple[Samples, list[str]]:
    """Measure in one mode; return the numbers, and what to tell about them."""
    of_mode: Mapping[str, Workload] = (
        workloads.TLS_WORKLOADS if mode == "tls" else workloads.WORKLOADS
    )
    chosen = {name: run for name, run in of_mode.items() if not only or name in only}
    samples: Samples = {}
    if not chosen:
        return samples, []
    with _setting(mode, root) as setting, peers.running(servers, setting) as (daemons, notes):
        for name, daemon in list(daemons.items()):
            try:
                workloads.check(daemon, sizes, root) if mode != "tls" else None
            except Exception as error:
                notes.append(f"{name} is left out: {error}")
                del daemons[name]
        names = list(daemons)
        task = progress.add_task(MODES[mode], total=rounds * len(chosen) * len(names))
        with tempfile.TemporaryFile() as upload:
            place = Place(sizes, upload)
            for turn in range(rounds):
                for workload, run in chosen.items():
                    for number in range(len(names)):
                        name = names[(number + turn) % len(names)]
                        progress.update(task, description=f"{MODES[mode]}: {workload}, {name}")
                        notes.extend(_once(run, daemons[name], place, name, samples))
                        progress.advance(task)
    return samples, list(dict.fromkeys(notes))


def _once(
    run: Workload, daemon: Daemon, place: Place, name: str, samples: Samples
) -> Iterator[str]:
    """Run one workload on one server; yield what went wrong."""
    try:
        for workload, numbers in run(daemon, place):
            for unit, value in numbers.items():
                samples.setdefault((workload, unit), {}).setdefault(name, []).append(value)
    except Exception as error:
        yield f"{name}: {type(error).__name__}: {error}"


@contextlib.contextmanager
def _setting(mode: str, root: Path) -> Iterator[peers.Setting]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        authority = make_authority(folder) if mode == "tls" else None
        password = _PASSWORD if mode == "login" else None
        yield peers.Setting(root, folder, password=password, authority=authority)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.http",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["run"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mode", type=_names(MODES), default=list(MODES), help=",".join(MODES))
    known = [*workloads.WORKLOADS, *workloads.TLS_WORKLOADS]
    parser.add_argument("--only", type=_names(known), default=[], help=",".join(known))
    parser.add_argument(
        "--servers",
        type=_names(peers.LAUNCH),
        default=list(peers.LAUNCH),
        help=",".join(peers.LAUNCH),
    )
    parser.add_argument("--seconds", type=int, default=Sizes().seconds, help="of each wrk run")
    parser.add_argument("--root", type=Path, help="folder to serve; kept, and used again")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    given = parser.parse_args()
    sizes = Sizes(seconds=given.seconds)
    with contextlib.ExitStack() as stack:
        root = given.root or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root.parent.chmod(0o755) if given.root is None else None
        console = Console(stderr=True)
        progress = Progress(console=console, transient=True, disable=not sys.stderr.isatty())
        stack.enter_context(progress)
        fixtures.make(root, sizes)
        print(f"{table.machine()}; medians of {given.rounds} rounds")
        modes: dict[str, Samples] = {}
        for mode in given.mode:
            modes[mode], notes = measure(
                mode,
                servers=given.servers,
                only=given.only,
                rounds=given.rounds,
                sizes=sizes,
                root=root.resolve(),
                progress=progress,
            )
            if not modes[mode] and not notes:
                continue
            print(f"\n== {MODES[mode]} ==")
            ours = next((name for name in given.servers if name == peers.OURS), given.servers[0])
            for line in (*table.tables(modes[mode], given.servers, ours), "", *notes):
                print(line)
            sys.stdout.flush()
    if given.json:
        given.json.write_text(table.document(modes, given.rounds))


def _names(known: Mapping[str, object] | list[str]) -> "type[list[str]]":
    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {name!r}; known: {', '.join(known)}")
        return names

    return read  # type: ignore[return-value]


if __name__ == "__main__":
    main()
