"""Directory: one directory of tags, as it is written."""

import struct
from collections.abc import Sequence

from processors.tiff.ifd import TYPES, Order

ASCII, SHORT, LONG, LONG8 = 2, 3, 4, 16
_ALIGNED = 16


class Directory:
    """Collects tags and gives the bytes of the directory, which depend on nothing else.

    Its size is known as soon as the tags are set; the values of a tag may be replaced by as many
    others after that, such as offsets that are known only when the data are written.
    """

    def __init__(self, *, order: Order = "<", is_big: bool = False) -> None:
        self._order = order
        self._is_big = is_big
        self._tags: dict[int, tuple[int, int, bytes]] = {}

    def set(self, number: int, kind: int, *values: int) -> None:
        """Set a tag to numbers."""
        code = TYPES[kind][1]
        raw = struct.pack(f"{self._order}{len(values)}{code[0]}", *values)
        self._tags[number] = (kind, len(values) // len(code), raw)

    def set_raw(self, number: int, kind: int, raw: bytes) -> None:
        """Set a tag to bytes that are in the order of this file already."""
        self._tags[number] = (kind, len(raw) // TYPES[kind][0], raw)

    def set_places(self, number: int, values: Sequence[int]) -> None:
        """Set a tag to offsets, in the widest type of this kind of file."""
        self.set(number, LONG8 if self._is_big else LONG, *values)

    @property
    def size(self) -> int:
        """Bytes of the directory and all values of its tags, rounded up."""
        width = 8 if self._is_big else 4
        outside = sum(_even(len(raw)) for _, _, raw in self._tags.values() if len(raw) > width)
        return aligned(self._head_size + outside)

    def at(self, offset: int, *, after: int) -> bytes:
        """Return the bytes of the directory for its place in the file; `after` is the next one."""
        order, width = self._order, 8 if self._is_big else 4
        entry, pointer = ("HHQ", "Q") if self._is_big else ("HHI", "I")
        head = struct.pack(order + ("Q" if self._is_big else "H"), len(self._tags))
        outside = bytearray()
        for number, (kind, count, raw) in sorted(self._tags.items()):
            head += struct.pack(order + entry, number, kind, count)
            if len(raw) <= width:
                head += raw.ljust(width, b"\0")
            else:
                head += struct.pack(order + pointer, offset + self._head_size + len(outside))
                outside += raw.ljust(_even(len(raw)), b"\0")
        head += struct.pack(order + pointer, after)
        return (head.ljust(self._head_size, b"\0") + outside).ljust(self.size, b"\0")

    @property
    def _head_size(self) -> int:
        count = len(self._tags)
        return _even(16 + 20 * count if self._is_big else 6 + 12 * count)


def header(first: int, *, order: Order = "<", is_big: bool = False) -> bytes:
    """Return the first 16 bytes of a file whose first directory is at `first`."""
    magic = b"II" if order == "<" else b"MM"
    if is_big:
        return magic + struct.pack(order + "HHHQ", 43, 8, 0, first)
    return (magic + struct.pack(order + "HI", 42, first)).ljust(16, b"\0")


def aligned(size: int) -> int:
    """Return `size`, rounded up to where pixels may begin."""
    return -(-size // _ALIGNED) * _ALIGNED


def _even(size: int) -> int:
    return size + size % 2
