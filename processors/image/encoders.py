"""Encoders: which libraries decide about the bytes of results, beside the processors themselves."""

import hashlib
import importlib.metadata
from functools import cache

from processors.image.deflate import isal_zlib

_LIBRARIES = ("imagecodecs", "isal", "matplotlib", "numpy", "pillow")
_SAMPLE_BYTES = 1 << 16


@cache
def encoders() -> str:
    """Return what stands for them: another text after an upgrade that may change bytes.

    What is not installed counts too: something else encodes then.
    """
    return " ".join([*(f"{name}={_version(name)}" for name in _LIBRARIES), f"deflate={_deflate()}"])


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _deflate() -> str:
    """Return a digest of what isal makes of a sample: it has other code for other processors."""
    if isal_zlib is None:
        return ""
    sample = b"".join(
        hashlib.blake2b(number.to_bytes(4), digest_size=size).digest() * (1 + number % 3)
        for number in range(_SAMPLE_BYTES >> 6)
        for size in (1 + number % 7, 64)
    )
    return hashlib.blake2b(isal_zlib.compress(sample, 1), digest_size=8).hexdigest()
