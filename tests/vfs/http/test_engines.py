"""Both engines speak the same HTTP: what keeps a connection decides nothing about its requests."""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, get_args

import pytest

from providers.errors import Unavailable
from tests.servers.authority import Authority
from tests.vfs.http.conftest import Serve, Served, Wire
from vfs.http import head as heads
from vfs.http import held
from vfs.http.server import Engine

Environ = dict[str, Any]
Start = Callable[..., Any]
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
BIG = 20_000_000


def application(environ: Environ, start: Start) -> Iterable[bytes]:
    """Answer what was sent, or much, or refuse without reading."""
    match environ["PATH_INFO"]:
        case "/big":
            start("200 OK", [("Content-Length", str(BIG))])
            return (b"x" * 100_000 for _ in range(BIG // 100_000))
        case "/stream":
            start("200 OK", [])
            return (b"x" * 1000 for _ in range(100))
        case "/refuse":
            start("403 Forbidden", [("Content-Length", "2")])
            return [b"no"]
        case "/broken":
            start("200 OK", [])
            return _broken()
    data = environ["wsgi.input"].read() or b"ok"
    start("200 OK", [("Content-Length", str(len(data)))])
    return [data]


def _broken() -> Iterable[bytes]:
    yield b"x" * 1000
    raise Unavailable(detail="the store is gone")


@pytest.fixture(params=[(engine, tls) for engine in get_args(Engine) for tls in (False, True)])
def served(request: pytest.FixtureRequest, serve: Serve, authority: Authority) -> Served:
    engine, tls = request.param
    return serve(application, authority if tls else None, engine)


@pytest.fixture
def wire(served: Served) -> Wire:
    return served.dial_tls() if served.authority else served.dial()


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: h", *lines, "", "")).encode()


def test_many_requests_on_one_connection(wire: Wire) -> None:
    for number in range(20):
        wire.send(GET)
        assert wire.reply().body == b"ok"
        body = b"%d" % number * 50_000
        wire.send(head("PUT", "/", f"Content-Length: {len(body)}") + body)
        assert wire.reply().body == body


def test_requests_that_come_together_are_answered_in_order(wire: Wire) -> None:
    wire.send(b"".join(head("PUT", "/", "Content-Length: 1") + b"%d" % n for n in range(10)))
    assert [wire.reply().body for _ in range(10)] == [b"%d" % n for n in range(10)]


def test_a_head_that_comes_byte_by_byte(wire: Wire) -> None:
    for byte in GET:
        wire.send(bytes([byte]))
    assert wire.reply().body == b"ok"


def test_chunks_in_and_out(wire: Wire) -> None:
    wire.send(head("PUT", "/", "Transfer-Encoding: chunked"))
    for _ in range(100):
        wire.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    wire.send(b"0\r\n\r\n")
    assert wire.reply().body == b"x" * 100_000
    wire.send(head("GET", "/stream"))
    reply = wire.reply()
    assert (reply.body, reply.headers["transfer-encoding"]) == (b"x" * 100_000, "chunked")


def test_a_long_body_to_a_client_that_takes_its_time(wire: Wire) -> None:
    wire.send(head("GET", "/big"))
    time.sleep(0.2)
    assert len(wire.reply().body) == BIG


def test_a_head_has_no_body(wire: Wire) -> None:
    wire.send(head("HEAD", "/big") + GET)
    assert wire.reply("HEAD").headers["content-length"] == str(BIG)
    assert wire.reply().body == b"ok"


def test_continue_comes_with_the_first_read_and_not_before(wire: Wire) -> None:
    asks = ("Content-Length: 5", "Expect: 100-continue")
    wire.send(head("PUT", "/", *asks))
    assert wire.stream.read(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.send(b"12345")
    assert wire.reply().body == b"12345"
    wire.send(head("PUT", "/refuse", *asks))
    assert wire.reply().status == 403
    assert wire.is_at_end()


def test_who_is_refused_while_sending_gets_the_answer(wire: Wire) -> None:
    """However much of the body is under way."""
    wire.send(head("PUT", "/refuse", "Content-Length: 1000000") + b"x" * 300_000)
    reply = wire.reply()
    assert (reply.status, reply.headers["connection"]) == (403, "close")


def test_a_small_rest_is_read_away(wire: Wire) -> None:
    wire.send(head("PUT", "/refuse", "Content-Length: 1000") + b"x" * 1000)
    assert wire.reply().status == 403
    wire.send(GET)
    assert wire.reply().body == b"ok"


@pytest.mark.parametrize("engine", get_args(Engine))
def test_a_cut_body_is_refused(serve: Serve, engine: Engine) -> None:
    wire = serve(application, None, engine).dial()
    wire.send(head("PUT", "/", "Content-Length: 1000") + b"x" * 999)
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.reply().status == 400
    assert wire.is_at_end()


def test_a_broken_answer_never_looks_whole(wire: Wire) -> None:
    wire.send(head("GET", "/broken"))
    assert not wire.reply().whole


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (
            b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\n12345\r\n", 400),
        (
            b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\n12345\r\n0\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * heads.HEAD_MAX_BYTES + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * heads.HEAD_MAX_BYTES, 431),
    ],
)
def test_what_is_no_proper_request_is_refused(wire: Wire, sent: bytes, status: int) -> None:
    """And the connection ends, so that nothing behind it is taken for a request."""
    wire.send(sent)
    assert wire.reply().status == status
    assert wire.is_at_end()


def test_old_clients_get_the_end_of_the_stream(wire: Wire) -> None:
    wire.send(b"GET /stream HTTP/1.0\r\n\r\n")
    assert wire.reply().body == b"x" * 100_000
    assert wire.is_at_end()


@pytest.mark.parametrize("engine", get_args(Engine))
def test_a_broken_answer_to_an_old_client_is_a_reset(serve: Serve, engine: Engine) -> None:
    wire = serve(application, None, engine).dial()
    wire.send(b"GET /broken HTTP/1.0\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        wire.stream.read()


def test_who_sends_no_head_has_to_go(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """On cheroot's threads, whatever it sends: a byte now and then does not help."""
    monkeypatch.setattr(held, "HEAD_SECONDS", 0.5)
    served = serve(application, None, "cheroot")
    silent, dripping = served.dial(), served.dial()
    for byte in GET[:20]:
        time.sleep(0.05)
        dripping.send(bytes([byte]))
    for wire in (silent, dripping):
        assert wire.reply().status == 408
        assert wire.is_at_end()


def test_a_stop_lets_an_answer_end(served: Served, wire: Wire) -> None:
    wire.send(head("GET", "/big"))
    assert wire.stream.read(1) == b"H"
    wire.stream.peek()
    stopping = threading.Thread(target=served.stop)
    stopping.start()
    left = len(wire.stream.read())
    stopping.join()
    assert left > BIG
