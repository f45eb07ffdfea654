"""Content codings of an answer: which one, for which types, and the coded stream itself."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import zstandard

from vfs.http.accept import weighted

# Smaller bodies fit into one packet anyway.
COMPRESS_FROM_BYTES = 1024

# The order is ours: zstd costs a third of gzip's time for a smaller result.
_PREFERRED = ("zstd", "gzip")
_GZIP_LEVEL = 5
_ZSTD_LEVEL = 3
_GZIP_FORMAT = 31

_TEXTUAL = frozenset(
    {
        "application/geo+json",
        "application/javascript",
        "application/json",
        "application/sql",
        "application/toml",
        "application/x-ipynb+json",
        "application/x-ndjson",
        "application/x-tex",
        "application/xml",
        "application/yaml",
        "image/bmp",
        "image/svg+xml",
    }
)


def choose_coding(accept_encoding: str | None) -> str:
    """Return `zstd`, `gzip` or "" (identity), as the client's Accept-Encoding weighs them.

    Only a coding that is named is used: many programs send `*` and can decode nothing.
    """
    if not accept_encoding:
        return ""
    weights = dict(weighted(accept_encoding))
    if "x-gzip" in weights:
        weights.setdefault("gzip", weights["x-gzip"])
    least = weights.get("identity", weights.get("*", 0.0))
    best = max(_PREFERRED, key=lambda coding: weights.get(coding, 0.0))
    weight = weights.get(best, 0.0)
    return best if weight > 0 and weight >= least else ""


def is_compressible(media_type: str) -> bool:
    """Tell whether bodies of this media type shrink enough to be worth the time."""
    plain = media_type.partition(";")[0].strip().lower()
    return plain.startswith("text/") or plain in _TEXTUAL or plain.endswith(("+json", "+xml"))


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _gzip() -> _Compressor:
    return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)  # its header has no time


def _zstd() -> _Compressor:
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()


_COMPRESSORS: dict[str, Callable[[], _Compressor]] = {"gzip": _gzip, "zstd": _zstd}


def compress(blocks: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """Yield `blocks` in a coding of `choose_coding`; equal blocks give equal bytes.

    Holds one block and the coder's window. Small results are kept back by the coder, not sent one
    by one.
    """
    if not coding:
        yield from blocks
        return
    compressor = _COMPRESSORS[coding]()
    for block in blocks:
        coded = compressor.compress(block)
        if coded:
            yield coded
    yield compressor.flush()
