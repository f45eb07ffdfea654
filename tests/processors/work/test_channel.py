"""A channel keeps messages, their descriptors and the bytes of sources apart, however they come."""

import os
import socket
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from processors.work.channel import Channel
from processors.work.wire import Fork, Hello, Members, Progress, Read


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    one, other = socket.socketpair()
    ends = Channel(one), Channel(other)
    yield ends
    for end in ends:
        end.close()


def test_descriptors_come_with_the_message_that_they_were_sent_beside(
    pair: tuple[Channel, Channel],
) -> None:
    ours, theirs = pair
    made = [os.open("/dev/null", os.O_RDONLY), *os.pipe()]
    ours.send(Members())
    ours.send(Hello(1), made[:1])
    ours.send(Fork())
    ours.send(Hello(2), made[1:])
    got = [theirs.receive() for _ in range(4)]
    assert [message for message, _ in got] == [Members(), Hello(1), Fork(), Hello(2)]
    assert [len(descriptors) for _, descriptors in got] == [0, 1, 0, 2]
    for sent, (_, came) in ((made[:1], got[1]), (made[1:], got[3])):
        for mine, other in zip(sent, came, strict=True):
            assert os.path.sameopenfile(mine, other)
            assert not os.get_inheritable(other)
            os.close(mine)
            os.close(other)


def test_pieces_of_a_source_come_whole_after_and_before_messages(
    pair: tuple[Channel, Channel],
) -> None:
    ours, theirs = pair
    pieces = [b"", b"x", os.urandom(40_000), os.urandom(3_000_000), b"end"]

    def give() -> None:
        ours.send(Progress(1, 2))
        for piece in pieces:
            ours.send_piece(piece)
        ours.send_read_failed()
        ours.send(Progress(2, 2))

    thread = threading.Thread(target=give)
    thread.start()
    assert theirs.receive()[0] == Progress(1, 2)
    for piece in pieces:
        assert theirs.receive_piece() == bytearray(piece)
    assert theirs.receive_piece() is None
    assert theirs.receive()[0] == Progress(2, 2)
    thread.join()


def test_a_long_message_comes_whole(pair: tuple[Channel, Channel]) -> None:
    ours, theirs = pair
    read = Read(tuple((number, 1) for number in range(200_000)))
    thread = threading.Thread(target=ours.send, args=(read,))
    thread.start()
    assert theirs.receive()[0] == read
    thread.join()


def test_who_is_gone_and_who_talks_nonsense_are_told_apart() -> None:
    for data, error in (
        (b"", EOFError),
        (b"\0\0", EOFError),
        (b"\0\0\0\1\0", EOFError),
        (b"\xff\xff\xff\xff\0", msgspec.DecodeError),
        (b"\0\0\0\1\0\xc1", msgspec.DecodeError),
        (b"\0\0\0\1\1\xc0", msgspec.DecodeError),
    ):
        one, other = socket.socketpair()
        one.sendall(data)
        one.close()
        channel = Channel(other)
        with pytest.raises(error):
            channel.receive()
        channel.close()


def test_it_is_looked_now_and_then_while_nothing_comes() -> None:
    one, other = socket.socketpair()
    channel = Channel(other, look_seconds=0.02)
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            one.sendall(b"\0\0")  # a part of a message alone ends no waiting
        if looks == 4:
            raise LookupError

    with pytest.raises(LookupError):
        channel.receive(look)
    assert looks == 4
    one.close()
    channel.close()


def test_who_takes_and_gives_nothing_is_not_waited_for() -> None:
    one, other = socket.socketpair()
    channel = Channel(other, look_seconds=0.02, patience_seconds=0.1)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        channel.receive()
    with pytest.raises(TimeoutError):
        channel.send_piece(bytes(64 << 20))
    with pytest.raises(TimeoutError):
        channel.send(Read(tuple((number, 1) for number in range(1_000_000))))
    assert time.monotonic() - began < 10
    one.close()
    channel.close()


def test_silence_ends_with_a_word_and_with_the_other_side(pair: tuple[Channel, Channel]) -> None:
    ours, theirs = pair
    assert theirs.is_silent()
    ours.send(Fork())
    assert not theirs.is_silent()
    theirs.receive()
    assert theirs.is_silent()
    ours.send(Fork())
    ours.send(Fork())
    theirs.receive()
    assert not theirs.is_silent()
    theirs.receive()
    ours.close()
    assert not theirs.is_silent()
