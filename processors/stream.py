"""Streams: a Source from its first byte to its last, in pieces or as a file object."""

import io
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from processors.base import MIB, Context, Source
from processors.errors import SourceChanged

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE = 2 * MIB
# Fetched together: one round trip to a far store, and no more memory than this.
_TOGETHER = 8


def pieces(source: Source, context: Context) -> Iterator[bytes]:
    """Yield all bytes of `source` in order; Cancelled or OverTime between two pieces.

    Raises SourceChanged when there are fewer than `source.size`.
    """
    spans = ((start, min(_PIECE, source.size - start)) for start in range(0, source.size, _PIECE))
    while batch := list(itertools.islice(spans, _TOGETHER)):
        context.check()
        for (start, size), piece in zip(batch, source.read_many(batch), strict=True):
            if len(piece) != size:
                raise _short(source, start + len(piece))
            yield piece
            context.check()


class SourceFile(io.RawIOBase):
    """Reads a Source as libraries want it: with a position, and `read`.

    For one thread. What a library asks for is read at once, so a buffer belongs around it where
    many small reads come (`io.BufferedReader`).
    """

    def __init__(self, source: Source, context: Context) -> None:
        super().__init__()
        self._source = source
        self._context = context
        self._at = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it has a position."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position; never before the start."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the start of the file")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill `buffer` as far as there are bytes; SourceChanged when the source became shorter."""
        self._context.check()
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._source.size - self._at))
        if wanted:
            data = self._source.read_at(self._at, wanted)
            if len(data) != wanted:
                raise _short(self._source, self._at + len(data))
            view[:wanted] = data
            self._at += wanted
        return wanted


def _short(source: Source, end: int) -> SourceChanged:
    return SourceChanged(f"{source.name} ends at byte {end}, not at {source.size}")
