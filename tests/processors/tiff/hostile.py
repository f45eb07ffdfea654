"""TIFFs made to harm: each small, each a lie. And changes of sound files, at random."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence

import imagecodecs
import numpy as np
from PIL import Image

Values = Sequence[int] | bytes
SHORT, LONG, LONG8 = 3, 4, 16
CODES = {1: "B", 3: "H", 4: "I", 16: "Q", 18: "Q"}


def ifd(tags: Mapping[int, tuple[int, Values]], *, at: int, after: int = 0) -> bytes:
    """Return a classic directory, little-endian, with its values behind it."""
    head = struct.pack("<H", len(tags))
    outside = b""
    behind = at + 6 + 12 * len(tags)
    for number, (kind, values) in sorted(tags.items()):
        if isinstance(values, bytes):
            raw, count = values, len(values)
        else:
            raw, count = struct.pack(f"<{len(values)}{CODES[kind]}", *values), len(values)
        head += struct.pack("<HHI", number, kind, count)
        if len(raw) <= 4:
            head += raw.ljust(4, b"\0")
        else:
            head += struct.pack("<I", behind + len(outside))
            outside += raw
    return head + struct.pack("<I", after) + outside


def page(**changes: tuple[int, Values] | None) -> dict[int, tuple[int, Values]]:
    """Return the tags of a page of 64 x 64 bytes, changed: t257=(LONG, [7]) or t257=None."""
    tags: dict[int, tuple[int, Values]] = {
        256: (LONG, [64]),
        257: (LONG, [64]),
        258: (SHORT, [8]),
        259: (SHORT, [1]),
        262: (SHORT, [1]),
        273: (LONG, [1024]),
        277: (SHORT, [1]),
        278: (LONG, [64]),
        279: (LONG, [4096]),
    }
    for name, value in changes.items():
        if value is None:
            tags.pop(int(name[1:]), None)
        else:
            tags[int(name[1:])] = value
    return tags


def file(
    tags: Mapping[int, tuple[int, Values]], data: bytes = bytes(4096), after: int = 0
) -> bytes:
    """Return a file of one page whose data begin at 1024."""
    head = b"II\x2a\0" + struct.pack("<I", 8) + ifd(tags, at=8, after=after)
    return head.ljust(1024, b"\0") + data


def packed(codec: int, data: bytes | bytearray, **changes: tuple[int, Values] | None) -> bytes:
    """Return a file of one segment that is packed."""
    tags = page(t259=(SHORT, [codec]), t279=(LONG, [len(data)]), **changes)
    return file(tags, bytes(data))


def _many_pages(count: int) -> bytes:
    """Return a chain of pages without a form."""
    parts = [b"II\x2a\0" + struct.pack("<I", 8)]
    for number in range(count):
        after = 8 + 18 * (number + 1) if number + 1 < count else 0
        parts.append(struct.pack("<HHHIII", 1, 254, LONG, 1, 0, after))
    return b"".join(parts)


def _tags(count: int) -> bytes:
    entries = b"".join(struct.pack("<HHII", n % 65536, SHORT, 1, 0) for n in range(count))
    return b"II\x2a\0" + struct.pack("<IH", 8, count) + entries + bytes(4)


def _jpeg(rows: int, columns: int) -> bytes:
    """Return a JPEG that says to be of another size than it is."""
    data = bytearray(imagecodecs.jpeg8_encode(np.zeros((64, 64), np.uint8)))
    at = data.find(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, rows, columns)
    return bytes(data)


def _scans() -> bytes:
    """Return a progressive JPEG that goes over the image again and again."""
    out = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    at = data.rfind(b"\xff\xda")
    return bytes(data[:at] + data[at:-2] * 100_000 + b"\xff\xd9")


def _jpeg2000(rows: int, columns: int) -> bytes:
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8), codecformat="j2k"))
    at = data.find(b"\xff\x4f\xff\x51")
    struct.pack_into(">II", data, at + 8, columns, rows)
    return bytes(data)


def _zeros(count: int) -> bytes:
    """Return a deflate stream of that many zero bytes, made piece by piece."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(count >> 20)]
    return b"".join([*parts, packer.flush()])


def _zstd_bomb() -> bytes:
    """Return frames of run-length blocks: megabytes from a few bytes."""
    one = imagecodecs.zstd_encode(bytes(1 << 24))
    return bytes(one) * 64


_SUB_LOOP = file(page(t330=(LONG, [8, 8, 8])))

