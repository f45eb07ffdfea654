"""The server stays up, bounded and fair, whatever its clients do, and ends when it is told to."""

import contextlib
import os
import resource
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.authority import Authority
from tests.vfs.http.conftest import Serve, Served, Wire
from vfs.http import connection as connections
from vfs.http import loop as loops
from vfs.http import pool as pools
from vfs.http.listeners import unpace
from vfs.http.pool import THREADS

Environ = dict[str, Any]
Start = Callable[..., Any]
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
BIG = 20_000_000


def application(environ: Environ, start: Start) -> Iterable[bytes]:
    """Answer "ok", what was sent, or much."""
    if environ["PATH_INFO"] == "/big":
        start("200 OK", [("Content-Length", str(BIG))])
        return (b"x" * 100_000 for _ in range(BIG // 100_000))
    data = environ["wsgi.input"].read() or b"ok"
    start("200 OK", [("Content-Length", str(len(data)))])
    return [data]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def counted(served: Served) -> int:
    return served.looped._loop._count


def pacing(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")


def test_nothing_paces_a_connection_of_this_machine(serve: Serve) -> None:
    served = serve(application)
    served.dial()
    waiting = served.looped._loop._waiting
    assert eventually(lambda: bool(waiting))
    assert [pacing(connection.socket) for connection in waiting.values()] == [b"reno"]


@pytest.mark.parametrize("address", ["", "::"])
def test_what_others_may_reach_is_paced_as_the_system_says(address: str) -> None:
    with socket.socket(socket.AF_INET6 if address else socket.AF_INET) as listener:
        before = pacing(listener)
        listener.bind((address, 0))
        unpace(listener)
        assert pacing(listener) == before


def reset(wire: Wire) -> None:
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


# Many


def test_idle_connections_cost_no_threads_and_little_memory(serve: Serve) -> None:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    served = serve(application)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= soft
    threads = threading.active_count()
    before = _resident_bytes()
    wires = [served.dial(source=f"127.0.2.{number % 4 + 1}") for number in range(2000)]
    for wire in wires:
        wire.send(GET)
    assert all(wire.reply().body == b"ok" for wire in wires)
    assert threading.active_count() <= threads + THREADS
    assert _resident_bytes() - before < 60_000_000  # both ends are in this process
    for wire in wires[::100]:
        wire.send(GET)
        assert wire.reply().body == b"ok"
    for wire in wires:
        wire.close()
    assert eventually(lambda: counted(served) == 0)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_connections_of_one_address_are_limited(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "CONNECTIONS_PER_ADDRESS", 3)
    served = serve(application)
    wires = [served.dial(source="127.0.2.1") for _ in range(3)]
    refused = served.dial(source="127.0.2.1")
    with contextlib.suppress(ConnectionResetError):
        assert refused.is_at_end()
    other = served.dial(source="127.0.2.2")
    other.send(GET)
    assert other.reply().body == b"ok"
    wires[0].close()
    assert eventually(lambda: counted(served) == 3)
    again = served.dial(source="127.0.2.1")
    again.send(GET)
    assert again.reply().body == b"ok"


# Python leaves it to the collector to close a socket that was reset before it could be wrapped.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize("secure", [False, True])
def test_connections_that_are_reset_at_once_are_counted_out(
    serve: Serve, authority: Authority, *, secure: bool
) -> None:
    """With TLS, a socket that is gone already cannot even be wrapped."""
    served = serve(application, authority if secure else None)
    before = descriptors()
    for _ in range(300):
        reset(served.dial())
    assert eventually(lambda: counted(served) == 0)
    assert eventually(lambda: descriptors() <= before)


# Slow


def test_heads_that_take_too_long_end(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(loops, "EXPIRE_SECONDS", 0.05)
    served = serve(application)
    silent, half, dripping = served.dial(), served.dial(), served.dial()
    half.send(GET[:10])
    behind = served.dial()
    behind.send(GET + GET[:10])
    assert behind.reply().body == b"ok"
    with contextlib.suppress(OSError):
        for byte in GET[:-1]:
            dripping.send(bytes([byte]))
            time.sleep(0.03)
    for wire in (silent, half, behind):
        assert wire.is_at_end()
    assert eventually(lambda: counted(served) == 0, 2)


def test_idle_connections_end(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(loops, "EXPIRE_SECONDS", 0.05)
    wire = serve(application).dial()
    wire.send(GET)
    assert wire.reply().body == b"ok"
    assert wire.is_at_end()


def test_refused_clients_that_stay_hold_no_thread(serve: Serve) -> None:
    """They are given time to read their answer, but not a thread to do so."""
    served = serve(application)
    wires = [served.dial(source=f"127.0.2.{number % 4 + 1}") for number in range(4 * THREADS)]
    for wire in wires:
        wire.send(b"GET / HTTP/1.1\r\n\r\n")
    began = time.monotonic()
    assert served.ask(GET).body == b"ok"
    assert time.monotonic() - began < 1
    assert all(wire.reply().status == 400 for wire in wires)
    assert eventually(lambda: counted(served) == 0)


def test_slow_readers_and_writers_leave_threads_for_others(serve: Serve) -> None:
    served = serve(application)
    pool = served.looped._pool
    slow = [served.dial(receive_bytes=4096) for _ in range(2 * THREADS)]
    for number, wire in enumerate(slow):
        body = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx"
        wire.send(body if number % 2 else GET.replace(b"/ ", b"/big "))
    assert eventually(lambda: pool._blocked == len(slow))
    assert pool._size >= len(slow) + THREADS
    began = time.monotonic()
    assert served.ask(GET).body == b"ok"
    assert time.monotonic() - began < 1
    for wire in slow:
        reset(wire)
    assert eventually(lambda: pool._blocked == 0)
    assert eventually(lambda: pool._size <= 2 * THREADS)
    assert eventually(lambda: len(pool._busy) == pool._size)


def test_more_slow_transfers_than_the_pool_can_bear_are_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "THREADS_MAX", THREADS + 4)
    served = serve(application)
    wires = [served.dial() for _ in range(THREADS)]
    for wire in wires:
        wire.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx")
    pool = served.looped._pool
    assert eventually(lambda: pool._blocked == THREADS // 2 + 4)
    assert served.ask(GET).body == b"ok"
    for wire in wires[:-1]:
        wire.send(b"x" * 8)
    replies = [wire.reply() for wire in wires[:-1]]
    refused = [reply for reply in replies if reply.status == 503]
    assert refused
    assert all(reply.headers["Retry-After"] == "5" for reply in refused)


def test_a_handshake_blocks_nobody(
    serve: Serve, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(loops, "EXPIRE_SECONDS", 0.05)
    served = serve(application, authority)
    threads = threading.active_count()
    never = [served.dial() for _ in range(2 * THREADS)]
    for wire in never[::2]:
        wire.send(b"\x16\x03\x01\x02\x00\x01")  # the start of a ClientHello
    began = time.monotonic()
    wire = served.dial_tls()
    wire.send(GET)
    assert wire.reply().body == b"ok"
    assert time.monotonic() - began < 1
    assert threading.active_count() == threads
    assert all(wire.is_at_end() for wire in never)


def test_garbage_instead_of_a_handshake_ends(serve: Serve, authority: Authority) -> None:
    served = serve(application, authority)
    for garbage in (os.urandom(300), b"\0" * 100, GET):
        wire = served.dial()
        wire.send(garbage)
        with contextlib.suppress(ConnectionResetError):
            wire.stream.read()  # an alert may come first
    with pytest.raises(ssl.SSLError):
        # Whoever does not trust the certificate leaves in the middle of the handshake.
        ssl.create_default_context().wrap_socket(served.dial().socket, server_hostname="127.0.0.1")
    wire = served.dial_tls()
    wire.send(GET)
    assert wire.reply().body == b"ok"


# Races


def test_counts_hold_under_connections_that_come_and_go(serve: Serve) -> None:
    """Descriptors are used again at once; no connection may be taken for another."""
    served = serve(application)
    served.ask(GET)
    before = descriptors()
    wrong: list[object] = []

    def come_and_go(number: int) -> None:
        try:
            for turn in range(60):
                wire = served.dial(source=f"127.0.2.{number + 1}")
                for step in range(turn % 4):
                    body = b"%d.%d.%d" % (number, turn, step)
                    wire.send(
                        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b"
                        % (len(body), body)
                    )
                    got = wire.reply().body
                    if got != body:
                        wrong.append((body, got))
                if turn % 3:
                    wire.send(GET[: turn % 20])
                reset(wire) if turn % 2 else wire.close()
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=come_and_go, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    loop = served.looped._loop
    assert eventually(lambda: loop._count == 0)
    assert loop._by_address == {}
    assert loop._waiting == {}
    assert eventually(lambda: descriptors() <= before)
