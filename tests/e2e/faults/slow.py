"""A client that takes its time does not take that of others."""

import concurrent.futures
import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator

from tests.e2e.faults.catalogue import Catalogue
from tests.e2e.wire import Fault, dial, expect, head, keep, put, send
from tests.servers.target import Target

CHECKS = Catalogue()

_SOCKETS = 200
_TLS_SOCKETS = 60
_SECONDS = 8


def _sources(kind: str) -> Iterator[str]:
    if kind == "one-address":
        return itertools.repeat("127.0.0.66")
    return (f"127.0.1.{number}" for number in itertools.cycle(range(1, 251)))


@contextlib.contextmanager
def _crowd(target: Target, start: bytes, drip: bytes, sources: Iterator[str]) -> Iterator[None]:
    """Hold many connections that each send `start` and then a byte now and then."""
    count = _TLS_SOCKETS if target.secure else _SOCKETS
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as stack:

        def join(source: str) -> None:
            # A server may refuse one too many from one address: that is an answer too.
            with contextlib.suppress(OSError):
                connection = stack.enter_context(dial(target, source=source, timeout=2))
                connection.sendall(start)
                sockets.append(connection)

        # All at once: a server with a short queue would else make the crowd wait to be one.
        with concurrent.futures.ThreadPoolExecutor(max_workers=count) as pool:
            list(pool.map(join, itertools.islice(sources, count)))
        over = threading.Event()

        def send_drops() -> None:
            while drip and not over.wait(1):
                for connection in sockets:
                    with contextlib.suppress(OSError):
                        connection.sendall(drip)

        thread = threading.Thread(target=send_drops)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


_KINDS = {
    "body": ("dripping body", b"x"),
    "headers": ("dripping headers", b"X: y\r\n"),
    "silent-head": ("a half head, then silence", b""),
    "silent-body": ("a head, then silence", b""),
}
_SHAPES = tuple(f"{kind}-{who}" for kind in _KINDS for who in ("one-address", "many-addresses"))


@CHECKS.check(*_SHAPES, plain="another user waits")
def slow_clients_hinder_nobody(target: Target, shape: str) -> None:
    """With 200 slow connections and no credentials, another's GET takes less than a second."""
    put(target, "f", b"quick")
    kind = next(kind for kind in _KINDS if shape.startswith(kind + "-"))
    who = shape.removeprefix(kind + "-")
    start = head(target, "PUT", "slow", {"Content-Length": "100000"})
    if kind in {"headers", "silent-head"}:
        start = start[:-2]
    worst = 0.0
    with _crowd(target, start, _KINDS[kind][1], _sources(who)):
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            begin = time.monotonic()
            try:
                with keep(target, timeout=3) as connection:
                    answer = send(connection, target, "GET", "f")
            except (OSError, Fault) as error:
                waited = time.monotonic() - begin
                raise Fault(f"another user waits {waited:.1f} s and gets {error!r}") from error
            worst = max(worst, time.monotonic() - begin)
            expect(answer.body == b"quick", f"another user gets {answer.status}")
            time.sleep(0.2)
    expect(worst < 1, f"another user waits {worst:.1f} s")
