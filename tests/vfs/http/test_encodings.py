import gzip
from collections.abc import Iterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from vfs.http.encodings import choose_coding, compress, is_compressible


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        (None, ""),
        ("", ""),
        ("identity", ""),
        ("*", ""),
        ("br, deflate", ""),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("identity, gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("gzip;q=0", ""),
        ("gzip;q=0, zstd;q=0, *", ""),
        ("gzip;q=0.5, identity", ""),
        ("gzip;q=0.5, *;q=1", ""),
        ("gzip;q=0.5, *;q=0.1", "gzip"),
        ("gzip;q=0.5, identity;q=0", "gzip"),
        ("identity;q=0, *;q=0", ""),
        ("GZip", "gzip"),
    ],
)
def test_the_coding_that_the_client_weighs_highest(value: str | None, coding: str) -> None:
    assert choose_coding(value) == coding


@given(st.one_of(st.text(), st.text("gzipstd*;q=01., ")))
def test_any_header_gives_a_coding(value: str) -> None:
    assert choose_coding(value) in ("", "gzip", "zstd")


@pytest.mark.parametrize(
    ("media_type", "compressible"),
    [
        ("text/csv", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("application/json", True),
        ("application/ld+json", True),
        ("image/svg+xml", True),
        ("image/tiff", False),
        ("application/gzip", False),
        ("application/octet-stream", False),
        ("", False),
    ],
)
def test_only_text_is_compressed(media_type: str, *, compressible: bool) -> None:
    assert is_compressible(media_type) is compressible


def decoded(coding: str, coded: bytes) -> bytes:
    if coding == "gzip":
        return gzip.decompress(coded)
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(coded)
    return coded


@pytest.mark.parametrize("coding", ["", "gzip", "zstd"])
@given(blocks=st.lists(st.binary()))
def test_a_coded_stream_decodes_to_the_same_bytes_and_is_always_the_same(
    coding: str, blocks: list[bytes]
) -> None:
    coded = b"".join(compress(blocks, coding))
    assert decoded(coding, coded) == b"".join(blocks)
    assert b"".join(compress(blocks, coding)) == coded


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_the_stream_leaves_while_it_is_read(coding: str) -> None:
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        for number in range(200):
            taken = number
            yield b"".join(b"%d,%d\n" % (n * number, n) for n in range(8000))

    stream = compress(source(), coding)
    next(stream)
    next(stream)
    assert taken < 40


def test_the_gzip_header_has_no_time() -> None:
    assert b"".join(compress([b"x"], "gzip"))[4:8] == b"\0\0\0\0"
