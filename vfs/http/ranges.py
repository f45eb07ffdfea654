"""Byte ranges: of a download, of a partial upload, and the framing of several in one answer."""

import re
import secrets
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vfs.http.bad_request import BadRequest

# One request reads many small pieces of a large file at once (vectored reads); a list longer than
# this is ignored and the whole file is sent, as RFC 9110, 14.2 allows.
MAX_RANGES = 1000

_SPEC = re.compile(r"(?:([0-9]*)-([0-9]*))?")
_CONTENT_RANGE = re.compile(r"bytes[ \t]+([0-9]+)-([0-9]+)/([0-9]+|\*)", re.ASCII | re.IGNORECASE)
_UPDATE_RANGE = re.compile(r"bytes[ \t]*=[ \t]*([0-9]*)-([0-9]*)", re.ASCII | re.IGNORECASE)
_MAX_OFFSET = 2**63 - 1
_MAX_DIGITS = 19


class Span(NamedTuple):
    """`size` bytes from `offset`."""

    offset: int
    size: int


def parse_range(value: str, size: int) -> list[Span] | None:
    """Return the pieces of a file of `size` bytes that a Range header asks for.

    None says that the header is to be ignored: another unit, a syntax error, a reversed range, too
    many ranges, or an empty file. Pieces keep their order unless some overlap, in which case they
    are joined, so that no byte leaves twice. BadRequest 416 if no piece lies in the file.
    """
    unit, _, text = value.partition("=")
    if unit.strip(" \t").lower() != "bytes" or size == 0 or text.count(",") >= MAX_RANGES:
        return None
    spans: list[Span] = []
    asked = False
    for part in text.split(","):
        spec = _SPEC.fullmatch(part.strip(" \t"))
        if spec is None:
            return None
        first, last = spec.groups()
        if first is None:
            continue  # an empty list element means nothing
        if not (first or last):
            return None
        asked = True
        if first:
            start = _number(first)
            if last and _number(last) < start:
                return None
            stop = min(_number(last) + 1, size) if last else size
        else:
            start, stop = max(size - _number(last), 0), size
        if start < stop:
            spans.append(Span(start, stop - start))
    if not asked:
        return None
    if not spans:
        raise BadRequest(
            416,
            f"The range lies outside the file, which has {size} bytes; ask for bytes from 0 to"
            f" {size - 1}.",
            headers=(("Content-Range", f"bytes */{size}"),),
        )
    return _without_overlap(spans) if len(spans) > 1 else spans


def content_range(span: Span, size: int) -> str:
    """Return the Content-Range of one piece of a file of `size` bytes."""
    return f"bytes {span.offset}-{span.offset + span.size - 1}/{size}"


class Multipart:
    """Frames several pieces as multipart/byteranges; all lengths are known before sending.

    All attributes are fixed.
    """

    def __init__(self, spans: Sequence[Span], size: int, media_type: str) -> None:
        # It must not occur in the data, which may be chosen by an enemy: so it is random.
        self.boundary = secrets.token_hex(16)
        self.content_type = f"multipart/byteranges; boundary={self.boundary}"
        self._parts = [
            (
                f"\r\n--{self.boundary}\r\nContent-Type: {media_type}\r\n"
                f"Content-Range: {content_range(span, size)}\r\n\r\n".encode("latin-1"),
                span,
            )
            for span in spans
        ]
        self.tail = f"\r\n--{self.boundary}--\r\n".encode("ascii")
        self.length = len(self.tail) + sum(len(head) + span.size for head, span in self._parts)

    def parts(self) -> Iterator[tuple[bytes, Span]]:
        """Yield what to send before each piece, and the piece; `tail` follows the last."""
        return iter(self._parts)


def parse_content_range(value: str, length: int | None = None) -> Span:
    """Return where the body of a PUT with Content-Range goes; BadRequest 400 if it is unclear.

    `length` is the Content-Length, where there is one: it must agree.
    """
    found = _CONTENT_RANGE.fullmatch(value.strip(" \t"))
    if found is None:
        raise BadRequest(
            400, "Content-Range cannot be read; send it as bytes FIRST-LAST/SIZE or with * as SIZE."
        )
    first, last = _number(found[1]), _number(found[2])
    if last < first or last > _MAX_OFFSET or (found[3] != "*" and _number(found[3]) <= last):
        raise BadRequest(
            400, "Content-Range contradicts itself; FIRST <= LAST < SIZE must hold, below 2^63."
        )
    return _fits("Content-Range", Span(first, last - first + 1), length)


def parse_update_range(value: str, size: int, length: int | None) -> Span:
    """Return where the body of a SabreDAV PATCH goes in a file of `size` bytes.

    Forms of X-Update-Range: `append`, `bytes=3-6`, `bytes=3-`, `bytes=-4` (the last four).
    `length` is the Content-Length, without which there is no telling (411).
    """
    if length is None:
        raise BadRequest(411, "A partial update needs a Content-Length; send one.")
    value = value.strip(" \t")
    if value.lower() == "append":
        return Span(size, length)
    found = _UPDATE_RANGE.fullmatch(value)
    if found is None or not (found[1] or found[2]):
        raise BadRequest(
            400,
            "X-Update-Range cannot be read; send append, bytes=FIRST-LAST, bytes=FIRST- or"
            " bytes=-COUNT.",
        )
    if not found[1]:
        count = _number(found[2])
        if count > size:
            raise BadRequest(
                416, f"X-Update-Range starts before the file, which has {size} bytes; send less."
            )
        return Span(size - count, length)
    first = _number(found[1])
    if first + length > _MAX_OFFSET:
        raise BadRequest(416, "X-Update-Range lies beyond 2^63 bytes; no file is that long.")
    if not found[2]:
        return Span(first, length)
    last = _number(found[2])
    if last < first:
        raise BadRequest(416, "X-Update-Range is reversed; FIRST <= LAST must hold.")
    return _fits("X-Update-Range", Span(first, last - first + 1), length)


def _fits(field: str, span: Span, length: int | None) -> Span:
    if length is not None and length != span.size:
        raise BadRequest(
            400,
            f"{field} names {span.size} bytes but Content-Length says {length}; make them agree.",
        )
    return span


def _number(digits: str) -> int:
    """Return a number, or one beyond every file for a number that is too long to be one."""
    if len(digits) > _MAX_DIGITS:
        digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS


def _without_overlap(spans: list[Span]) -> list[Span]:
    ordered = sorted(spans)
    joined = [ordered[0]]
    for span in ordered[1:]:
        before = joined[-1]
        end = before.offset + before.size
        if span.offset < end:
            joined[-1] = Span(before.offset, max(end, span.offset + span.size) - before.offset)
        else:
            joined.append(span)
    return joined if len(joined) < len(spans) else spans
