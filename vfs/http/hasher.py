"""Checksums of a stream, several algorithms in one pass."""

import hashlib
import zlib
from collections.abc import Iterable
from typing import Protocol

# Names are those of hashlib, and adler32. The value is the size of a digest in bytes.
DIGEST_BYTES = {"adler32": 4, "md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}


class _Hash(Protocol):
    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class Hasher:
    """Digests what it is fed. `algorithms` is fixed; one thread at a time."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes: dict[str, _Hash] = {
            name: _Adler32() if name == "adler32" else hashlib.new(name, usedforsecurity=False)
            for name in algorithms
        }
        self.algorithms = frozenset(self._hashes)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Add `data` to every digest."""
        for each in self._hashes.values():
            each.update(data)

    def digest(self, algorithm: str) -> bytes:
        """Return the digest of all bytes so far."""
        return self._hashes[algorithm].digest()


class _Adler32:
    def __init__(self) -> None:
        self._sum = 1

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._sum = zlib.adler32(data, self._sum)

    def digest(self) -> bytes:
        return self._sum.to_bytes(4, "big")
