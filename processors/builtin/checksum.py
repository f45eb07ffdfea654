"""Checksum: the digest of one file, as the usual programs print it and check it."""

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from processors.base import MIB, Context, Output, Params, Plan, Processor, Sink, Source
from processors.stream import pieces

Algorithm = Literal["sha256", "sha512", "blake2b", "md5", "crc32", "adler32"]

MEDIA_TYPES = {"txt": "text/plain; charset=utf-8", "json": "application/json"}


class Digest(Protocol):
    """Takes bytes, gives a digest."""

    def update(self, data: bytes, /) -> object:
        """Take `data`."""
        ...

    def hexdigest(self) -> str:
        """Return the digest of all that was taken."""
        ...


class _Sum:
    """One of zlib's 32-bit sums with the face of hashlib's digests."""

    def __init__(self, step: Callable[[bytes, int], int], start: int) -> None:
        self._step = step
        self._value = start

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


# md5 is for comparing with what others published, not for safety.
_MAKERS: Mapping[str, Callable[[], Digest]] = {
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "blake2b": hashlib.blake2b,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "crc32": lambda: _Sum(zlib.crc32, 0),
    "adler32": lambda: _Sum(zlib.adler32, 1),
}
ALGORITHMS = tuple(_MAKERS)


class ChecksumParams(Params, frozen=True, kw_only=True):
    """What a checksum takes."""

    algorithm: Algorithm = "sha256"
    """How the digest is computed. `crc32` and `adler32` find accidents, not attacks, and `md5`
    only accidents by now; `blake2b` has 512 bits, as `b2sum` prints it."""


class Checksum(Processor):
    """Computes the digest of a file.

    `txt` is a line that `sha256sum --check` takes (and its kin: sha512sum, b2sum, md5sum); `json`
    adds the size. The size of the result is known before the file is read.
    """

    name = "checksum"
    pattern = "{source:path}/{algorithm:id}"
    params = ChecksumParams
    formats = ("txt", "json")

    def plan(self, source: Source, params: ChecksumParams, context: Context) -> Plan:  # noqa: D102
        size = len(_text(source, params, "0" * digits(params.algorithm)))
        output = Output(media_type=MEDIA_TYPES[params.format], size=size)
        return Plan(outputs=(output,), bytes_wanted=source.size, memory_bytes=32 * MIB)

    def run(self, source: Source, params: ChecksumParams, sink: Sink, context: Context) -> None:  # noqa: D102
        sink.write(_text(source, params, digest_of(source, params.algorithm, context)))

    def info(self, source: Source, context: Context) -> Mapping[str, object]:  # noqa: D102
        return {"size": source.size, "algorithms": list(ALGORITHMS)}

    def values(self, name: str, source: Source, context: Context) -> tuple[str, ...] | None:  # noqa: D102
        return ALGORITHMS if name == "algorithm" else None


def digest_of(source: Source, algorithm: str, context: Context) -> str:
    """Return the digest of all bytes of `source` in hexadecimal digits."""
    digest = _MAKERS[algorithm]()
    done = 0
    with context.phase("read"):
        for piece in pieces(source, context):
            digest.update(piece)
            done += len(piece)
            context.progress(done, source.size)
    return digest.hexdigest()


def digits(algorithm: str) -> int:
    """Return how many hexadecimal digits a digest has."""
    return len(_MAKERS[algorithm]().hexdigest())


def line(digest: str, name: str) -> bytes:
    """Return one line as GNU's sha256sum prints it, names with line breaks escaped as there."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != name else ""
    return f"{mark}{digest}  {escaped}\n".encode("utf-8", "surrogateescape")


def _text(source: Source, params: ChecksumParams, digest: str) -> bytes:
    if params.format == "txt":
        return line(digest, source.name)
    facts = {
        "name": source.name,
        "size": source.size,
        "algorithm": params.algorithm,
        "digest": digest,
    }
    return (json.dumps(facts, indent=2) + "\n").encode()
