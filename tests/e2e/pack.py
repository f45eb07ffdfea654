"""A gateway of several workers, and connections of which each is served by a known one."""

import contextlib
import http.client
import time
from collections.abc import Iterator
from os import major, minor
from pathlib import Path

from tests.e2e.wire import keep, send
from tests.servers.daemon import Daemon

START_SECONDS = 15


def workers(daemon: Daemon) -> list[int]:
    """Return the processes that serve, in the order in which they were started."""
    text = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text()
    return [int(child) for child in text.split() if is_running(int(child))]


def is_running(process: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def until_replaced(daemon: Daemon, gone: int, count: int) -> list[int]:
    """Wait until `count` workers serve again without `gone`, and return them."""
    end = time.monotonic() + START_SECONDS
    while True:
        found = workers(daemon)
        if gone not in found and len(found) == count:
            return found
        assert time.monotonic() < end, f"no worker took the place of {gone}"
        time.sleep(0.02)


def serving(daemon: Daemon, connection: http.client.HTTPConnection) -> int | None:
    """Return the worker that has the other end of a connection."""
    port = connection.sock.getsockname()[1]
    ours = f":{daemon.target.port:04X}", f":{port:04X}"
    inode = ""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(ours[0]) and fields[2].endswith(ours[1]):
            inode = f"socket:[{fields[9]}]"
    for worker in workers(daemon):
        for file in Path(f"/proc/{worker}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if inode and str(file.readlink()) == inode:
                    return worker
    return None


@contextlib.contextmanager
def each(daemon: Daemon, count: int = 2) -> Iterator[list[tuple[http.client.HTTPConnection, int]]]:
    """Open a connection to each of `count` workers, and keep them for a `with` block."""
    with contextlib.ExitStack() as stack:
        found: dict[int, http.client.HTTPConnection] = {}
        end = time.monotonic() + START_SECONDS
        while len(found) < count:
            assert time.monotonic() < end, f"of {workers(daemon)} only {list(found)} were met"
            connection = stack.enter_context(keep(daemon.target))
            send(connection, daemon.target, "OPTIONS")
            worker = serving(daemon, connection)
            if worker is not None:
                found.setdefault(worker, connection)
        yield [(connection, worker) for worker, connection in found.items()]


def holder(daemon: Daemon, file: Path) -> int | None:
    """Return the worker that has the lock of a file."""
    if not file.exists():
        return None
    status = file.stat()
    place = f"{major(status.st_dev):02x}:{minor(status.st_dev):02x}:{status.st_ino}"
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if place in fields and int(fields[4]) in workers(daemon):
            return int(fields[4])
    return None
