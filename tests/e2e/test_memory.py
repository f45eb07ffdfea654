"""Memory stays bounded and flat under a mixed load, in each process.

    python -m tests.e2e.test_memory [--minutes 60] [--workers 2] [--clients 8] [--pause 0]

prints each minute what the largest process took, and fails like the test.
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tests.bench.http.client import Client, must
from tests.bench.http.meter import pss_mib
from tests.e2e import accounts, pack
from tests.e2e.wire import lock_body
from tests.servers import headgate
from tests.servers.daemon import Daemon
from tests.servers.target import Target

CLIENTS = 8
PHASES = 4
PHASE_SECONDS = 10
# By the number of workers: one alone bears the whole load, and shares no page of the program.
PSS_MAX_MIB = {1: 72, 2: 64}
# What the last phase may find more than the one after the first third, in which tables fill.
GROWTH_MAX_MIB = 6
XML = {"Content-Type": "application/xml"}
PROPPATCH = (
    b'<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>'
    b'<x:note xmlns:x="urn:test">%d</x:note></D:prop></D:set></D:propertyupdate>'
)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", [1, 2])
def test_memory_is_bounded_and_flat(tmp_path: Path, workers: int) -> None:
    run(tmp_path, workers=workers)


def run(
    folder: Path,
    *,
    workers: int,
    phases: int = PHASES,
    seconds: float = PHASE_SECONDS,
    clients: int = CLIENTS,
    pause: float = 0,
) -> None:
    """Load a gateway in phases, and judge what its processes took in each."""
    files = folder / "own" / "files"
    files.mkdir(parents=True)
    (files / "big").write_bytes(os.urandom(16 << 20))
    (files / "many").mkdir()
    for number in range(2000):
        (files / "many" / f"file {number}").write_bytes(b"x")
    most: list[float] = []
    with accounts.launch(folder / "own", workers=workers) as daemon:
        target = accounts.as_user(daemon.target, "ann", accounts.add_user(daemon, "ann"))
        for number in range(phases):
            faults: list[Exception] = []
            end = time.monotonic() + seconds
            threads = [
                threading.Thread(
                    target=_load, args=(target, f"{number}-{client}", end, pause, faults)
                )
                for client in range(clients)
            ]
            most.append(_most(daemon, threads))
            if faults:
                raise faults[0]
            print(f"phase {number + 1}: {most[-1]:.1f} MiB (PSS) in one process", flush=True)
    assert max(most) <= PSS_MAX_MIB[workers]
    assert most[-1] - most[phases // 3] <= GROWTH_MAX_MIB


def _most(daemon: Daemon, threads: list[threading.Thread]) -> float:
    """Run the threads; return the most that one process of the gateway took meanwhile."""
    for thread in threads:
        thread.start()
    most = 0.0
    while any(thread.is_alive() for thread in threads):
        most = max(most, *map(pss_mib, [daemon.pid, *pack.workers(daemon)]))
        time.sleep(0.1)
    return most


def _load(target: Target, name: str, end: float, pause: float, faults: list[Exception]) -> None:
    try:
        with Client(target) as client:
            count = 0
            while time.monotonic() < end:
                count += 1
                _round(client, target, f"{name}-{count}", count)
                time.sleep(pause)
    except Exception as error:
        faults.append(error)


def _round(client: Client, target: Target, name: str, count: int) -> None:
    """Do a bit of everything, with names that are new each time."""
    local = headgate.LOCAL
    path = f"{local}/{name}"
    must(client.ask("PUT", path, None, os.urandom(200_000)), 201)
    must(client.ask("PROPPATCH", path, XML, PROPPATCH % count), 207)
    held = must(client.ask("LOCK", path, {**XML, "Depth": "0"}, lock_body()), 200)
    token = held.headers["lock-token"]
    must(client.ask("PUT", path, {"If": f"({token})"}, b"locked"), 204)
    must(client.ask("UNLOCK", path, {"Lock-Token": token}), 204)
    must(client.ask("COPY", path, {"Destination": f"{target.url}{path}-copy"}), 201)
    must(client.ask("MOVE", f"{path}-copy", {"Destination": f"{target.url}{path}-moved"}), 201)
    must(client.ask("GET", f"{local}/big", drop=True), 200)
    must(client.ask("GET", f"{local}/big", {"Range": "bytes=1000-70000"}), 206)
    must(client.ask("PROPFIND", f"{local}/many/", {"Depth": "1"}), 207)
    must(client.ask("GET", f"{local}/none-{name}"), 404)
    for gone in (path, f"{path}-moved"):
        must(client.ask("DELETE", gone), 204)


def main() -> None:
    """Run it as long as was asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--workers", type=int, choices=sorted(PSS_MAX_MIB), default=2)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--pause", type=float, default=0, help="seconds between two rounds")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(
            Path(folder),
            workers=asked.workers,
            phases=asked.minutes,
            seconds=60,
            clients=asked.clients,
            pause=asked.pause,
        )


if __name__ == "__main__":
    main()
