"""Memory stays bounded and flat under a mixed load, in each process."""

import os
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
# What a phase may find more than the one after the first: tables and pools that fill.
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
    files = tmp_path / "own" / "files"
    files.mkdir(parents=True)
    (files / "big").write_bytes(os.urandom(16 << 20))
    (files / "many").mkdir()
    for number in range(2000):
        (files / "many" / f"file {number}").write_bytes(b"x")
    with accounts.launch(tmp_path / "own", workers=workers) as daemon:
        target = accounts.as_user(daemon.target, "ann", accounts.add_user(daemon, "ann"))
        most = [_phase(daemon, target, number) for number in range(PHASES)]
    print("\nmost PSS of one process in each phase, in MiB:", [round(one, 1) for one in most])
    assert max(most) <= PSS_MAX_MIB[workers]
    assert most[-1] - most[1] <= GROWTH_MAX_MIB


def _phase(daemon: Daemon, target: Target, number: int) -> float:
    """Load the gateway for a while; return the most that one of its processes took."""
    faults: list[Exception] = []
    end = time.monotonic() + PHASE_SECONDS
    threads = [
        threading.Thread(target=_load, args=(target, f"{number}-{client}", end, faults))
        for client in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    most = 0.0
    while any(thread.is_alive() for thread in threads):
        most = max(most, *map(pss_mib, [daemon.pid, *pack.workers(daemon)]))
        time.sleep(0.1)
    if faults:
        raise faults[0]
    return most


def _load(target: Target, name: str, end: float, faults: list[Exception]) -> None:
    try:
        with Client(target) as client:
            count = 0
            while time.monotonic() < end:
                count += 1
                _round(client, target, f"{name}-{count}", count)
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
