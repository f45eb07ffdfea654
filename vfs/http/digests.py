"""Checksums as header fields: RFC 3230 (Digest), RFC 9530 (Repr-Digest), ownCloud (OC-Checksum).

Algorithms have the names of `hasher.DIGEST_BYTES`; each standard spells them differently.
"""

import re
from base64 import b64encode
from collections.abc import Iterator

from vfs.http.accept import weighted
from vfs.http.hasher import DIGEST_BYTES

_RFC3230 = {
    "adler32": "adler32",
    "md5": "md5",
    "sha": "sha1",
    "sha-256": "sha256",
    "sha-512": "sha512",
}
_RFC9530 = {
    "adler": "adler32",
    "md5": "md5",
    "sha": "sha1",
    "sha-256": "sha256",
    "sha-512": "sha512",
}
_RFC3230_NAME = {ours: theirs for theirs, ours in _RFC3230.items()}
_RFC9530_NAME = {ours: theirs for theirs, ours in _RFC9530.items()}

# A member of an RFC 8941 dictionary: key, value, parameters that nobody uses here. A string among
# the parameters may hold a comma. Every repetition starts with a character of its own, so that no
# input is tried twice.
_MEMBER = re.compile(
    r"[ \t]*([a-z*][a-z0-9_.*-]*)"
    r"(?:=(?::([A-Za-z0-9+/=]*):|(-?[0-9]{1,15}(?:\.[0-9]{1,3})?|\"(?:[^\"\\]|\\.)*\"|"
    r"\?[01]|[A-Za-z*][^\s,;\"()]*)))?"
    r"(?:[ \t]*;[ \t]*[a-z*][a-z0-9_.*-]*(?:=(?:\"(?:[^\"\\]|\\.)*\"|[^\s,;\"()]+))?)*"
    r"[ \t]*(,|\Z)",
    re.ASCII,
)


def wanted_digests(value: str) -> tuple[str, ...]:
    """Return the algorithms that a Want-Digest asks for, the most wanted first.

    Equal weights keep the client's order. Unknown names are left out: the field only advises.
    """
    known = [(_RFC3230[name], weight) for name, weight in weighted(value) if name in _RFC3230]
    return _by_weight(known)


def wanted_repr_digests(value: str) -> tuple[str, ...]:
    """Return the algorithms that a Want-Repr-Digest asks for, the most wanted first."""
    known: list[tuple[str, float]] = []
    for key, _, other in dictionary(value) or ():
        if key in _RFC9530 and other is not None and other.isdecimal():
            known.append((_RFC9530[key], float(other)))
    return _by_weight(known)


def digest_field(algorithm: str, digest: bytes) -> str:
    """Return a value of Digest: adler32 in hexadecimal digits, all others in base64."""
    text = digest.hex() if algorithm == "adler32" else b64encode(digest).decode("ascii")
    return f"{_RFC3230_NAME[algorithm]}={text}"


def repr_digest_field(algorithm: str, digest: bytes) -> str:
    """Return a value of Repr-Digest or Content-Digest."""
    return f"{_RFC9530_NAME[algorithm]}=:{b64encode(digest).decode('ascii')}:"


def oc_checksum(algorithm: str, digest: bytes) -> str:
    """Return a value of OC-Checksum and of the property oc:checksums, as `SHA1:2fd4...`."""
    return f"{algorithm.upper()}:{digest.hex()}"


def rfc3230_algorithm(name: str) -> str | None:
    """Return our name for an algorithm of Digest, None if it is unknown here."""
    return _RFC3230.get(name)


def rfc9530_algorithm(name: str) -> str | None:
    """Return our name for an algorithm of Repr-Digest, None if it is unknown here."""
    return _RFC9530.get(name)


def oc_algorithm(name: str) -> str | None:
    """Return our name for an algorithm of OC-Checksum, None if it is unknown here."""
    ours = name.strip().lower().replace("-", "")
    return ours if ours in DIGEST_BYTES else None


def dictionary(value: str) -> list[tuple[str, str | None, str | None]] | None:
    """Return the members of an RFC 8941 dictionary, None if it is malformed.

    Each is its key, the base64 text of a byte sequence, and the text of any other value. Inner
    lists occur in no digest field and count as malformed.
    """
    members: list[tuple[str, str | None, str | None]] = []
    for member in _members(value):
        if member is None:
            return None
        members.append((member[1], member[2], member[3]))
    return members


def _members(value: str) -> Iterator[re.Match[str] | None]:
    position = 0
    while position < len(value):
        member = _MEMBER.match(value, position)
        yield member
        if member is None:
            return
        position = member.end()


def _by_weight(known: list[tuple[str, float]]) -> tuple[str, ...]:
    ordered = sorted(known, key=lambda item: -item[1])
    return tuple(dict.fromkeys(name for name, weight in ordered if weight > 0))