CASES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one-byte": lambda: b"I",
    "head-only": lambda: b"II\x2a\0\x08\0\0\0",
    "no-page": lambda: b"II\x2a\0\0\0\0\0",
    "page-in-the-head": lambda: b"II\x2a\0\0\0\0\0"[:4] + struct.pack("<I", 1) + bytes(100),
    "page-behind-the-end": lambda: b"II\x2a\0\xff\xff\xff\xff" + bytes(100),
    "bigtiff-page-far-away": lambda: b"II\x2b\0\x08\0\0\0" + b"\xff" * 8 + bytes(100),
    "bigtiff-many-tags": lambda: b"II\x2b\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 63) + bytes(99),  # noqa: E501 - one case, one line
    "bigtiff-strange-offsets": lambda: b"II\x2b\0\x04\0\0\0" + struct.pack("<Q", 16) + bytes(99),
    "65535-tags": lambda: _tags(65535),
    "4096-tags": lambda: _tags(4096),
    "loop-of-one": lambda: file(page(), after=8),
    "million-and-one-pages": lambda: _many_pages(1_000_001),
    "sub-loop": lambda: _SUB_LOOP,
    "sub-many": lambda: file(page(t330=(LONG, [0xFFFFFFF0] * 50))),
    "sub-lies": lambda: file(page(t330=(LONG, b""))),
    "no-size": lambda: file(page(t256=None)),
    "size-zero": lambda: file(page(t257=(LONG, [0]))),
    "size-huge": lambda: file(page(t256=(LONG, [0xFFFFFFFF]), t257=(LONG, [0xFFFFFFFF]))),
    "size-large": lambda: file(page(t256=(LONG, [2**31 - 1]), t257=(LONG, [2**31 - 1]), t278=(LONG, [1]))),  # noqa: E501 - one case, one line
    "wide-strip": lambda: packed(8, _zeros(1 << 20), t256=(LONG, [2**31 - 1])),
    "samples-65535": lambda: file(page(t277=(SHORT, [65535]))),
    "bits-65535": lambda: file(page(t258=(SHORT, [65535]))),
    "bits-0": lambda: file(page(t258=(SHORT, [0]))),
    "bits-63": lambda: file(page(t258=(SHORT, [63]))),
    "float-of-8": lambda: file(page(t339=(SHORT, [3]))),
    "unlike-samples": lambda: file(page(t277=(SHORT, [2]), t258=(SHORT, [8, 16]))),
    "codec-unknown": lambda: file(page(t259=(SHORT, [4711]))),
    "codec-old-jpeg": lambda: file(page(t259=(SHORT, [6]))),
    "planar-9": lambda: file(page(t284=(SHORT, [9]))),
    "predictor-9": lambda: packed(8, zlib.compress(bytes(4096)), t317=(SHORT, [9])),
    "predictor-3-of-bytes": lambda: packed(8, zlib.compress(bytes(4096)), t317=(SHORT, [3])),
    "rows-per-strip-0": lambda: file(page(t278=(LONG, [0]))),
    "tile-zero": lambda: file(page(t322=(LONG, [0]), t323=(LONG, [0]), t324=(LONG, [1024]))),
    "tile-huge": lambda: file(page(t322=(LONG, [2**30]), t323=(LONG, [2**30]), t324=(LONG, [1024]), t325=(LONG, [9]))),  # noqa: E501 - one case, one line
    "no-offsets": lambda: file(page(t273=None)),
    "no-counts-deflate": lambda: file(page(t259=(SHORT, [8]), t279=None), zlib.compress(bytes(4096))),  # noqa: E501 - one case, one line
    "table-too-short": lambda: file(page(t278=(LONG, [1]))),
    "table-far-away": lambda: file(page(t278=(LONG, [1]), t273=(LONG, b"")))[:200],
    "table-of-text": lambda: file(page(t273=(2, b"abcd"))),
    "table-of-bytes": lambda: file(page(t273=(1, [9]))),
    "segment-behind-the-end": lambda: file(page(t273=(LONG, [0xFFFFFF00]))),
    "segment-cut": lambda: file(page(), bytes(4000)),
    "segment-short": lambda: file(page(t279=(LONG, [4000]))),
    "segment-huge": lambda: file(page(t259=(SHORT, [8]), t279=(LONG, [0xFFFFFFFF]))),
    "colour-map-short": lambda: file(page(t262=(SHORT, [3]), t320=(SHORT, [1] * 10))),
    "colour-map-none": lambda: file(page(t262=(SHORT, [3]))),
    "jpeg-tables-huge": lambda: file(page(t347=(1, b"x" * (2 << 20)))),
    "deflate-bomb": lambda: packed(8, _zeros(64 << 20)),
    "deflate-short": lambda: packed(8, zlib.compress(bytes(4000))),
    "deflate-noise": lambda: packed(8, random.Random(1).randbytes(5000)),
    "deflate-cut": lambda: packed(8, zlib.compress(random.Random(1).randbytes(4096))[:-50]),
    "lzw-bomb": lambda: packed(5, imagecodecs.lzw_encode(bytes(1 << 22))),
    "lzw-short": lambda: packed(5, imagecodecs.lzw_encode(bytes(4000))),
    "lzw-noise": lambda: packed(5, random.Random(1).randbytes(5000)),
    "packbits-bomb": lambda: packed(32773, b"\x81\0" * 100_000),
    "packbits-short": lambda: packed(32773, b"\x81\0" * 3),
    "zstd-bomb": lambda: packed(50000, _zstd_bomb()),
    "zstd-noise": lambda: packed(50000, random.Random(1).randbytes(5000)),
    "lzma-bomb": lambda: packed(34925, imagecodecs.lzma_encode(bytes(1 << 26))),
    "lzma-noise": lambda: packed(34925, random.Random(1).randbytes(5000)),
    "jpeg-of-another-size": lambda: packed(7, _jpeg(65000, 65000)),
    "jpeg-smaller": lambda: packed(7, _jpeg(8, 8)),
    "jpeg-of-many-scans": lambda: packed(7, _scans()),
    "jpeg-cut": lambda: packed(7, _jpeg(64, 64)[:-40]),
    "jpeg-noise": lambda: packed(7, random.Random(1).randbytes(5000)),
    "jpeg-of-16-bits": lambda: packed(7, _jpeg(64, 64), t258=(SHORT, [16])),
    "jpeg2000-of-another-size": lambda: packed(34712, _jpeg2000(2**31 - 1, 2**31 - 1)),
    "jpeg2000-cut": lambda: packed(34712, _jpeg2000(64, 64)[:60]),
    "webp-noise": lambda: packed(50001, random.Random(1).randbytes(5000)),
    "webp-of-another-size": lambda: packed(50001, imagecodecs.webp_encode(np.zeros((900, 900, 3), np.uint8))),  # noqa: E501 - one case, one line
    "lerc-noise": lambda: packed(34887, b"Lerc2 " + random.Random(1).randbytes(500)),
    "lerc-bomb": lambda: packed(34887, _zeros(32 << 20), t50674=(LONG, [4, 1])),
    "lerc-unknown": lambda: packed(34887, bytes(100), t50674=(LONG, [4, 77])),
    "fax-noise": lambda: packed(4, random.Random(1).randbytes(500), t258=(SHORT, [1])),
    "fax-of-8-bits": lambda: packed(3, random.Random(1).randbytes(500)),
    "ycbcr-raw": lambda: file(page(t262=(SHORT, [6]), t277=(SHORT, [3]), t258=(SHORT, [8, 8, 8]))),
    "volume": lambda: file(page(t32997=(LONG, [7]))),
}  # fmt: skip

# These are odd, but there is one way to read them.
READABLE = {"rows-per-strip-0", "no-counts-deflate", "sub-loop", "sub-lies", "fax-noise"}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return a sound file with some bytes changed, most of them where the structure is."""
    changed = bytearray(data)
    if not changed:
        return data
    first = struct.unpack_from("<I", data.ljust(8, b"\0"), 4)[0] % len(changed)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        place = rng.choice((0, first, first, first, rng.randrange(len(changed))))
        at = min(len(changed) - 1, place + rng.randrange(300))
        match rng.randrange(5):
            case 0:
                changed[at] = rng.randrange(256)
            case 1:
                number = rng.choice((0, 1, 0xFFFFFFFF, 0x7FFFFFFF, len(data), at))
                changed[at : at + 4] = struct.pack("<I", number)
            case 2:
                changed[at] ^= 1 << rng.randrange(8)
            case 3:
                changed[at : at + 2] = struct.pack("<H", rng.randrange(65536))
            case _:
                other = rng.randrange(len(changed))
                size = rng.randint(1, 24)
                changed[at : at + size] = changed[other : other + size]
    if rng.random() < 0.1:
        del changed[rng.randrange(len(changed)) :]
    return bytes(changed)
