"""The contract between processing and a processor.

A processor turns one source into one result, deterministically: the same bytes of the source, the
same parameters and the same version of the processor give the same bytes. So the key and the ETag
of a result exist before anything is computed.

`plan` and `run` are called in a worker process that may be killed at any time; they keep no state
between calls but in `Context.memo`. Whatever they raise that is no ProcessingError counts as a
fault of the processor.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

import msgspec

__all__ = [
    "Context",
    "Folder",
    "Limits",
    "Member",
    "Memo",
    "Output",
    "Params",
    "Plan",
    "Processor",
    "Sink",
    "Source",
]

MIB = 1 << 20


class Source(Protocol):
    """The bytes of one version of one file; read from any offset, from many threads.

    Every read raises SourceChanged when that version is gone, and never mixes two.
    """

    @property
    def name(self) -> str:
        """The last segment of its path."""
        ...

    @property
    def size(self) -> int:
        """How many bytes there are."""
        ...

    @property
    def version(self) -> str:
        """An opaque token that changes whenever the bytes do."""
        ...

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end."""
        ...

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Yield what `read_at` returns for each (offset, size), in order, fetched together.

        A far store is asked for all of them at once: one round trip, not one for each.
        """
        ...

    def fileno(self) -> int | None:
        """Return a descriptor whose offsets are those of the file, or None.

        Do not close or seek it; take nothing behind `size`. It is for mmap and preadv.
        """
        ...


class Member(msgspec.Struct, frozen=True):
    """One file below a folder: its path relative to the folder, size, mtime and version."""

    path: str
    size: int
    mtime_ns: int
    version: str


class Folder(Protocol):
    """A folder as a source. Its version changes when any member does."""

    @property
    def name(self) -> str:
        """The last segment of its path."""
        ...

    @property
    def version(self) -> str:
        """An opaque token that changes whenever a member does."""
        ...

    def members(self) -> Iterator[Member]:
        """Yield every file beneath, sorted by path."""
        ...

    def open(self, member: Member) -> AbstractContextManager[Source]:
        """Return the bytes of one member, closed by `with` after use.

        Raises SourceChanged when it has another version by now.
        """
        ...


class Sink(Protocol):
    """Takes the bytes of one output, in order."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`. TooLarge when it would exceed the limit of output bytes."""
        ...

    def fileno(self) -> int:
        """Return a descriptor of a real file, empty at first, for writing in any order."""
        ...


class Memo(Protocol):
    """What processors remember of sources across requests and processes, such as a page index.

    It may forget anything at any time. A value belongs to one version of one source.
    """

    def get(self, kind: str, source: Source) -> memoryview | None:
        """Return what was put, mapped from disk, or None. `kind` holds name and version."""
        ...

    def put(self, kind: str, source: Source, value: bytes | memoryview) -> None:
        """Remember `value`. A full disk is no error: it is not remembered."""
        ...


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one request may take. Each number is configurable and told in `.info.json`."""

    pixels: int = 100_000_000
    """Pixels of one result."""
    output_bytes: int = 1 << 30
    """Bytes of one result."""
    touched_bytes: int = 2 << 30
    """Decoded bytes that are touched on the way."""
    segments: int = 20_000
    """Tiles and strips, or other pieces of a source, in one request."""
    segment_bytes: int = 64 * MIB
    """One piece as it is stored."""
    segment_decoded_bytes: int = 256 * MIB
    """One piece decoded; checked before it is decoded."""
    pages: int = 1_000_000
    """Pages of one source."""
    tags: int = 4_096
    """Tags of one page."""
    tag_bytes: int = 16 * MIB
    """One tag's value."""
    members: int = 100_000
    """Files of one folder."""
    side: int = 2_048
    """The longer side of a preview."""
    memory_bytes: int = 1 << 30
    """Memory of one worker process, enforced by the system."""
    seconds: float = 30.0
    """Wall time of a request somebody waits for."""
    seconds_background: float = 3600.0
    """Wall time of a request that answered 202."""


class Context(Protocol):
    """What surrounds one call of a processor."""

    @property
    def limits(self) -> Limits:
        """What the call may take."""
        ...

    @property
    def memo(self) -> Memo:
        """What is remembered of sources."""
        ...

    def check(self) -> None:
        """Raise Cancelled or OverTime when the work is not wanted any more; call it in loops."""
        ...

    def progress(self, done: int, whole: int) -> None:
        """Tell how far the work is. Cheap; also calls `check`."""
        ...

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Measure what happens inside as "read", "decode", "encode" or another phase."""
        ...


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a processor's parameters.

    A field's type is one of `processors.values` (or int, float, str, bool, or a Literal), its
    docstring is its documentation, and a default makes it optional. What a value alone can tell is
    checked in `__post_init__` (BadValue); what needs the source in `plan` (OutOfRange).
    """

    format: str = ""
    """The output format: the extension of the last segment; never empty in `plan` and `run`."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One file that a request gives. `size` is None when only the computation tells it."""

    media_type: str
    size: int | None = None
    name: str = ""
    """Told apart by name where there are several; "" for the only one."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a request will take and give, found out from headers alone."""

    outputs: tuple[Output, ...]
    bytes_wanted: int = 0
    """Bytes of the source that will be read."""
    decoded_bytes: int = 0
    """Bytes that they are once decoded."""
    memory_bytes: int = 0
    """At the peak."""
    pixels: int = 0
    """Pixels of one result."""

    @property
    def output(self) -> Output:
        """The first output, the only one of most processors."""
        return self.outputs[0]


class Processor(ABC):
    """Makes results of one kind. Stateless; one instance serves all threads.

    `name` is what templates call it ("tiff.window"), `version` is raised whenever the same request
    gives other bytes, `params` is what it takes, `formats` are the extensions it can make, the
    default first. `takes_folder` says that the source is a Folder. What a module needs that is not
    installed is said by ImportError, which the registry turns into an install hint.

    `pattern` is the path of the ready template that the processor has without configuration, under
    the last part of its name: "{source:path}/{layer:layers}/{grid:grid}". Empty stands for the
    source and then each required parameter, in order. An optional parameter in it may not be left
    out; every other one can be given by name.
    """

    name: ClassVar[str]
    pattern: ClassVar[str] = ""
    version: ClassVar[int] = 1
    params: ClassVar[type[Params]]
    formats: ClassVar[tuple[str, ...]]
    takes_folder: ClassVar[bool] = False

    @abstractmethod
    def plan(self, source: Any, params: Any, context: Context) -> Plan:  # noqa: ANN401 - Source or Folder, and the class's own Params
        """Return what the request takes and gives, reading headers at most.

        Raises OutOfRange, TooLarge, UnsupportedFormat or Malformed, each with limit, what was
        asked and, where there is one, a corrected example: the parameters to change, such as
        "grid=0-64-0-64" or "layer=0,level=2". What makes paths turns it into a whole path.
        """

    @abstractmethod
    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:  # noqa: ANN401 - as in plan
        """Write the result into `sink`. Exactly `Plan.output.size` bytes, where that is known."""

    def info(self, source: Any, context: Context) -> Mapping[str, object]:  # noqa: ANN401 - as in plan
        """Return what is worth knowing before asking: sizes, layers, dtype, levels. Plain data."""
        return {}

    def values(self, name: str, source: Any, context: Context) -> Iterable[object] | None:  # noqa: ANN401 - as in plan
        """Return which values parameter `name` can have for this source; None when unbounded.

        A range is as good as a list, and costs nothing.
        """
        return None
