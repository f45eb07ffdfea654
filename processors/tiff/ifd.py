"""Ifd: one directory of tags, as it lies in the file."""

import struct
from typing import Literal, NamedTuple

from processors.base import Limits
from processors.errors import Malformed, TooLarge
from processors.tiff.peek import Peek

# Size and struct code of each field type. Type 0 and unknown ones are left alone.
TYPES: dict[int, tuple[int, str]] = {
    1: (1, "B"),
    2: (1, "B"),  # ASCII
    3: (2, "H"),
    4: (4, "I"),
    5: (8, "II"),  # a rational
    6: (1, "b"),
    7: (1, "B"),
    8: (2, "h"),
    9: (4, "i"),
    10: (8, "ii"),
    11: (4, "f"),
    12: (8, "d"),
    13: (4, "I"),  # an offset of a directory
    16: (8, "Q"),
    17: (8, "q"),
    18: (8, "Q"),
}
INTEGERS = frozenset({1, 3, 4, 13, 16, 18})


Order = Literal["<", ">"]


class Head(NamedTuple):
    """What the first bytes of the file say: byte order, BigTIFF or not, where the first page is."""

    order: Order
    is_big: bool
    first: int


class Tag(NamedTuple):
    """One entry: its type, how many values, and where they are."""

    kind: int
    number: int
    at: int

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return TYPES[self.kind][0] * self.number if self.kind in TYPES else 0


class Ifd(NamedTuple):
    """The tags of one page, and where the next page is (0: nowhere)."""

    tags: dict[int, Tag]
    next: int
    raw: bytes
    entries: dict[int, int]
    """Where in `raw` the value, or its offset, of each tag stands."""


def head(peek: Peek) -> Head:
    """Read the first bytes of the file."""
    if peek.size < 8:  # noqa: PLR2004 - the header
        raise Malformed("it is too short for a TIFF")
    start = peek.take(0, 8)
    orders: dict[bytes, Order] = {b"II": "<", b"MM": ">"}
    order = orders.get(start[:2])
    if order is None:
        raise Malformed("it is no TIFF: it starts neither with II nor with MM")
    (magic,) = struct.unpack_from(order + "H", start, 2)
    if magic == 42:  # noqa: PLR2004 - the number of TIFF
        return Head(order, is_big=False, first=struct.unpack_from(order + "I", start, 4)[0])
    if magic != 43:  # noqa: PLR2004 - the number of BigTIFF
        raise Malformed(f"it is no TIFF: its number is {magic}, not 42 or 43")
    width, zero, first = struct.unpack(order + "HHQ", peek.take(4, 12))
    if (width, zero) != (8, 0):
        raise Malformed("it is a BigTIFF with offsets of a strange size")
    return Head(order, is_big=True, first=first)


def read_ifd(peek: Peek, head: Head, offset: int, limits: Limits) -> Ifd:
    """Read the directory at `offset`. TooLarge when it has more tags than allowed."""
    order = head.order
    if head.is_big:
        (count,) = struct.unpack(order + "Q", peek.take(offset, 8))
        start, width, entry, inline, step = 8, 20, order + "HHQ", 12, "Q"
    else:
        (count,) = struct.unpack(order + "H", peek.take(offset, 2))
        start, width, entry, inline, step = 2, 12, order + "HHI", 8, "I"
    if count > limits.tags:
        raise TooLarge(
            "a page has too many tags", asked=f"{count} tags", limit=f"{limits.tags} tags"
        )
    pointer = struct.calcsize(step)
    size = start + count * width + pointer
    raw = peek.take(offset, size)
    tags: dict[int, Tag] = {}
    entries: dict[int, int] = {}
    unpack, place = struct.Struct(entry).unpack_from, struct.Struct(order + step).unpack_from
    types = TYPES
    for at in range(start, start + count * width, width):
        tag, kind, number = unpack(raw, at)
        if kind not in types or tag in tags:
            continue  # the first of two equal tags counts, as in libtiff
        entries[tag] = at + inline
        if types[kind][0] * number <= pointer:
            tags[tag] = Tag(kind, number, offset + at + inline)
        else:
            tags[tag] = Tag(kind, number, place(raw, at + inline)[0])
    return Ifd(tags, place(raw, size - pointer)[0], raw, entries)


def values(peek: Peek, head: Head, tag: Tag, limits: Limits) -> tuple[int | float, ...]:
    """Return the values of a tag; of a rational numerator and denominator, one after the other."""
    raw = raw_values(peek, tag, limits)
    code = TYPES[tag.kind][1]
    return struct.unpack(f"{head.order}{tag.number * len(code)}{code[0]}", raw)


def raw_values(peek: Peek, tag: Tag, limits: Limits) -> bytes:
    """Return the bytes of a tag's values. TooLarge when they are more than allowed."""
    if tag.size > limits.tag_bytes:
        raise TooLarge(
            "a tag is too large", asked=f"{tag.size} bytes", limit=f"{limits.tag_bytes} bytes"
        )
    return peek.take(tag.at, tag.size)
