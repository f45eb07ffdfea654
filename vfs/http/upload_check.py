"""Proves that an upload arrived as its checksum headers say."""

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from vfs.http.bad_request import BadRequest
from vfs.http.digests import dictionary, oc_algorithm, rfc3230_algorithm, rfc9530_algorithm
from vfs.http.hasher import DIGEST_BYTES, Hasher

_HEX = re.compile(r"[0-9A-Fa-f]+")


class _Claim(NamedTuple):
    field: str
    algorithm: str
    expected: bytes


class UploadCheck:
    """Is fed the bytes of an upload and compares them with what the client said of them.

    The claims are fixed; feeding is for one thread.
    """

    def __init__(self, claims: list[_Claim]) -> None:
        self._claims = claims
        self.hasher = Hasher(claim.algorithm for claim in claims)

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], *, partial: bool = False) -> Self | None:
        """Return the check that the headers ask for, None if they ask for none.

        `headers` has lower-case names. Algorithms that are unknown here are left out; a digest
        that is none is a BadRequest 400. With `partial` the body is only a part of the file: then
        claims about the whole file cannot be kept, and are refused.
        """
        claims = list(_claims(headers))
        if not claims:
            return None
        if partial:
            for claim in claims:
                if claim.field not in ("Content-Digest", "Content-MD5"):
                    raise BadRequest(
                        400,
                        f"{claim.field} speaks of the whole file, but this upload is a part of it;"
                        " send Content-Digest for the part.",
                    )
        return cls(claims)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the body."""
        self.hasher.update(data)

    def verify(self) -> None:
        """Return when every claim holds for the bytes fed; BadRequest 400 if not."""
        for claim in self._claims:
            got = self.hasher.digest(claim.algorithm)
            if got != claim.expected:
                raise BadRequest(
                    400,
                    f"The upload does not match its {claim.field}: {claim.algorithm} should be"
                    f" {claim.expected.hex()} but is {got.hex()}. Nothing was stored; send the"
                    " file again.",
                )


def _claims(headers: Mapping[str, str]) -> Iterator[_Claim]:
    value = headers.get("digest")
    if value is not None:
        for member in value.split(","):
            name, equals, text = member.strip(" \t").partition("=")
            algorithm = rfc3230_algorithm(name.strip(" \t").lower())
            if algorithm is not None:
                yield _claim("Digest", algorithm, text.strip(" \t"))
            elif not equals and name:
                raise _malformed("Digest", "it is no list of NAME=VALUE")
    for field in ("Repr-Digest", "Content-Digest"):
        value = headers.get(field.lower())
        if value is not None:
            members = dictionary(value)
            if members is None:
                raise _malformed(field, "it is no dictionary of byte sequences")
            for key, encoded, _ in members:
                algorithm = rfc9530_algorithm(key)
                if algorithm is not None:
                    yield _claim(field, algorithm, encoded or "", hexadecimal=False)
    value = headers.get("content-md5")
    if value is not None:
        yield _claim("Content-MD5", "md5", value.strip(" \t"))
    value = headers.get("oc-checksum")
    if value is not None:
        for member in value.split():
            name, colon, text = member.partition(":")
            algorithm = oc_algorithm(name)
            if algorithm is not None:
                yield _claim("OC-Checksum", algorithm, text)
            elif not colon:
                raise _malformed("OC-Checksum", "it is not of the form NAME:HEX")


def _claim(field: str, algorithm: str, text: str, *, hexadecimal: bool = True) -> _Claim:
    """Decode one digest. Its length tells hexadecimal from base64, whatever the field prefers."""
    size = DIGEST_BYTES[algorithm]
    if hexadecimal and algorithm == "adler32" and 0 < len(text) <= 2 * size:
        text = text.zfill(2 * size)  # some clients drop leading zeros
    if hexadecimal and len(text) == 2 * size and _HEX.fullmatch(text):
        return _Claim(field, algorithm, bytes.fromhex(text))
    try:
        digest = b64decode(text, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != size:
        raise _malformed(field, f"a digest of {algorithm} has {size} bytes")
    return _Claim(field, algorithm, digest)


def _malformed(field: str, cause: str) -> BadRequest:
    return BadRequest(400, f"{field} cannot be read: {cause}. Correct it, or leave the header out.")
