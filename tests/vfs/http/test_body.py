"""A body arrives whole or not at all, and no more of it is asked for than somebody reads."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.http import connection as connections
from vfs.http import pace
from vfs.http.bad_request import BadRequest
from vfs.http.body import CONTINUE, DRAIN_BYTES, Body
from vfs.http.chunks import FRAMING_BYTES
from vfs.http.connection import Connection
from vfs.http.head import Head
from vfs.http.line import Host, PeerLost

MakeHead = Callable[..., Head]


class Both(Protocol):
    """The fixture `pair`."""

    host: Host
    client: socket.socket
    line: Connection

    def close(self) -> None: ...


def chunks(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


def all_of(body: Body, size: int) -> bytes:
    return b"".join(iter(lambda: body.read(size), b""))


def in_blocks(body: Body, size: int) -> bytes:
    return b"".join(bytes(block) for block in body.blocks(size))


def both_ways(body: Body, size: int) -> bytes:
    return body.read(1) + b"".join(itertools.islice(map(bytes, body.blocks(size)), 1)) + body.read()


Way = Callable[[Body, int], bytes]
WAYS = pytest.mark.parametrize("way", [all_of, in_blocks, both_ways])


@pytest.fixture
def send(pair: Both) -> Iterator[Callable[[bytes], None]]:
    """Send in a thread of its own, as a peer does."""
    threads = []

    def push(data: bytes) -> None:
        with contextlib.suppress(OSError):
            pair.client.sendall(data)

    def start(data: bytes) -> None:
        thread = threading.Thread(target=push, args=(data,))
        thread.start()
        threads.append(thread)

    yield start
    pair.close()
    for thread in threads:
        thread.join()


@WAYS
@pytest.mark.parametrize("size", [1, 3, 1000, 100_000, 10_000_000])
def test_counted_body(
    pair: Both, make_head: MakeHead, send: Callable[[bytes], None], size: int, way: Way
) -> None:
    data = bytes(range(256)) * (4000 if size > 3 else 4)
    body = Body(pair.line, make_head(length=len(data)))
    send(data + b"GET /next")
    assert way(body, size) == data
    assert body.received == len(data)
    assert body.read(1) == b""
    assert body.settle()
    # What follows was left where it is.
    assert pair.line.receive(100) == b"GET /next"


@WAYS
@pytest.mark.parametrize("size", [1, 3, 1000, 10_000_000])
def test_chunked_body(
    pair: Both, make_head: MakeHead, send: Callable[[bytes], None], size: int, way: Way
) -> None:
    parts = [b"a", b"bc" * 500, b"d" * (300_000 if size > 3 else 10)]
    body = Body(pair.line, make_head(chunked=True))
    send(chunks(*parts, end=b"0;x=y\r\nTrailer: z\r\n\r\n"))
    assert way(body, size) == b"".join(parts)
    assert body.received == len(b"".join(parts))
    assert body.settle()


@given(
    parts=st.lists(st.binary(min_size=1, max_size=50), max_size=8),
    size=st.integers(1, 60),
    cuts=st.lists(st.integers(1, 400), max_size=6),
    way=st.sampled_from([all_of, in_blocks, both_ways]),
)
def test_chunks_may_be_cut_anywhere_by_the_network(
    parts: list[bytes], size: int, cuts: list[int], way: Way
) -> None:
    data = chunks(*parts)
    stops = sorted({cut for cut in cuts if cut < len(data)} | {0, len(data)})
    pieces = [data[start:end] for start, end in itertools.pairwise(stops)]
    head = Head()
    head.chunked = True
    body = Body(Network(pieces), head)  # type: ignore[arg-type] # as much as a body asks of a line
    assert way(body, size) == b"".join(parts)
    assert body.settle()


class Network:
    """A connection on which what was sent comes in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self.waited_seconds = 0.0

    def receive(self, size: int) -> bytes:
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    def receive_into(self, buffer: memoryview) -> int:
        data = self.receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def receive_now(self, size: int) -> bytes | None:
        return self.receive(size) if self._pieces else None


@pytest.mark.parametrize(
    ("head", "data"),
    [
        ({"length": 1000}, b"12345"),
        ({"length": 1000}, b""),
        ({"chunked": True}, b"5\r\nhello\r\n"),
        ({"chunked": True}, b"5\r\nhel"),
        ({"chunked": True}, b"5\r\nhello\r\n0\r\n"),
        ({"chunked": True}, b""),
    ],
)
@WAYS
def test_a_cut_body_never_looks_whole(
    pair: Both, make_head: MakeHead, head: dict[str, int], data: bytes, way: Way
) -> None:
    body = Body(pair.line, make_head(**head))
    pair.client.sendall(data)
    pair.client.shutdown(socket.SHUT_WR)
    with pytest.raises(BadRequest, match="the body was cut") as caught:
        way(body, 100)
    assert caught.value.status == 400
    assert not body.settle()


@pytest.mark.parametrize(
    "data",
    [
        b"5\nhello\n0\n\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"\r\nhello\r\n",
        b"fffffffffffffffff\r\nx",
        b"5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
        b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
        b"5\r\nhello\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
    ],
)
@WAYS
def test_malformed_chunks_are_refused(
    pair: Both, make_head: MakeHead, data: bytes, way: Way
) -> None:
    body = Body(pair.line, make_head(chunked=True))
    pair.client.sendall(data)
    pair.client.shutdown(socket.SHUT_WR)
    with pytest.raises(BadRequest, match="malformed"):
        way(body, 100)


