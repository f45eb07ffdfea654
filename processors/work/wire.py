"""Wire: what the gateway's process and a worker process say to each other over a socket.

Each message is four bytes of length and a MessagePack map with the name of its type; descriptors
travel beside it. The bytes of a source follow their announcement as they are. Nothing is pickled:
what a worker sends can only ever become one of these structs.
"""

import array
import socket
import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Self, TypeAlias, TypeVar

import msgspec

from processors.base import Limits, Member, Plan

_LENGTH = struct.Struct("!I")
# No message is longer; the bytes of sources are no message.
MESSAGE_MAX_BYTES = 64 << 20
# One read of a source is never longer; longer ones are cut.
PIECE_BYTES = 8 << 20
_DESCRIPTORS_MAX = 72


class Setup(msgspec.Struct, frozen=True, tag=True):
    """The first message to the process that workers are forked from."""

    find: str
    """`module:function`, which returns the Processor of a name."""
    preload: tuple[str, ...]
    """Names of processors to import before the first fork."""
    memo: str
    """The folder of the memo, "" for none."""
    memory_bytes: int
    """What one worker may allocate."""
    nice: int


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The first message of a worker; its pidfd comes beside it."""

    pid: int


class WireStep(msgspec.Struct, frozen=True):
    """One step; the parameters are MessagePack of the processor's own type."""

    processor: str
    version: int
    params: bytes


class WireSource(msgspec.Struct, frozen=True):
    """What a worker must know of its source. `identity` names it among all sources."""

    identity: str
    name: str
    version: str
    size: int = 0
    is_folder: bool = False
    has_descriptor: bool = False


class Task(msgspec.Struct, frozen=True, tag=True):
    """What a worker shall do. Beside it: the source, the sink, the files between steps."""

    kind: str
    steps: tuple[WireStep, ...]
    source: WireSource
    limits: Limits
    seconds: float
    name: str = ""
    is_planned: bool = False


class WireMember(msgspec.Struct, frozen=True):
    """A member of a folder; its path may be no valid Unicode, so it is bytes."""

    path: bytes
    size: int
    mtime_ns: int
    version: str

    @classmethod
    def of(cls, member: Member) -> Self:
        """Return what stands for a member."""
        path = member.path.encode("utf-8", "surrogatepass")
        return cls(path, member.size, member.mtime_ns, member.version)

    @property
    def member(self) -> Member:
        """The member that this stands for."""
        path = self.path.decode("utf-8", "surrogatepass")
        return Member(path, self.size, self.mtime_ns, self.version)


class Members(msgspec.Struct, frozen=True, tag=True):
    """A worker asks for the members of its folder; pages of them come, the last one empty."""


class Page(msgspec.Struct, frozen=True, tag=True):
    """Some members of a folder."""

    members: tuple[WireMember, ...]


class Read(msgspec.Struct, frozen=True, tag=True):
    """A worker asks for spans of its source, or of a member of it.

    For each comes its length and its bytes.
    """

    spans: tuple[tuple[int, int], ...]
    member: WireMember | None = None


class Progress(msgspec.Struct, frozen=True, tag=True):
    """How far a worker is."""

    done: int = 0
    whole: int = 0
    phase: str = ""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A leaf of ProcessingError by its class name; "" is a fault of the processor."""

    leaf: str = ""
    detail: str = ""
    asked: str = ""
    limit: str = ""
    example: str = ""
    traceback: str = ""


class Done(msgspec.Struct, frozen=True, tag=True):
    """What came out. `resident_bytes` is what the worker holds now."""

    plan: Plan | None = None
    info: dict[str, object] | None = None
    values: list[int | str] | None = None
    range: tuple[int, int, int] | None = None
    size: int = 0
    sha256: str = ""
    timings: dict[str, float] = {}
    resident_bytes: int = 0


Message: TypeAlias = Setup | Hello | Task | Members | Page | Read | Progress | Failed | Done
MessageT = TypeVar("MessageT", bound=Message)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)

READ_FAILED = (1 << 32) - 1
"""In place of a length: the source cannot be read."""


def identity_of(place: str) -> str:
    """Return what names a source among all, of whatever characters its path is."""
    return blake2b(place.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()


def send(sock: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send one message and copies of descriptors."""
    payload = _encoder.encode(message)
    if len(payload) > MESSAGE_MAX_BYTES:
        raise ValueError("the message is too long")
    data = _LENGTH.pack(len(payload)) + payload
    if descriptors:
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        data = data[sock.sendmsg([data], beside) :]
    if data:
        sock.sendall(data)


def receive(sock: socket.socket) -> tuple[Message, list[int]]:
    """Return the next message and the descriptors that came with it.

    Raises EOFError when the other side is gone, msgspec.DecodeError when it talks nonsense.
    """
    head, descriptors = _head(sock)
    try:
        (length,) = _LENGTH.unpack(head)
        if length > MESSAGE_MAX_BYTES:
            raise msgspec.DecodeError("the message is too long")  # noqa: TRY301 - as the line below
        return _decoder.decode(receive_exactly(sock, length)), descriptors
    except BaseException:
        close_all(descriptors)
        raise


def send_piece(sock: socket.socket, data: bytes | memoryview) -> None:
    """Send bytes of a source with their length."""
    head = _LENGTH.pack(len(data))
    sent = sock.sendmsg([head, data])
    if sent < len(head):
        sock.sendall(head[sent:])
        sent = len(head)
    if sent < len(head) + len(data):
        sock.sendall(memoryview(data)[sent - len(head) :])


def send_read_failed(sock: socket.socket) -> None:
    """Say, in place of bytes, that the source cannot be read."""
    sock.sendall(_LENGTH.pack(READ_FAILED))


def receive_piece(sock: socket.socket) -> bytearray | None:
    """Return bytes of a source; None when it cannot be read."""
    (length,) = _LENGTH.unpack(receive_exactly(sock, _LENGTH.size))
    return None if length == READ_FAILED else receive_exactly(sock, length)


def receive_exactly(sock: socket.socket, size: int) -> bytearray:
    """Return `size` bytes; EOFError when fewer come."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = sock.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return data


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors that came over the socket."""
    for descriptor in descriptors:
        socket.close(descriptor)


def _head(sock: socket.socket) -> tuple[bytes, list[int]]:
    head, descriptors, _, _ = socket.recv_fds(
        sock, _LENGTH.size, _DESCRIPTORS_MAX, socket.MSG_CMSG_CLOEXEC
    )
    if not head:
        raise EOFError
    if len(head) < _LENGTH.size:
        head += receive_exactly(sock, _LENGTH.size - len(head))
    return head, list(descriptors)
