"""Mould: recognises a directory that differs from an earlier one only in where its data lie."""

import struct
from typing import NamedTuple

from processors.tiff.geometry import SHAPING, TABLES
from processors.tiff.ifd import Head, Ifd
from processors.tiff.peek import Peek


class Places(NamedTuple):
    """Where the data of a page lie, and where the next page is."""

    offsets: int
    counts: int
    next: int


class Mould:
    """Made of the bytes of one directory, `raw`; fits others of the same form.

    Pages of a stack are equal but for their offsets. To compare bytes is several times quicker
    than to take them apart. A page with SubIFDs gives no mould.
    """

    def __init__(self, peek: Peek, head: Head, ifd: Ifd, form: int) -> None:
        self.form = form
        self.size = len(ifd.raw)
        self._pointer = struct.Struct(head.order + ("Q" if head.is_big else "I"))
        width = self._pointer.size
        free: list[int] = []
        self._outside: list[tuple[int, int, bytes]] = []
        shaping = set(SHAPING)
        for number, at in ifd.entries.items():
            tag = ifd.tags[number]
            if number in shaping and tag.size > width:
                self._outside.append((at, tag.size, peek.take(tag.at, tag.size)))
            if number not in shaping or tag.size > width:
                free.append(at)
        free.append(self.size - width)
        self._fixed: list[tuple[int, int, bytes]] = []
        last = 0
        for at in sorted(free):
            self._fixed.append((last, at, ifd.raw[last:at]))
            last = at + width
        by_number = {n: (at, ifd.tags[n].size <= width) for n, at in ifd.entries.items()}
        self._tables = (
            by_number.get(TABLES[0]) or by_number.get(TABLES[1]),
            by_number.get(TABLES[2]) or by_number.get(TABLES[3]),
        )

    def places(self, peek: Peek, offset: int) -> Places | None:
        """Return where the data of the page at `offset` lie, or None when it is of another form."""
        if offset + self.size > peek.size:
            return None
        raw = peek.glance(offset, self.size)
        for start, stop, expected in self._fixed:
            if raw[start:stop] != expected:
                return None
        place = self._pointer.unpack_from
        for at, size, expected in self._outside:
            where = place(raw, at)[0]
            if where + size > peek.size or peek.glance(where, size) != expected:
                return None
        after = place(raw, self.size - self._pointer.size)[0]
        offsets, counts = (self._where(entry, raw, offset) for entry in self._tables)
        return Places(offsets, counts, after)

    def _where(self, entry: tuple[int, bool] | None, raw: bytes, offset: int) -> int:
        """Return where in the file a table lies; 0 for none."""
        if entry is None:
            return 0
        at, is_inline = entry
        return offset + at if is_inline else int(self._pointer.unpack_from(raw, at)[0])
