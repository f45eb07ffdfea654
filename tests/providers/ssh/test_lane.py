"""What OpenSSH never sends, though it may: messages of any size between any pieces of data."""

import random
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from providers.ssh.lane import Lane
from providers.ssh.packets import Cipher, Packets

_KEY, _IV = bytes(range(16)), bytes(range(12))
_IGNORE, _DATA = 2, 94
_LARGEST = 64 << 10


Ends = tuple[Lane, Packets]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Give a lane, and what seals messages for it at the other end."""
    ours, theirs = socket.socketpair()
    packets, server = Packets(ours), Packets(theirs)
    packets.incoming = Cipher(AESGCM(_KEY), _IV)
    server.outgoing = Cipher(AESGCM(_KEY), _IV)
    packets.handled.set()
    clear = threading.Event()
    transport: Any = SimpleNamespace(clear_to_send=clear, is_active=lambda: True)
    channel: Any = SimpleNamespace(
        chanid=7, remote_chanid=7, out_window_size=1 << 20, out_max_packet_size=32 << 10
    )
    with ours, theirs:
        yield Lane(packets, transport, channel, window=64 << 20, largest=_LARGEST), server


def data(piece: bytes, channel: int = 7) -> paramiko.Message:
    """Return a message with a piece of data."""
    message = paramiko.Message()
    message.add_byte(bytes((_DATA,)))
    message.add_int(channel)
    message.add_string(piece)
    return message


def noise(size: int) -> paramiko.Message:
    """Return a message that is to be ignored."""
    message = paramiko.Message()
    message.add_byte(bytes((_IGNORE,)))
    message.add_string(bytes(size))
    return message


@pytest.mark.parametrize("seed", range(8))
def test_every_byte_comes_in_order(ends: Ends, seed: int) -> None:
    """However data is cut, and whatever stands between: what is read is what was sent."""
    chance = random.Random(seed)
    lane, server = ends
    sent = chance.randbytes(3 << 20)

    def serve() -> None:
        at = 0
        while at < len(sent):
            size = chance.choice((0, 1, 9, 300, 8_100, 30_000, 32_768, _LARGEST))
            server.send_message(data(sent[at : at + size]))
            at += size
            if chance.random() < 0.3:
                server.send_message(noise(chance.choice((0, 5, 20_000, 60_000))))

    serving = threading.Thread(target=serve)
    serving.start()
    sizes = random.Random(seed + 100)
    found = bytearray(len(sent))
    whole = memoryview(found)
    at = 0
    while at < len(sent):
        size = sizes.choice((1, 4, 13, 5_000, 65_536, 261_120, 1 << 20))
        view = whole[at : at + size]
        at += lane.recv_into(view, sizes.choice((1, len(view))))
    serving.join()
    assert found == sent


def test_what_stands_before_a_large_piece_stays(ends: Ends) -> None:
    """A large piece is deciphered where it belongs; its head, which comes before it, goes again."""
    lane, server = ends
    server.send_message(data(b"0123456789abcdef"))
    server.send_message(noise(30_000))
    server.send_message(data(b"x" * 30_000))
    view = memoryview(bytearray(b"-" * 40_000))
    assert lane.recv_into(view, 30_016) == 30_016
    assert bytes(view[:30_016]) == b"0123456789abcdef" + b"x" * 30_000


def test_data_of_another_channel_ends_it(ends: Ends) -> None:
    """What nobody opened is a server that makes no sense."""
    lane, server = ends
    server.send_message(data(b"x" * 30_000, channel=8))
    with pytest.raises(ConnectionResetError):
        lane.recv_into(memoryview(bytearray(100_000)), 30_000)


def test_a_damaged_packet_ends_it(ends: Ends) -> None:
    """A packet whose seal is wrong is no packet."""
    lane, server = ends
    server.outgoing = Cipher(AESGCM(bytes(16)), _IV)
    server.send_message(data(b"x" * 30_000))
    with pytest.raises(ConnectionResetError):
        lane.recv_into(memoryview(bytearray(100_000)), 30_000)
