"""The conditional request headers, decided in the order of RFC 9110, 13.2.2."""

import enum
from collections.abc import Mapping

import msgspec

from vfs.http.dates import parse_http_date
from vfs.http.etags import ETags, parse_etags, variants

_NS = 1_000_000_000
_READS = frozenset({"GET", "HEAD"})
# These methods select no representation, so RFC 9110, 13.2.1 has their conditions ignored.
_UNCONDITIONAL = frozenset({"OPTIONS", "TRACE", "CONNECT"})


class Verdict(enum.Enum):
    """What the conditions say; each value is the status to answer, 0 to go on."""

    PROCEED = 0
    NOT_MODIFIED = 304
    FAILED = 412


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions of one request, parsed. A field is None where the header is absent."""

    if_match: ETags | None = None
    if_none_match: ETags | None = None
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None
    if_range: str | None = None

    @property
    def can_fail(self) -> bool:
        """Tell whether any state of a target leads to another verdict than to proceed."""
        return not (
            self.if_match is None
            and self.if_none_match is None
            and self.if_modified_since is None
            and self.if_unmodified_since is None
        )

    def verdict(
        self, method: str, *, exists: bool, etag: str | None = None, mtime_ns: int | None = None
    ) -> Verdict:
        """Return what to do with a target in this state.

        `etag` is that of the representation that would be sent (GET, HEAD) or that of the bytes
        themselves (all other methods); None where there is none, as for a folder.
        """
        if self is NONE or method in _UNCONDITIONAL:
            return Verdict.PROCEED
        reads = method in _READS
        # Who read a compressed representation holds its tag; a write under it is as safe.
        tags = () if etag is None else (etag,) if reads else variants(etag)
        seconds = None if mtime_ns is None or not exists else mtime_ns // _NS
        if self.if_match is not None:
            matched = self.if_match.is_any or any(map(self.if_match.match_strongly, tags))
            if not (exists and matched):
                return Verdict.FAILED
        elif (
            self.if_unmodified_since is not None
            and seconds is not None
            and seconds > self.if_unmodified_since
        ):
            return Verdict.FAILED
        if self.if_none_match is not None:
            matched = self.if_none_match.is_any or any(map(self.if_none_match.match_weakly, tags))
            if exists and matched:
                return Verdict.NOT_MODIFIED if reads else Verdict.FAILED
        elif (
            reads
            and self.if_modified_since is not None
            and seconds is not None
            and seconds <= self.if_modified_since
        ):
            return Verdict.NOT_MODIFIED
        return Verdict.PROCEED

    def range_applies(self, *, etag: str, mtime_ns: int) -> bool:
        """Tell whether If-Range lets Range be served; without If-Range it does.

        A date counts when it is exactly the modification time: a client may send one only if it
        knows that it is strong (RFC 9110, 13.1.5).
        """
        value = self.if_range
        if value is None or value == etag:
            return True
        if '"' in value:
            return False
        return parse_http_date(value) == mtime_ns // _NS


NONE = Conditions()


def parse_conditions(headers: Mapping[str, str]) -> Conditions:
    """Read the conditions of a request; BadRequest 400 on unreadable entity tags.

    `headers` has lower-case names. Dates that are none are ignored, as RFC 9110 asks.
    """
    match = headers.get("if-match")
    none_match = headers.get("if-none-match")
    modified = headers.get("if-modified-since")
    unmodified = headers.get("if-unmodified-since")
    if_range = headers.get("if-range")
    if match is none_match is modified is unmodified is if_range is None:
        return NONE
    return Conditions(
        if_match=None if match is None else parse_etags("If-Match", match),
        if_none_match=None if none_match is None else parse_etags("If-None-Match", none_match),
        if_modified_since=None if modified is None else parse_http_date(modified),
        if_unmodified_since=None if unmodified is None else parse_http_date(unmodified),
        if_range=None if if_range is None else if_range.strip(" \t"),
    )
