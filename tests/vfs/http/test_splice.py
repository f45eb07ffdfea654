"""A large body goes from its socket into the file, whole and in order, or not at all."""

import contextlib
import fcntl
import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from providers.errors import NoSpace
from vfs.http.bad_request import BadRequest
from vfs.http.body import PEEKED_BYTES, SPLICE_FROM_BYTES, Body
from vfs.http.connection import Connection
from vfs.http.line import PeerLost
from vfs.http.splice import LARGE_PIPES_MAX, PIPE_BYTES, Splice

MakeHead = Callable[..., object]
DATA = bytes(range(251)) * 20_000


class Both(Protocol):
    """The fixture `pair`."""

    client: socket.socket
    line: Connection

    def close(self) -> None: ...


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def send(pair: Both) -> Iterator[Callable[[bytes], None]]:
    threads = []

    def start(data: bytes) -> None:
        thread = threading.Thread(target=pair.client.sendall, args=(data,))
        thread.start()
        threads.append(thread)

    yield start
    pair.close()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    "sizes",
    [[1], [100_000], [1, 300_000, 5], [17_000], [4096, 70_000], [65_536, 65_536, 20_000, 70_000]],
)
@pytest.mark.parametrize("ahead", [0, 5, 20_000])
def test_chunks_arrive_whole(
    pair: Both,
    make_head: MakeHead,
    file: int,
    sizes: list[int],
    ahead: int,
) -> None:
    data = DATA[: 400_000 if sizes != [1] else 3000]
    sent = bytearray()
    left = data
    for size in itertools.cycle(sizes):
        if not left:
            break
        part, left = left[:size], left[size:]
        sent += b"%x\r\n%b\r\n" % (len(part), part)
    sent += b"0\r\n\r\n"
    pair.line._buffer += sent[:ahead]
    thread = threading.Thread(target=pair.client.sendall, args=(bytes(sent[ahead:]),))
    thread.start()
    body = Body(pair.line, make_head(chunked=True))  # type: ignore[arg-type] # it is a head
    body.splice(file, "/f")
    for block in body.blocks():
        os.write(file, block)
    thread.join()
    assert os.pread(file, len(data) + 1, 0) == data
    assert body.received == len(data)
    assert body.settle()


@pytest.mark.parametrize("sent", [b"186a0\r\nabc", b"186a0\r\n", b"5\r\nhello\r\n"])
def test_cut_chunks_never_look_whole(
    pair: Both, make_head: MakeHead, file: int, sent: bytes
) -> None:
    pair.client.sendall(sent)
    pair.client.shutdown(socket.SHUT_WR)
    body = Body(pair.line, make_head(chunked=True))  # type: ignore[arg-type] # it is a head

    def save() -> None:
        body.splice(file, "/f")
        list(body.blocks())

    with pytest.raises(BadRequest, match="the body was cut"):
        save()


@pytest.mark.parametrize("size", [40_000, 65_536])
def test_between_equal_chunks_nothing_of_the_next_is_received(
    pair: Both, make_head: MakeHead, file: int, size: int
) -> None:
    """All of it can then be moved; only what finds the second chunk's place is read."""
    read: list[int] = []
    receive = pair.line.receive_into

    def counting(buffer: memoryview) -> int:
        read.append(receive(buffer))
        return read[-1]

    pair.line.receive_into = counting  # type: ignore[method-assign]
    chunk = b"%x\r\n%b\r\n" % (size, DATA[:size])
    sent = chunk * 12 + b"0\r\n\r\n"
    thread = threading.Thread(target=pair.client.sendall, args=(sent,))
    thread.start()
    body = Body(pair.line, make_head(chunked=True))  # type: ignore[arg-type] # it is a head
    body.splice(file, "/f")
    for block in body.blocks():
        os.write(file, block)
    thread.join()
    assert os.pread(file, 13 * size, 0) == DATA[:size] * 12
    assert sum(read) < 3 * PEEKED_BYTES
    assert body.settle()