def test_malformed_chunks_that_nobody_reads_only_end_the_connection(
    pair: Both, make_head: MakeHead
) -> None:
    """The answer is made already when the rest is looked at."""
    body = Body(pair.line, make_head(chunked=True))
    pair.client.sendall(b"no chunk\r\n")
    assert not body.settle()


def test_what_follows_chunks_in_one_packet_ends_the_connection(
    pair: Both, make_head: MakeHead
) -> None:
    """Llhttp does not tell where the chunks ended, so what follows could be lost unseen."""
    body = Body(pair.line, make_head(chunked=True))
    pair.client.sendall(chunks(b"hello") + b"G")
    assert body.read() == b"hello"
    assert not body.settle()


@pytest.mark.parametrize(
    "flood",
    [
        b"1;" + b"x" * 200_000 + b"\r\na\r\n",
        b"1\r\na\r\n0\r\n" + b"".join(b"T%d: x\r\n" % n for n in range(20_000)),
    ],
    ids=["extension", "trailers"],
)
@WAYS
def test_framing_is_bounded(
    pair: Both, make_head: MakeHead, send: Callable[[bytes], None], flood: bytes, way: Way
) -> None:
    assert len(flood) > FRAMING_BYTES
    body = Body(pair.line, make_head(chunked=True))
    send(flood)
    with pytest.raises(BadRequest, match="nearly all framing"):
        way(body, 1000)


@WAYS
def test_one_byte_chunks_are_allowed(
    pair: Both, make_head: MakeHead, send: Callable[[bytes], None], way: Way
) -> None:
    body = Body(pair.line, make_head(chunked=True))
    send(chunks(*[b"x"] * 60_000))
    assert way(body, 10_000) == b"x" * 60_000


def test_lines(pair: Both, make_head: MakeHead) -> None:
    body = Body(pair.line, make_head(length=9))
    pair.client.sendall(b"ab\ncd\n\nef")
    assert body.readline(1) == b"a"
    assert list(body) == [b"b\n", b"cd\n", b"\n", b"ef"]


# 100 Continue


def received(client: socket.socket) -> bytes:
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        return client.recv(1000)
    return b""


@pytest.mark.parametrize("head", [{"length": 6}, {"chunked": True}])
def test_continue_is_sent_once_and_only_at_the_first_read(
    pair: Both, make_head: MakeHead, head: dict[str, int]
) -> None:
    body = Body(pair.line, make_head(**head, expects=True))
    assert body.read(0) == b""
    assert received(pair.client) == b""
    pair.client.setblocking(True)
    pair.client.sendall(b"abcdef" if "length" in head else chunks(b"abcdef"))
    assert body.read(2) == b"ab"
    assert received(pair.client) == CONTINUE
    assert body.read() == b"cdef"
    assert received(pair.client) == b""
    assert body.settle()


def test_whoever_never_reads_never_asks(pair: Both, make_head: MakeHead) -> None:
    body = Body(pair.line, make_head(length=6, expects=True))
    assert not body.settle()
    assert received(pair.client) == b""


def test_an_empty_body_is_not_waited_for(pair: Both, make_head: MakeHead) -> None:
    assert Body(pair.line, make_head()).read() == b""


# The rest


@pytest.mark.parametrize("chunked", [False, True])
def test_a_small_rest_is_read_away(pair: Both, make_head: MakeHead, *, chunked: bool) -> None:
    body = Body(pair.line, make_head(length=0 if chunked else 1000, chunked=chunked))
    pair.client.sendall(chunks(b"x" * 1000) if chunked else b"x" * 1000)
    assert body.read(10) == b"x" * 10
    assert body.settle()


def test_a_rest_that_is_not_there_yet_is_not_waited_for(pair: Both, make_head: MakeHead) -> None:
    body = Body(pair.line, make_head(length=1000))
    pair.client.sendall(b"x" * 999)
    assert not body.settle()


def test_a_large_rest_is_left(
    pair: Both, make_head: MakeHead, send: Callable[[bytes], None]
) -> None:
    size = 50 * DRAIN_BYTES
    body = Body(pair.line, make_head(length=size))
    send(b"x" * size)
    body.read(1)
    assert not body.settle()


# Pace


def test_a_silent_peer_is_given_up(
    pair: Both, make_head: MakeHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STALL_SECONDS", 0.05)
    with pytest.raises(BadRequest) as caught:
        Body(pair.line, make_head(length=3)).read()
    assert caught.value.status == 408


def test_a_dripping_peer_is_given_up(
    pair: Both, make_head: MakeHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "GRACE_SECONDS", 0.1)
    over = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            while not over.wait(0.01):
                pair.client.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        with pytest.raises(BadRequest, match="slower than"):
            Body(pair.line, make_head(length=100_000)).read()
    finally:
        over.set()
        thread.join()


def test_a_slow_store_is_not_the_peers_fault(
    pair: Both, make_head: MakeHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time counts only while the peer is waited for."""
    monkeypatch.setattr(pace, "GRACE_SECONDS", 0.0)
    body = Body(pair.line, make_head(length=8))
    pair.client.sendall(b"12345678")
    for _ in range(4):
        assert len(body.read(2)) == 2
        threading.Event().wait(0.02)


def test_a_lost_peer_is_told_from_any_other_failure(pair: Both, make_head: MakeHead) -> None:
    body = Body(pair.line, make_head(length=8, expects=True))
    pair.client.close()
    with pytest.raises(PeerLost):
        body.read()
