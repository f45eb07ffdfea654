"""What tests of a processor stand on: sources, a sink, a memo and a context that are real.

Nothing here pretends: a source reads a file or bytes, the sink keeps what it is given and holds the
limit, the memo remembers, the context counts. `CountingSource` tells what was read of a source.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from processors.base import Context, Limits, Member, Memo, Params, Processor, Source
from processors.errors import Cancelled, OverTime, SourceChanged
from processors.spool import Spool

__all__ = [
    "BufferSink",
    "BytesSource",
    "CountingSource",
    "DiskFolder",
    "FileSource",
    "MemoryMemo",
    "PlainContext",
    "result",
]


class BytesSource:
    """Reads bytes in memory. It has no descriptor, like a file of a far store."""

    def __init__(self, data: bytes, *, name: str = "data", version: str = "1") -> None:
        self._data = data
        self.name = name
        self.version = version

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self._data)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end."""
        assert offset >= 0
        assert size >= 0
        return self._data[offset : offset + size]

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the bytes of each (offset, size), in order."""
        return (self.read_at(offset, size) for offset, size in spans)

    def fileno(self) -> int | None:
        """Return None."""
        return None


class FileSource:
    """Reads a file of this machine, and gives its descriptor. Close it, or use it in a `with`."""

    def __init__(self, path: str | os.PathLike[str], *, version: str = "") -> None:
        self.name = Path(path).name
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(self._file)
        self.size = found.st_size
        self.version = version or f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end."""
        parts = []
        while size > 0 and (part := os.pread(self._file, size, offset)):
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(parts)

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the bytes of each (offset, size), in order."""
        return (self.read_at(offset, size) for offset, size in spans)

    def fileno(self) -> int | None:
        """Return the descriptor."""
        return self._file

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class DiskFolder:
    """Reads a folder of this machine. A member that changed since it was listed is refused."""

    version = "1"

    def __init__(self, path: str | os.PathLike[str], *, name: str | None = None) -> None:
        self._path = Path(path)
        self.name = self._path.name if name is None else name

    def members(self) -> Iterator[Member]:
        """Yield every file beneath, sorted by path."""
        files = (file for file in self._path.rglob("*") if file.is_file())
        found = ((file.relative_to(self._path).as_posix(), file) for file in files)
        for name, file in sorted(found):
            facts = file.stat()
            version = f"{facts.st_ino}-{facts.st_mtime_ns}-{facts.st_size}"
            yield Member(name, facts.st_size, facts.st_mtime_ns, version)

    def open(self, member: Member) -> FileSource:
        """Return the bytes of one member; SourceChanged when it has another version by now."""
        source = FileSource(self._path / member.path)
        if source.version != member.version:
            source.close()
            raise SourceChanged(member.path)
        return source


class CountingSource:
    """Passes reads on to another source, and tells how many round trips and bytes they were.

    It hides the descriptor, so that a processor reads as it does from a far store. For a test of
    one thread: the counts are not locked.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name
        self.version = source.version
        self.size = source.size
        self.trips = 0
        self.bytes = 0
        self.spans: list[tuple[int, int]] = []

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`: one round trip."""
        return next(self.read_many([(offset, size)]))

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the bytes of each (offset, size), in order: one round trip for all."""
        asked = list(spans)
        self.trips += 1
        self.bytes += sum(size for _, size in asked)
        self.spans += asked
        return self._source.read_many(asked)

    def fileno(self) -> int | None:
        """Return None."""
        return None


class BufferSink(Spool):
    """Keeps an output in a temporary file without a name, up to `limit` bytes."""

    def __init__(self, limit: int = 1 << 30) -> None:
        super().__init__(limit)

    @property
    def data(self) -> bytes:
        """All bytes of the output."""
        return self.read(0, os.fstat(self.fileno()).st_size)


class MemoryMemo:
    """Remembers in memory. `entries` maps (kind, version of the source) to the value."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str, str], bytes] = {}

    def get(self, kind: str, source: Source) -> memoryview | None:
        """Return what was put for this version of the source, or None."""
        value = self.entries.get((kind, source.name, source.version))
        return None if value is None else memoryview(value)

    def put(self, kind: str, source: Source, value: bytes | memoryview) -> None:
        """Remember `value`."""
        self.entries[kind, source.name, source.version] = bytes(value)


class PlainContext:
    """Holds limits and a memo, counts the checks, and measures phases into `timings`.

    `seconds` is when `check` raises OverTime; `is_wanted` turned False makes it raise Cancelled.
    """

    def __init__(
        self, *, limits: Limits | None = None, memo: Memo | None = None, seconds: float = 3600.0
    ) -> None:
        self.limits = limits or Limits()
        self.memo: Memo = memo or MemoryMemo()
        self.is_wanted = True
        self.checks = 0
        self.timings: dict[str, float] = {}
        self._end = time.monotonic() + seconds
        self._seconds = seconds

    def check(self) -> None:
        """Raise Cancelled or OverTime when the work is not wanted any more."""
        self.checks += 1
        if not self.is_wanted:
            raise Cancelled
        if time.monotonic() > self._end:
            raise OverTime(limit=f"{self._seconds:g} seconds")

    def progress(self, done: int, whole: int) -> None:
        """Check."""
        self.check()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time spent inside to `timings[name]`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.timings[name] = self.timings.get(name, 0.0) + spent


def result(
    processor: Processor,
    source: Any,  # noqa: ANN401 - Source or Folder, as the processor takes it
    params: Params,
    context: Context | None = None,
) -> bytes:
    """Return the bytes that a processor makes, after its plan; the size it told must be right."""
    context = context or PlainContext()
    planned = processor.plan(source, params, context)
    with BufferSink(context.limits.output_bytes) as sink:
        processor.run(source, params, sink, context)
        data = sink.data
    told = planned.output.size
    assert told is None or told == len(data), f"planned {told} bytes, made {len(data)}"
    return data
