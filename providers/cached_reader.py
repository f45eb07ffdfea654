"""CachedReader: one version of one file, from the cache, and what is missing from its store."""

from collections import deque
from collections.abc import Iterable, Iterator

from cache.cached_file import CachedFile
from cache.read_ahead import ReadAhead
from providers.base import PIECE_BYTES, Entry, Reader
from providers.errors import BadRange
from providers.guard import Guard, guarded
from providers.reopened import Reopened

# What is read ahead must not be more than the hands of one file hold at once.
_LARGEST_WINDOW_BYTES = 16 << 20
_SPANS_AHEAD = 16


class CachedReader(Reader):
    """Gives the bytes of `entry` alone, from many threads.

    All is fixed but `_is_whole`, `_has_missed`, which only ever become true, `_is_closed`,
    `_wanted`, where what is still to be read ahead begins and ends, and `_next`, where a reader
    that goes on in order reads next: a lost update does no harm.
    """

    def __init__(
        self, entry: Entry, file: CachedFile, origin: Reopened, guard: Guard, provider: str
    ) -> None:
        self.entry = entry
        self._file = file
        self._origin = origin
        self._guard = guard
        self._provider = provider
        self._ahead = ReadAhead(largest=_LARGEST_WINDOW_BYTES)
        self._wanted = (0, 0)
        self._next = -1
        self._is_whole = entry.size == 0
        self._has_missed = False
        self._is_closed = False

    @property
    def is_whole(self) -> bool:
        """Tell whether all bytes are present."""
        if not self._is_whole:
            self._is_whole = self._file.span(0, self.entry.size) >= self.entry.size
        return self._is_whole

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0:
            raise BadRange(detail="offset and size may not be negative")
        self._check_open()
        size = max(0, min(size, self.entry.size - offset))
        if size == 0 or self._is_whole:
            return self._file.read_at(offset, size, self._origin.fetch)
        is_hit = self._file.span(offset, size) >= size
        self._has_missed = self._has_missed or not is_hit
        before, self._next = self._next, offset + size
        # A stream comes quickest as the store's own reader gives it, straight to who reads it.
        streams = before in (-1, offset) and self._origin.reads_ahead
        # A reader that finds all it wants never waits for its store, not even when it closes.
        if self._has_missed and not streams:
            self._read_ahead(offset, size)
        if is_hit:
            return self._file.read_at(offset, size, self._origin.fetch)
        # Whoever waits for somebody else's fetch waits for the store too.
        with guarded(self._guard, self._provider):
            return self._file.read_at(
                offset, size, self._origin.fetch, behind=streams and before == offset
            )

    def pieces(self, offset: int, size: int) -> Iterator[bytes | memoryview]:
        if offset < 0 or size < 0:
            raise BadRange(detail="offset and size may not be negative")
        end = min(offset + size, self.entry.size)
        while offset < end:
            step = min(PIECE_BYTES, end - offset)
            is_next = self._next == offset and not self._is_whole
            if is_next and self._origin.reads_ahead and not self._file.span(offset, step):
                yield from self._streamed(offset, step)
            else:
                yield self.read_at(offset, step)
            offset += step

    def _streamed(self, offset: int, size: int) -> Iterator[bytes | memoryview]:
        """Yield what its store's reader gives, without a copy; it is written behind."""
        self._check_open()
        self._next = offset + size
        self._has_missed = True
        pieces = self._file.behind(offset, size, self._origin.pieces)
        try:
            while True:
                # Who takes long over a piece does not wait for the store meanwhile.
                with guarded(self._guard, self._provider):
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield piece if isinstance(piece, memoryview) else bytes(piece)
        finally:
            pieces.close()

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        waiting: deque[tuple[int, int]] = deque()
        for offset, size in spans:
            waiting.append((offset, size))
            if not self.is_whole and 0 <= offset < self.entry.size and size > 0:
                self._check_open()
                self._file.read_ahead(offset, size, self._origin.fetch)
            if len(waiting) > _SPANS_AHEAD:
                yield self.read_at(*waiting.popleft())
        for offset, size in waiting:
            yield self.read_at(offset, size)

    def fileno(self) -> int | None:
        self._check_open()
        return self._file.fileno() if self.is_whole else None

    def check(self, sent: int = 0) -> None:
        self._file.sent(sent)

    def warm(self) -> Iterator[int]:
        """Fetch all that is missing; yield again and again how many bytes are there.

        It ends early when the cache takes no more.
        """
        self._check_open()
        with guarded(self._guard, self._provider):
            yield from self._file.warm(self._origin.fetch)

    def close(self) -> None:
        self._is_closed = True
        # Fetches under way end first: they read from the origin's reader.
        self._file.close()
        self._origin.close()

    def _read_ahead(self, offset: int, size: int) -> None:
        window = self._ahead.saw(offset, size)
        if window is not None and window.stride:
            for number in range(window.count):
                start = window.offset + number * window.stride
                self._file.read_ahead(start, window.size, self._origin.fetch)
            return
        start, end = self._wanted
        if not end - 2 * _LARGEST_WINDOW_BYTES <= offset <= end:
            start = end = 0  # the reader went elsewhere
        if window is not None:
            start = start if start < end else window.offset
            end = window.offset + window.size
        start = max(start, offset)
        if start < end:
            # What no hand is free for now is left for the next read.
            self._wanted = (self._file.read_ahead(start, end - start, self._origin.fetch), end)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("this reader is closed")
