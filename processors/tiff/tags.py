"""Tags: the values of a TIFF page by the names of the field, never more of one than fits a page."""

import math
from collections.abc import Iterator
from functools import cache

from processors.base import Limits
from processors.errors import Malformed, ProcessingError, TooLarge
from processors.tiff.ifd import Head, Ifd, Tag, raw_values, values
from processors.tiff.peek import Peek

ITEMS_SHOWN = 16
TEXT_SHOWN = 1_024

_ASCII, _UNDEFINED = 2, 7
_RATIONALS = (5, 10)
_TAGS_SHOWN = 512


class Tags:
    """Reads the tags of one page, each when it is asked for."""

    def __init__(self, peek: Peek, head: Head, ifd: Ifd, limits: Limits) -> None:
        self._peek = peek
        self._head = head
        self._ifd = ifd
        self._limits = limits

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._ifd.tags))

    def __len__(self) -> int:
        return len(self._ifd.tags)

    def text(self, number: int, most: int) -> str:
        """Return the text of a tag up to its first NUL, "" without it; TooLarge beyond `most`."""
        tag = self._ifd.tags.get(number)
        if tag is None or tag.kind not in {1, _ASCII, _UNDEFINED}:
            return ""
        if tag.number > most:
            raise TooLarge(
                f"tag {number} is too long", asked=f"{tag.number} bytes", limit=f"{most} bytes"
            )
        return _text(raw_values(self._peek, tag, self._limits))

    def numbers(self, number: int, most: int) -> list[int | float]:
        """Return the numbers of a tag, [] without it; Malformed where they are more than `most`."""
        tag = self._ifd.tags.get(number)
        if tag is None:
            return []
        if tag.number > most or tag.kind in {_ASCII, _UNDEFINED, *_RATIONALS}:
            raise Malformed(f"tag {number} does not hold up to {most} numbers")
        return list(values(self._peek, self._head, tag, self._limits))

    def shown(self, number: int) -> object:
        """Return what a page of metadata shows of a tag."""
        tag = self._ifd.tags[number]
        try:
            return self._shown(tag)
        except ProcessingError as error:
            return {"error": str(error)}

    def _shown(self, tag: Tag) -> object:
        if tag.kind == _ASCII:
            part = tag._replace(number=min(tag.number, TEXT_SHOWN))
            text = _text(raw_values(self._peek, part, self._limits))
            if tag.number <= TEXT_SHOWN:
                return text
            return {"first": text, "bytes": tag.number}
        if tag.kind == _UNDEFINED and tag.number > ITEMS_SHOWN:
            return {"bytes": tag.number}
        part = tag._replace(number=min(tag.number, ITEMS_SHOWN))
        found: list[object] = [
            value if math.isfinite(value) else str(value)
            for value in values(self._peek, self._head, part, self._limits)
        ]
        if tag.kind in _RATIONALS:
            found = [f"{top}/{low}" for top, low in zip(found[::2], found[1::2], strict=True)]
        if tag.number > ITEMS_SHOWN:
            return {"first": found, "count": tag.number}
        return found[0] if len(found) == 1 else found


def shown_tags(tags: Tags) -> dict[str, object]:
    """Return what is shown of a page's tags, by name, in the order of their numbers."""
    found: dict[str, object] = {}
    for number in tags:
        if len(found) == _TAGS_SHOWN:
            found["..."] = f"{len(tags) - _TAGS_SHOWN} more tags"
            break
        name = name_of(number)
        found[name if name not in found else f"{name} ({number})"] = tags.shown(number)
    return found


@cache
def _names() -> dict[int, str]:
    # A table of a large module: imported when it is first asked for.
    from tifffile import TIFF  # noqa: PLC0415

    return {int(number): str(name) for number, name in TIFF.TAGS.items()}


def name_of(number: int) -> str:
    """Return the usual name of a tag."""
    return _names().get(number, f"Tag{number}")


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("utf-8", "replace")
