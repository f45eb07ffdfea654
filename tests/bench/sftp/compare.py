"""Measures providers.ssh and the provider on it side by side with sshfs and rclone.

    python -m tests.bench.sftp.compare [--rounds 5] [--delays 0,20,100] [--jobs read,small]
        [--clients sshfs,store]

Rounds are interleaved and their order rotates; printed are medians, and ratios to sshfs and rclone
(above 1 is better for us). Everything runs on this machine, so only ratios mean something.
"""

import argparse
import contextlib
import functools
import itertools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from providers.sftp_options import SftpOptions
from providers.ssh.login import Login
from providers.ssh.openssh import OpenSshStream
from providers.ssh.paramiko_channel import ParamikoStream
from tests.bench.sftp.clients import MIB, PIECE, Client, Mount, Ours, Rclone, Store
from tests.servers import sshd

JOBS = ("read", "random 1", "random 16", "write", "list", "small")
UNITS = {"read": "MB/s", "write": "MB/s", "list": "entries/s", "small": "files/s"}
ENTRIES = 10_000
SMALL = 1_000
_random = random.Random(5)
_numbers = itertools.count()  # each file is new, so that no kernel remembers it


def prepare(root: Path, rounds: int, size: int) -> None:
    """Make what is read: a folder of its own for each round, so that nobody has it cached."""
    (root / "new").mkdir()
    with (root / "big").open("wb") as big:
        for _ in range(size // MIB):
            big.write(os.urandom(MIB))
    for number in range(rounds):
        (root / f"many{number}").mkdir()
        for entry in range(ENTRIES):
            (root / f"many{number}" / f"file_{entry:05d}.dat").touch()
        (root / f"small{number}").mkdir()
        for entry in range(SMALL):
            (root / f"small{number}" / f"s{entry:04d}").write_bytes(os.urandom(4096))


def run(job: str, client: Client, root: Path, number: int, size: int) -> int | None:
    """Do one job once and return how much was done."""
    big = root / "big"
    if job == "read":
        return client.read(big)
    if job.startswith("random"):
        offsets = [block * PIECE for block in _random.sample(range(size // PIECE - 1), 1000)]
        return client.pieces(big, offsets, int(job.split()[1]))
    if job == "write":
        return client.write(root / "new" / str(next(_numbers)), size)
    if job == "list":
        return client.entries(root / f"many{number}")
    return client.small(root / f"small{number}")


@contextlib.contextmanager
def delayed(port: int, round_trip_ms: float) -> Iterator[int]:
    """Give a port that leads to `port` with a delay."""
    if not round_trip_ms:
        yield port
        return
    program = Path(__file__).with_name("delay.py")
    argv = [sys.executable, str(program), str(port), str(round_trip_ms / 2)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        try:
            yield int(proxy.stdout.readline())
        finally:
            proxy.terminate()


def clients(login: Login, root: Path, far: bool) -> dict[str, Callable[[], Client]]:
    """Return how each client is made; far away sshfs may have four connections, which help."""
    ssh = functools.partial(OpenSshStream, login)
    channel = functools.partial(ParamikoStream, login)
    more = 4 if far else 2
    options = SftpOptions(
        host=login.host,
        user=login.user,
        port=login.port,
        root=str(root),
        known_hosts=login.known_hosts,
        key_file=login.key_file,
        connections=more,
    )
    one = msgspec.structs.replace(options, connections=1)
    channels = msgspec.structs.replace(options, transport="paramiko")
    return {
        "sshfs": lambda: Mount(login, root, ("max_conns=4",) if far else ()),
        "rclone": lambda: Rclone(login, root),
        "ssh": lambda: Ours(ssh),
        f"ssh x{more}": lambda: Ours(ssh, more),
        "paramiko": lambda: Ours(channel),
        "store": lambda: Store(options, root),
        "store 1": lambda: Store(one, root),
        "store pk": lambda: Store(channels, root),
    }


def measure(
    names: dict[str, Client], job: str, root: Path, rounds: int, size: int
) -> dict[str, float]:
    """Return the median rate of each client in one job."""
    rates: dict[str, list[float]] = {name: [] for name in names}
    order = list(names)
    for number in range(rounds):
        turn = number % len(order)
        for name in order[turn:] + order[:turn]:
            start = time.monotonic()
            done = run(job, names[name], root, number, size)
            took = time.monotonic() - start
            for file in (root / "new").iterdir():
                file.unlink()
            if done is not None:
                rates[name].append(done / took / (1e6 if job in {"read", "write"} else 1))
    return {name: statistics.median(found) for name, found in rates.items() if found}


def show(job: str, delay: float, rates: dict[str, float]) -> None:
    """Print one row for each client."""
    for name, rate in rates.items():
        ratios = [
            f"{rate / rates[peer]:6.2f}x of {peer}" for peer in ("sshfs", "rclone") if peer in rates
        ]
        unit = UNITS.get(job, "reads/s")
        print(
            f"{delay:4g} ms  {job:10} {name:9} {rate:10.1f} {unit:9}  {'  '.join(ratios)}",
            flush=True,
        )


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--delays", default="0,20,100", help="round trips in ms")
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--clients", default="", help="sshfs, rclone, store, ...; else all")
    parser.add_argument("--size", type=int, default=256, help="MiB of the large file")
    parser.add_argument("--limit", type=float, default=4, help="seconds for one job")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where files lie")
    asked = parser.parse_args()
    Client.limit_seconds = asked.limit
    size = asked.size * MIB
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        directory = Path(folder)
        with sshd.launch(directory) as server:
            assert server.target.root is not None
            root = server.target.root
            prepare(root, asked.rounds, size)
            near = Login(
                host="127.0.0.1",
                port=server.target.port,
                user=server.target.user,
                known_hosts=server.known_hosts,
                key_file=server.key,
            )
            for delay in map(float, asked.delays.split(",")):
                with delayed(near.port, delay) as port:
                    line = f"[127.0.0.1]:{port} {server.host_key}\n"
                    server.known_hosts.write_text(line)
                    login = msgspec.structs.replace(near, port=port)
                    ways = clients(login, root, far=delay > 0)
                    wanted = asked.clients.split(",") if asked.clients else ways
                    found = {name: ways[name]() for name in wanted}
                    try:
                        for job in asked.jobs.split(","):
                            show(job, delay, measure(found, job, root, asked.rounds, size))
                    finally:
                        for client in found.values():
                            client.close()


if __name__ == "__main__":
    main()
