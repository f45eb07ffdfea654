"""A corpus of hostile TIFFs that adds up to any size: each file is what it counts, no holes.

The small cases of the processor's own tests come first, then families of large files by turns, each
with numbers of its own. The same seed gives the same files.
"""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from tests.processors.tiff import hostile
from tests.processors.tiff.hostile import LONG, LONG8, SHORT, Values, file, packed, page

MIB = 1 << 20
_HEAD = b"II\x2a\0" + struct.pack("<I", 8)
_BIG_HEAD = b"II\x2b\0\x08\0\0\0" + struct.pack("<Q", 16)
_CODECS = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 33003, 34712, 34887, 34925, 34933, 50000, 50001)
_NUMBERS = (0, 1, 2, 63, 64, 65, 255, 4096, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)


def corpus(total: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """Yield names and files until they have `total` bytes together, none a great part of it."""
    rng = random.Random(seed)
    size = number = 0
    for name, make in hostile.CASES.items():
        data = make()
        if len(data) > total // 16:
            continue
        size += len(data)
        yield f"case-{name}.tif", data
    families = list(FAMILIES.items())
    while size < total:
        name, make_large = families[number % len(families)]
        data = make_large(rng)
        size += len(data)
        yield f"{name}-{number}.tif", data
        number += 1


def _chain(rng: random.Random) -> bytes:
    """Return millions of pages, of no tag or of one; the last leads back, or on to nothing."""
    tags = rng.choice((0, 0, 1))
    step = 6 + 12 * tags
    count = rng.choice((2, 6)) * MIB // step
    offsets = 8 + step * np.arange(1, count + 1, dtype="<u4")
    offsets[-1] = rng.choice((0, 8, 8 + step * (count // 2), 2**32 - 1))
    pages = np.zeros((count, step), np.uint8)
    if tags:
        pages[:, :14] = np.frombuffer(struct.pack("<HHHII", 1, 254, LONG, 1, 0), np.uint8)
    pages[:, -4:] = offsets.view(np.uint8).reshape(count, 4)
    return _HEAD + pages.tobytes()


def _overlapping(rng: random.Random) -> bytes:
    """Return directories that lie in each other: each byte belongs to many pages."""
    count = rng.randrange(1, 3) * MIB // 4
    words = 8 + 4 * ((np.arange(count, dtype="<u4") * rng.choice((1, 3, 7, 65537))) % count)
    return _HEAD + words.astype("<u4").tobytes()


def _sub_trees(rng: random.Random) -> bytes:
    """Return pages whose SubIFDs are all the pages."""
    count = rng.randrange(20, 200)
    step = 6 + 12 * 10 + 4 * count
    at = [8 + step * number for number in range(count)]
    parts = [_HEAD]
    for number in range(count):
        shown = at[number:] + at[:number]
        after = at[number + 1] if number + 1 < count else rng.choice((0, 8))
        tags = page(t330=(LONG, shown), t273=(LONG, [8]), t279=(LONG, [4096]))
        parts.append(hostile.ifd(tags, at=at[number], after=after).ljust(step, b"\0"))
    return b"".join(parts).ljust(rng.randrange(1, 3) * MIB, b"\x55")


def _many_tags(rng: random.Random) -> bytes:
    """Return a chain of pages of 65,535 tags each."""
    count = rng.randrange(2, 7)
    step = 6 + 12 * 65535
    parts = [_HEAD]
    for number in range(count):
        kind = rng.choice((1, 2, 3, 4, 5, 12, 13, 16, 99))
        tags = np.zeros(65535, np.dtype([("tag", "<u2"), ("kind", "<u2"), ("n", "<u4"), ("v", "<u4")]))  # fmt: skip  # noqa: E501 - one table
        tags["tag"], tags["kind"] = np.arange(65535), kind
        tags["n"], tags["v"] = rng.choice((1, 4, 2**31, 2**32 - 1)), rng.choice(_NUMBERS)
        after = 8 + step * (number + 1) if number + 1 < count else rng.choice((0, 8))
        parts.append(struct.pack("<H", 65535) + tags.tobytes() + struct.pack("<I", after))
    return b"".join(parts)


def _long_tables(rng: random.Random) -> bytes:
    """Return a page of millions of strips, all in one place, or each behind the end."""
    count = rng.randrange(200_000, 600_000)
    offsets = np.full(count, rng.choice((1024, 2**32 - 1)), "<u4").tobytes()
    tags = page(
        t257=(LONG, [count]),
        t278=(LONG, [1]),
        t273=(LONG, b""),
        t279=(LONG, b""),
        t259=(SHORT, [rng.choice((1, 8, 50000))]),
    )
    data = bytearray(file(tags, offsets * 2))
    for tag, place in ((273, 1024), (279, 1024 + len(offsets))):
        at = data.find(struct.pack("<HH", tag, LONG))
        struct.pack_into("<II", data, at + 4, count, place)
    return bytes(data)


def _bomb(rng: random.Random) -> bytes:
    """Return a stream that unpacks to far more than is stored, in any codec that can."""
    size = rng.choice((64, 256, 600)) * MIB
    side = rng.choice((64, 8192, 30000))
    sizes = {"t256": (LONG, [side]), "t257": (LONG, [side]), "t278": (LONG, [side])}
    codec = rng.choice((8, 32946, 50000, 34925, 5, 32773, 34887))
    if codec in (8, 32946, 34887):
        data: bytes | bytearray = hostile._zeros(size)
    elif codec == 50000:
        data = imagecodecs.zstd_encode(bytes(16 * MIB)) * (size // (16 * MIB))
    elif codec == 34925:
        data = imagecodecs.lzma_encode(bytes(size // 4))
    elif codec == 5:
        data = imagecodecs.lzw_encode(bytes(size // 16))
    else:
        data = b"\x81\0" * (size // 256)
    made = packed(codec, data, **sizes)
    return made + rng.randbytes(max(0, MIB - len(made)))


def _big(rng: random.Random) -> bytes:
    """Return a BigTIFF whose numbers overflow whatever holds them."""
    wild = (0, 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 8)
    tags: dict[int, tuple[int, int, int]] = {
        256: (LONG8, 1, 64),
        257: (LONG8, 1, 64),
        258: (SHORT, 1, 8),
        259: (SHORT, 1, 1),
        262: (SHORT, 1, 1),
        273: (LONG8, 1, 1024),
        277: (SHORT, 1, 1),
        278: (LONG8, 1, 64),
        279: (LONG8, 1, 4096),
        330: (LONG8, 1, 16),
    }
    for _ in range(rng.randrange(1, 5)):
        tag = rng.choice(list(tags))
        kind, count, value = tags[tag]
        if rng.random() < 0.5:
            count = rng.choice(wild)
        else:
            value = rng.choice(wild)
        tags[tag] = (rng.choice((kind, LONG8, SHORT)), count, value)
    entries = b"".join(struct.pack("<HHQQ", tag, *tags[tag]) for tag in sorted(tags))
    after = rng.choice((0, 16, *wild))
    data = _BIG_HEAD + struct.pack("<Q", len(tags)) + entries + struct.pack("<Q", after)
    return data.ljust(1024, b"\0") + rng.randbytes(rng.randrange(1, 4) * MIB // 2)


def _absurd(rng: random.Random) -> bytes:
    """Return a page of random numbers where sizes, depths, planes and codecs stand."""
    tags: dict[int, tuple[int, Values]] = page()
    for tag in (256, 257, 277, 278, 322, 323, 284, 317, 266, 32997):
        if rng.random() < 0.4:
            tags[tag] = (LONG, [rng.choice(_NUMBERS)])
    samples = rng.choice((1, 2, 3, 5, 17))
    tags[277] = (SHORT, [samples])
    tags[258] = (SHORT, [rng.choice((0, 1, 3, 7, 8, 12, 16, 24, 63, 64, 128)) for _ in range(samples)])  # noqa: E501 - one tag  # fmt: skip
    tags[339] = (SHORT, [rng.choice((1, 2, 3, 4, 5, 6, 9)) for _ in range(samples)])
    tags[259] = (SHORT, [rng.choice(_CODECS)])
    tags[262] = (SHORT, [rng.choice((0, 1, 2, 3, 4, 5, 6, 8, 32803))])
    if rng.random() < 0.5:
        count = rng.randrange(1, 40)
        tags[324] = (LONG, [1024 + 100 * n for n in range(count)])
        tags[325] = (LONG, [rng.choice(_NUMBERS) for _ in range(count)])
    return file(tags, rng.randbytes(rng.randrange(100_000, 2 * MIB)))


def _cut(rng: random.Random) -> bytes:
    """Return a sound image that ends too early, or whose segments do."""
    pixels = np.frombuffer(rng.randbytes(MIB), np.uint8).reshape(1024, 1024)
    pixels = pixels // rng.choice((1, 16, 64))
    out = io.BytesIO()
    options: dict[str, Any] = {"tile": (256, 256)} if rng.random() < 0.7 else {}
    codec = rng.choice((None, "zlib", "zstd", "lzw", "packbits", "lzma", "jpeg2000", "webp"))
    try:
        tifffile.imwrite(out, pixels, compression=codec, metadata=None, **options)
    except Exception:
        tifffile.imwrite(out, pixels, compression="zlib", metadata=None, **options)
    data = bytearray(out.getvalue())
    match rng.randrange(3):
        case 0:
            del data[rng.randrange(len(data)) :]
        case 1:
            at = rng.randrange(len(data))
            data[at : at + 4096] = bytes(4096)
        case _:
            return hostile.mutated(bytes(data), rng)
    return bytes(data)


def _noise(rng: random.Random) -> bytes:
    """Return a right head, and then what chance says."""
    return rng.choice((_HEAD, _BIG_HEAD)) + rng.randbytes(rng.randrange(1, 4) * MIB)


def _nested(rng: random.Random) -> bytes:
    """Return a deflate stream of a deflate stream, whose size lies."""
    inner = zlib.compress(hostile._zeros(64 * MIB), 9)
    tags = page(
        t259=(SHORT, [8]),
        t256=(LONG, [len(inner)]),
        t257=(LONG, [rng.choice(_NUMBERS)]),
        t279=(LONG, [rng.choice((0, len(inner), 2**32 - 1))]),
    )
    return file(tags, inner) + rng.randbytes(MIB)


FAMILIES: dict[str, Callable[[random.Random], bytes]] = {
    "chain": _chain,
    "bomb": _bomb,
    "overlapping": _overlapping,
    "absurd": _absurd,
    "sub-trees": _sub_trees,
    "cut": _cut,
    "big": _big,
    "many-tags": _many_tags,
    "long-tables": _long_tables,
    "noise": _noise,
    "nested": _nested,
}
