"""One connection after another: framing, order, and what a failing application leaves."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.servers.authority import Authority
from tests.vfs.http.conftest import Serve, Served
from vfs.http.head import HEAD_MAX_BYTES

Environ = dict[str, Any]
Start = Callable[..., Any]

TEXT = ("Content-Type", "text/plain")


class Body:
    """An iterable with a close that is counted."""

    closed = 0

    def __init__(self, *blocks: bytes, error: Exception | None = None) -> None:
        self._blocks = blocks
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield from self._blocks
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        Body.closed += 1


def application(environ: Environ, start: Start) -> Iterable[bytes]:
    """Do what the path says."""
    match environ["PATH_INFO"].split("/")[1:]:
        case ["echo"]:
            data = environ["wsgi.input"].read()
            start("200 OK", [TEXT, ("Content-Length", str(len(data)))])
            return [data]
        case ["ignore"]:
            start("200 OK", [TEXT, ("Content-Length", "2")])
            return [b"ok"]
        case ["blocks", *names]:
            start("200 OK", [TEXT])
            return Body(*(name.encode() for name in names))
        case ["sized", size, *names]:
            start("200 OK", [TEXT, ("Content-Length", size)])
            return Body(*(name.encode() for name in names))
        case ["status", number]:
            start(f"{number} Whatever", [])
            return [b"a body that may not be sent"] if number in ("204", "304") else []
        case ["before"]:
            raise RuntimeError("before the start")
        case ["after"]:
            start("200 OK", [("X-Half", "yes"), ("Content-Length", "100")])
            raise RuntimeError("after the start")
        case ["during", *names]:
            start("200 OK", [TEXT])
            return Body(*(name.encode() for name in names), error=RuntimeError("in the middle"))
        case ["header", kind]:
            values = {"cr": "a\rb", "lf": "a\nX: b", "crlf": "a\r\nX: b", "nul": "a\0", "uni": "€"}
            start("200 OK", [("Location", values[kind]), ("Content-Length", "2")])
            return [b"ok"]
    start("200 OK", [TEXT, ("Content-Length", "0")])
    return []


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve(application)


def request(
    target: str, *lines: str, method: str = "GET", body: bytes = b"", version: str = "1.1"
) -> bytes:
    fields = ["Host: h", *lines]
    if body:
        fields.append(f"Content-Length: {len(body)}")
    return "\r\n".join((f"{method} {target} HTTP/{version}", *fields, "", "")).encode() + body


def test_one_connection_serves_many_requests(served: Served) -> None:
    wire = served.dial()
    for number in range(20):
        data = b"x" * number
        wire.send(request("/echo", method="PUT", body=data))
        assert wire.reply().body == data


def test_requests_in_one_packet_are_answered_in_order(served: Served) -> None:
    wire = served.dial()
    bodies = [b"one", b"GET /echo HTTP/1.1\r\n\r\n", b"", b"four\n\n"]
    wire.send(b"".join(request("/echo", method="PUT", body=body) for body in bodies) * 5)
    assert [wire.reply().body for _ in bodies * 5] == bodies * 5


def test_a_packet_may_end_anywhere(served: Served) -> None:
    data = request("/echo", method="PUT", body=b"one") + request("/blocks/a/b")
    for cut in range(1, len(data)):
        wire = served.dial()
        wire.send(data[:cut])
        time.sleep(0.001)
        wire.send(data[cut:])
        assert (wire.reply().body, wire.reply().body) == (b"one", b"ab")
        wire.close()


def test_what_follows_an_unread_body_is_still_understood(served: Served) -> None:
    wire = served.dial()
    wire.send(request("/ignore", method="PUT", body=b"y" * 1000) + request("/blocks/next"))
    assert wire.reply().body == b"ok"
    assert wire.reply().body == b"next"


def test_what_follows_chunks_in_one_packet_is_answered_or_sent_again(served: Served) -> None:
    """Nothing may be answered twice or out of step: the connection ends, and says so."""
    wire = served.dial()
    chunked = request("/echo", "Transfer-Encoding: chunked", method="PUT") + b"2\r\nab\r\n0\r\n\r\n"
    wire.send(chunked + request("/echo"))
    reply = wire.reply()
    assert (reply.body, reply.headers["Connection"]) == (b"ab", "close")
    assert wire.is_at_end()


def test_chunked_requests_one_after_the_other(served: Served) -> None:
    wire = served.dial()
    chunked = request("/echo", "Transfer-Encoding: chunked", method="PUT") + b"2\r\nab\r\n0\r\n\r\n"
    for _ in range(3):
        wire.send(chunked)
        assert wire.reply().body == b"ab"


@pytest.mark.parametrize(
    ("version", "lines", "goes_on"),
    [
        ("1.1", (), True),
        ("1.1", ("Connection: close",), False),
        ("1.0", (), False),
        ("1.0", ("Connection: keep-alive",), True),
    ],
)
def test_who_closes(served: Served, version: str, lines: tuple[str, ...], *, goes_on: bool) -> None:
    wire = served.dial()
    wire.send(request("/ignore", *lines, version=version))
    reply = wire.reply()
    assert reply.body == b"ok"
    assert (reply.headers["Connection"] == "close") is not goes_on
    if goes_on:
        wire.send(request("/ignore", *lines, version=version))
        assert wire.reply().body == b"ok"
    else:
        assert wire.is_at_end()


def test_old_clients_get_no_chunks(served: Served) -> None:
    wire = served.dial()
    wire.send(request("/blocks/a/b", "Connection: keep-alive", version="1.0"))
    reply = wire.reply()
    assert reply.body == b"ab"
    assert "Transfer-Encoding" not in reply.headers
    assert reply.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("HEAD", "/ignore"),
        ("HEAD", "/blocks/a/b"),
        ("HEAD", "/sized/9/a"),
        ("GET", "/status/204"),
        ("GET", "/status/304"),
    ],
)
def test_answers_without_body_have_none(served: Served, method: str, target: str) -> None:
    wire = served.dial()
    wire.send(request(target, method=method) + request("/blocks/next"))
    reply = wire.reply(method)
    assert reply.body == b""
    assert "Transfer-Encoding" not in reply.headers
    assert wire.reply().body == b"next"


def test_unknown_length_is_chunked(served: Served) -> None:
    reply = served.ask(request("/blocks/abc//def"))
    assert (reply.body, reply.headers["Transfer-Encoding"]) == (b"abcdef", "chunked")


def test_iterables_are_closed_once(served: Served) -> None:
    Body.closed = 0
    wire = served.dial()
    wire.send(request("/blocks/a"))
    wire.reply()
    # It is closed after its last byte left; the answer to the next request comes later still.
    wire.send(request("/echo"))
    wire.reply()
    assert Body.closed == 1


@pytest.mark.logs("a request failed")
@pytest.mark.parametrize("target", ["/before", "/after", "/during", "/header/uni"])
def test_a_failure_before_the_first_byte_is_a_500(served: Served, target: str) -> None:
    reply = served.ask(request(target))
    assert reply.status == 500
    assert reply.headers["X-Half"] is None
    assert "Transfer-Encoding" not in reply.headers
    assert b"log" in reply.body
    assert b"Error" not in reply.body


@pytest.mark.logs("a request failed")
@pytest.mark.parametrize("kind", ["cr", "lf", "crlf", "nul"])
def test_no_header_can_hold_a_line_break(served: Served, kind: str) -> None:
    reply = served.ask(request(f"/header/{kind}"))
    assert (reply.status, reply.headers["X"]) == (500, None)


@pytest.mark.logs("a request failed")
def test_a_failure_in_the_middle_cuts_the_answer(served: Served) -> None:
    Body.closed = 0
    assert not served.ask(request("/during/a/b")).whole
    assert Body.closed == 1


@pytest.mark.logs("a request failed")
def test_a_failure_is_seen_where_only_the_end_of_the_stream_ends_an_answer(served: Served) -> None:
    with pytest.raises(ConnectionResetError):
        served.ask(request("/during/a/b", version="1.0"))


def test_fewer_bytes_than_promised_cut_the_answer(served: Served) -> None:
    reply = served.ask(request("/sized/5/abc"))
    assert (reply.body, reply.whole) == (b"abc", False)


def test_more_bytes_than_promised_stay_here(served: Served) -> None:
    wire = served.dial()
    wire.send(request("/sized/2/abc/def") + request("/blocks/next"))
    assert wire.reply().body == b"ab"
    assert wire.reply().body == b"next"


def test_a_refused_request_ends_the_connection(served: Served) -> None:
    wire = served.dial()
    wire.send(b"GET / HTTP/1.1\r\n\r\n" + request("/echo"))
    reply = wire.reply()
    assert (reply.status, reply.headers["Connection"]) == (400, "close")
    assert wire.is_at_end()


def test_a_refusal_arrives_though_the_client_still_sends(served: Served) -> None:
    """Closed with unread data, a connection is reset, and what it carried is lost."""
    for _ in range(20):
        wire = served.dial()
        wire.send(b"PUT / HTTP/1.1\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000)
        assert wire.reply().status == 400
        wire.close()


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_head_is_bounded(served: Served, end: bytes) -> None:
    wire = served.dial()
    wire.send(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * HEAD_MAX_BYTES + end)
    assert wire.reply().status == 431


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01" * 10 + b"\r\n\r\n", b"\n\n", b"\r\n\r\n"])
def test_garbage_is_refused(served: Served, garbage: bytes) -> None:
    assert served.ask(garbage).status in (400, 501)


def test_plain_http_on_the_tls_port_ends(serve: Serve, authority: Authority) -> None:
    served = serve(application, authority)
    wire = served.dial()
    wire.send(request("/echo"))
    with contextlib.suppress(ConnectionResetError):
        assert not wire.is_at_end()  # a TLS alert
    tls = served.dial_tls()
    tls.send(
        request("/echo", method="PUT", body=b"x" * 100_000) + request("/blocks/a", version="1.0")
    )
    assert tls.reply().body == b"x" * 100_000
    assert tls.reply().body == b"a"
    # The end is signed, so that a cut cannot pass for it.
    assert tls.is_at_end()