@pytest.mark.parametrize(
    "wrong", [b"xx9c40\r\n", b"\r\n-c40\r\n", b"\r\n9c40\n\r", b"\n\n9c40\r\n"]
)
def test_what_is_no_size_between_equal_chunks_is_refused(
    pair: Both, make_head: MakeHead, file: int, wrong: bytes
) -> None:
    content = DATA[:40_000]
    sent = b"9c40\r\n" + content + (b"\r\n9c40\r\n" + content) * 2 + wrong + content
    thread = threading.Thread(target=pair.client.sendall, args=(sent,))
    thread.start()
    body = Body(pair.line, make_head(chunked=True))  # type: ignore[arg-type] # it is a head

    def save() -> None:
        body.splice(file, "/f")
        list(body.blocks())

    with pytest.raises(BadRequest, match="chunk"):
        save()
    pair.line.interrupt()
    thread.join()


def body_of(pair: Both, make_head: MakeHead, length: int) -> Body:
    return Body(pair.line, make_head(length=length))  # type: ignore[arg-type] # it is a head


@pytest.mark.parametrize("ahead", [0, 100])
def test_it_arrives_whole_and_nothing_behind_it_is_touched(
    pair: Both, make_head: MakeHead, send: Callable[[bytes], None], file: int, ahead: int
) -> None:
    pair.line._buffer += DATA[:ahead]
    send(DATA[ahead:] + b"GET /next")
    body = body_of(pair, make_head, len(DATA))
    body.splice(file, "/f")
    assert list(body.blocks()) == []
    assert os.pread(file, len(DATA) + 1, 0) == DATA
    assert body.received == len(DATA)
    assert body.settle()
    assert pair.line.receive(100) == b"GET /next"


@pytest.mark.parametrize("length", [0, 1, SPLICE_FROM_BYTES - 1])
def test_a_small_one_is_left_to_be_read(
    pair: Both, make_head: MakeHead, send: Callable[[bytes], None], file: int, length: int
) -> None:
    if length:
        send(DATA[:length])
    body = body_of(pair, make_head, length)
    body.splice(file, "/f")
    assert b"".join(map(bytes, body.blocks())) == DATA[:length]
    assert not os.fstat(file).st_size


def test_a_file_that_cannot_be_spliced_into_gets_it_all_the_same(
    pair: Both, make_head: MakeHead, send: Callable[[bytes], None], tmp_path: Path
) -> None:
    """Linux splices into no file that is opened to append."""
    descriptor = os.open(tmp_path / "f", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    send(DATA)
    body = body_of(pair, make_head, len(DATA))
    body.splice(descriptor, "/f")
    for block in body.blocks():
        os.write(descriptor, block)
    os.close(descriptor)
    assert (tmp_path / "f").read_bytes() == DATA


@pytest.mark.parametrize("sent", [0, 1, len(DATA) - 1])
def test_a_cut_one_never_looks_whole(
    pair: Both, make_head: MakeHead, send: Callable[[bytes], None], file: int, sent: int
) -> None:
    body = body_of(pair, make_head, len(DATA))

    def cut() -> None:
        pair.client.sendall(DATA[:sent])
        pair.client.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=cut)
    thread.start()
    with pytest.raises(BadRequest, match="the body was cut"):
        body.splice(file, "/f")
    thread.join()


def test_few_pipes_are_large_and_none_is_lost(pair: Both, file: int) -> None:
    def sizes() -> list[int]:
        with contextlib.ExitStack() as stack:
            made = [Splice(pair.line, file, "/f") for _ in range(LARGE_PIPES_MAX + 2)]
            for splice in made:
                stack.callback(splice.close)
            return [fcntl.fcntl(splice._into, fcntl.F_GETPIPE_SZ) for splice in made]

    first = sizes()
    assert max(first[LARGE_PIPES_MAX:]) <= PIPE_BYTES
    assert sizes() == first


def test_a_full_disk_is_the_stores_failure(
    pair: Both, make_head: MakeHead, send: Callable[[bytes], None]
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    pair.client.sendall(DATA[:1000])
    try:
        with pytest.raises(NoSpace) as caught:
            body_of(pair, make_head, len(DATA)).splice(full, "/f")
    finally:
        os.close(full)
    assert caught.value.path == "/f"


def test_a_lost_peer_is_told_from_any_other_failure(
    pair: Both, make_head: MakeHead, file: int
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    body = body_of(pair, make_head, len(DATA))
    pair.line.interrupt()
    with pytest.raises((PeerLost, BadRequest)):
        body.splice(file, "/f")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
