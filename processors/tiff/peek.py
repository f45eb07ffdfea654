"""Peek: small pieces of a source, read where the structure of a file leads."""

import os

import numpy as np

from processors.base import Source
from processors.errors import Malformed

_NEAR_BYTES = 4 << 10
_FAR_BYTES = 16 << 10
_MOST_BYTES = 1 << 20
_KEPT = 8
_MOST_KEPT_BYTES = 64 << 10
CUT = "the file is shorter than its size says"
"""Why a file cannot be read at this moment; all else is so for its version."""


class Peek:
    """Reads pieces of a source, and keeps the last few.

    A piece is larger than what was asked for, and grows while reads stay in one neighbourhood. The
    file is not mapped: a mapped file that somebody cuts short kills the process that looks at it.
    For one thread.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.size = source.size
        self._file = source.fileno()
        self._least = _FAR_BYTES if self._file is None else _NEAR_BYTES
        self._step = self._least
        self._pieces: list[tuple[int, bytes]] = []
        self._ahead: dict[int, tuple[int, bytes]] = {}

    @property
    def is_far(self) -> bool:
        """Whether a read may be a round trip."""
        return self._file is None

    @property
    def least(self) -> int:
        """How many bytes a read takes at least."""
        return self._least

    def has_ahead(self, offset: int) -> bool:
        """Tell whether the piece at `offset` was fetched in advance."""
        return offset in self._ahead

    def take(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes from `offset`; Malformed when the file has them not."""
        held = self._held(offset, size)
        if held is not None:
            return held
        if offset < 0 or offset + size > self.size:
            raise Malformed(f"{size} bytes at {offset} lie behind the end of the file")
        ahead = self._ahead.pop(offset, None)
        if ahead is not None:
            self._keep(*ahead)
            held = self._held(offset, size)
            if held is not None:
                return held
        return self._fetch(offset, size)[:size]

    def glance(self, offset: int, size: int) -> bytes:
        """Return what `take` does; of a file that is near just that, and nothing is kept."""
        if self._file is None:
            return self.take(offset, size)
        found = os.pread(self._file, size, offset)
        if len(found) < size:
            raise Malformed(CUT)
        return found

    def ahead(self, spans: list[tuple[int, int, int]]) -> None:
        """Fetch many pieces at once: (offset that will be asked for first, start, size)."""
        self._ahead.clear()
        whole = [(key, start, size) for key, start, size in spans if 0 <= start < self.size]
        pieces = self.many([(start, size) for _, start, size in whole])
        for (key, start, _), piece in zip(whole, pieces, strict=True):
            self._ahead[key] = (start, piece)

    def pieces(self, spans: list[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each (offset, size), whole; one round trip for what is not kept."""
        found = [self._held(offset, size) for offset, size in spans]
        missing = [number for number, piece in enumerate(found) if piece is None]
        self._bound([spans[i] for i in missing])
        for number, piece in zip(missing, self.many([spans[i] for i in missing]), strict=True):
            if len(piece) < spans[number][1]:
                raise Malformed(CUT)
            found[number] = piece
            if len(piece) <= _MOST_KEPT_BYTES:
                self._keep(spans[number][0], piece)
        return found  # type: ignore[return-value]

    def many(self, spans: list[tuple[int, int]]) -> list[bytes]:
        """Return the pieces as they are asked for, in one round trip."""
        if self._file is not None:
            return [os.pread(self._file, size, offset) for offset, size in spans]
        return list(self.source.read_many(spans))

    def load(self, spans: list[tuple[int, int]]) -> list[memoryview]:
        """Return large pieces, whole, in one round trip."""
        self._bound(spans)
        if self._file is None:
            views = [memoryview(piece) for piece in self.source.read_many(spans)]
            if len(views) != len(spans) or any(
                len(view) < size for view, (_, size) in zip(views, spans, strict=True)
            ):
                raise Malformed(CUT)
            return views
        # One buffer for all: asking the system for memory piece by piece costs more than the reads.
        whole = np.empty(sum(size for _, size in spans), np.uint8).data
        views, at = [], 0
        for _, size in spans:
            views.append(whole[at : at + size])
            at += size
        self._fill(spans, views)
        return views

    def load_into(self, spans: list[tuple[int, int]], views: list[memoryview]) -> None:
        """Read large pieces to where they belong."""
        self._bound(spans)
        if self._file is not None:
            self._fill(spans, views)
            return
        for view, piece in zip(views, self.load(spans), strict=True):
            view[:] = piece[: len(view)]

    def _fill(self, spans: list[tuple[int, int]], views: list[memoryview]) -> None:
        assert self._file is not None
        for (offset, size), view in zip(spans, views, strict=True):
            done = 0
            while done < size:
                count = os.preadv(self._file, [view[done:]], offset + done)
                if not count:
                    raise Malformed(CUT)
                done += count

    def _bound(self, spans: list[tuple[int, int]]) -> None:
        if any(offset < 0 or size < 0 or offset + size > self.size for offset, size in spans):
            raise Malformed("what a page names lies behind the end of the file")

    def _held(self, offset: int, size: int) -> bytes | None:
        """Return the bytes if one of the kept pieces has them."""
        for start, piece in self._pieces:
            if start <= offset and offset + size <= start + len(piece):
                return piece[offset - start : offset - start + size]
        return None

    def _fetch(self, offset: int, size: int) -> bytes:
        """Return at least `size` bytes from `offset`."""
        # Near: a piece twice as long as the last one would have held it.
        start, last = self._pieces[0] if self._pieces else (-_MOST_BYTES, b"")
        near = start - self._step <= offset < start + len(last) + self._step
        self._step = min(_MOST_BYTES, self._step * 2) if near else self._least
        take = min(max(size, self._step), self.size - offset)
        piece = self.many([(offset, take)])[0]
        if len(piece) < size:
            raise Malformed(CUT)
        self._keep(offset, piece)
        return piece

    def _keep(self, start: int, piece: bytes) -> None:
        self._pieces.insert(0, (start, piece))
        del self._pieces[_KEPT:]
