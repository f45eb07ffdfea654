"""Wire: what the gateway's process and a worker process say to each other over a socket.

Each message is a MessagePack map with the name of its type, and a Channel takes it across. Nothing
is pickled: what a worker sends can only ever become one of these structs.
"""

from hashlib import blake2b
from typing import Self, TypeAlias

import msgspec

from processors.base import Limits, Member, Plan

# One read of a source is never longer; longer ones are cut.
PIECE_BYTES = 8 << 20


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


class Fork(msgspec.Struct, frozen=True, tag=True):
    """One more worker is wanted; its end of a socket comes beside it."""


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


Message: TypeAlias = Setup | Fork | Hello | Task | Members | Page | Read | Progress | Failed | Done


def identity_of(place: str) -> str:
    """Return what names a source among all, of whatever characters its path is."""
    return blake2b(place.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()
