"""Strong entity tags from version tokens, and lists of them from clients (RFC 9110, 8.8.3)."""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence

import msgspec

from vfs.http.bad_request import BadRequest

# A content coding is another representation with a tag of its own. The colon stands in no plain
# token, so that no version can be taken for a coded one.
CODINGS = ("gzip", "zstd")

_PLAIN = re.compile(r"[A-Za-z0-9._+-]{1,64}")
_PLAIN_LINES = re.compile(rf"(?:{_PLAIN.pattern}\n)*+")
_MEMBER = re.compile(r'[ \t]*+(?:(W/)?("[\x21\x23-\x7e\x80-\xff]*+")[ \t]*+)?(?:,|\Z)')


class ETags(msgspec.Struct, frozen=True, gc=False):
    """A list of entity tags as a client sends it, or `*` for any."""

    is_any: bool
    strong: frozenset[str]
    weak: frozenset[str]

    def match_strongly(self, etag: str) -> bool:
        """Tell whether `etag` is among the strong tags: the bytes are the same."""
        return etag in self.strong

    def match_weakly(self, etag: str) -> bool:
        """Tell whether `etag` is among the tags, weak ones included."""
        return etag in self.strong or etag in self.weak


def make_etag(version: str, coding: str = "") -> str:
    """Return the quoted strong tag of a version, in a content coding if one is named.

    A short plain token stands in the tag as it is; any other is hashed, behind a tilde that no
    plain token holds.
    """
    if _PLAIN.fullmatch(version) is None:
        hashed = hashlib.blake2b(version.encode("utf-8", "surrogatepass"), digest_size=18)
        version = "~" + urlsafe_b64encode(hashed.digest()).decode("ascii")
    return f'"{version}:{coding}"' if coding else f'"{version}"'


def make_etags(versions: Sequence[str]) -> list[str]:
    """Return `make_etag` of each of many versions."""
    lines = "\n".join((*versions, ""))
    if _PLAIN_LINES.fullmatch(lines) is not None and lines.count("\n") == len(versions):
        return [f'"{version}"' for version in versions]
    return [make_etag(version) for version in versions]


def variants(etag: str) -> tuple[str, ...]:
    """Return the tags of all representations of the version that `etag` names, identity first."""
    return (etag, *(f'{etag[:-1]}:{coding}"' for coding in CODINGS))


def parse_etags(field: str, value: str) -> ETags:
    """Parse the value of If-Match or If-None-Match; BadRequest 400 if it is no list of tags.

    A precondition that cannot be read is refused, never skipped: skipping it would overwrite.
    """
    if value.strip(" \t") == "*":
        return ETags(is_any=True, strong=frozenset(), weak=frozenset())
    strong: set[str] = set()
    weak: set[str] = set()
    position = 0
    while position < len(value):
        member = _MEMBER.match(value, position)
        if member is None:
            break
        if member[2] is not None:
            (weak if member[1] else strong).add(member[2])
        position = member.end()
    if position < len(value) or not (strong or weak):
        raise BadRequest(
            400,
            f"{field} is neither * nor a list of quoted entity tags; send the ETag as it was"
            ' received, with its quotes, for example "a1b2".',
        )
    return ETags(is_any=False, strong=frozenset(strong), weak=frozenset(weak))
