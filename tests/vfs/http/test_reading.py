"""GET and HEAD answer alike: whole files, parts, conditions, codings, digests, listings."""

import base64
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from providers.memory import MemoryOptions, MemoryProvider
from tests.vfs.http.asking import Answer, ask
from vfs.dav.door import handlers
from vfs.dav.parts import Parts
from vfs.http.gate import Gate
from vfs.state.sqlite import SqliteStore
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree

DATA = bytes(range(256)) * 40
TEXT = b"a line of text that repeats\n" * 500


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    memory = MemoryProvider(MemoryOptions())
    for name, data in {"f.bin": DATA, "t.txt": TEXT, "short.txt": b"hi", "empty": b""}.items():
        with memory.create(name) as writer:
            writer.write(data)
            writer.commit()
    memory.mkdir("d")
    with SqliteStore(tmp_path / "state.db") as store:
        tree = Tree(MountTable([Mount("/m", [memory])]))
        yield Gate(handlers(tree, store, Parts(store, tmp_path / "uploads")))


def _get(gate: Gate, name: str, **headers: str) -> Answer:
    """GET, after checking that HEAD answers the same without a body."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    got = ask(gate, "GET", f"/m/{name}", headers=named)
    if "Range" not in headers:
        head = ask(gate, "HEAD", f"/m/{name}", headers=named)
        assert head.status == got.status
        assert head.headers | {"x-request-id": ""} == got.headers | {"x-request-id": ""}
    return got


def test_a_whole_file(gate: Gate) -> None:
    got = _get(gate, "f.bin")
    assert (got.status, got.body) == (200, DATA)
    assert got.headers["content-length"] == str(len(DATA))
    assert got.headers["accept-ranges"] == "bytes"
    assert re.fullmatch(r'"[^"]+"', got.headers["etag"])
    assert _get(gate, "empty").body == b""


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=5-", 5, 10239),
        ("bytes=-3", 10237, 10239),
        ("bytes=1-99999", 1, 10239),
    ],
)
def test_one_range(gate: Gate, value: str, first: int, last: int) -> None:
    got = _get(gate, "f.bin", Range=value)
    assert (got.status, got.body) == (206, DATA[first : last + 1])
    assert got.headers["content-range"] == f"bytes {first}-{last}/{len(DATA)}"
    assert got.headers["content-length"] == str(last - first + 1)


def test_several_ranges_come_framed_with_their_length(gate: Gate) -> None:
    got = _get(gate, "f.bin", Range="bytes=0-1,100-104,-2")
    assert got.status == 206
    assert got.headers["content-length"] == str(len(got.body))
    boundary = got.headers["content-type"].partition("boundary=")[2].encode()
    parts = got.body.split(b"\r\n--" + boundary)
    assert parts[0] == b""
    assert parts[-1] == b"--\r\n"
    assert [part.partition(b"\r\n\r\n")[2] for part in parts[1:-1]] == [
        DATA[0:2],
        DATA[100:105],
        DATA[-2:],
    ]


@pytest.mark.parametrize("value", ["bytes=7-2", "bytes=a-b", "lines=1-2", "bytes=", "bytes=--1"])
def test_a_range_that_says_nothing_is_ignored(gate: Gate, value: str) -> None:
    got = _get(gate, "f.bin", Range=value)
    assert (got.status, got.body) == (200, DATA)


def test_a_range_beyond_the_end_is_refused_with_the_size(gate: Gate) -> None:
    got = _get(gate, "f.bin", Range="bytes=10240-")
    assert got.status == 416
    assert got.headers["content-range"] == "bytes */10240"


def test_if_range_decides_between_part_and_whole(gate: Gate) -> None:
    etag = _get(gate, "f.bin").headers["etag"]
    for value, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200)):
        assert _get(gate, "f.bin", Range="bytes=0-4", If_Range=value).status == status
    modified = _get(gate, "f.bin").headers["last-modified"]
    assert _get(gate, "f.bin", Range="bytes=0-4", If_Range=modified).status == 206


def test_conditions(gate: Gate) -> None:
    whole = _get(gate, "f.bin")
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    same = _get(gate, "f.bin", If_None_Match=f'"x", {etag}')
    assert (same.status, same.body, same.headers["etag"]) == (304, b"", etag)
    assert _get(gate, "f.bin", If_None_Match='"x"').status == 200
    assert _get(gate, "f.bin", If_Modified_Since=modified).status == 304
    assert _get(gate, "f.bin", If_Match='"x"').status == 412
    assert _get(gate, "f.bin", If_Match=etag).status == 200
    assert _get(gate, "f.bin", If_Unmodified_Since="Mon, 01 Jan 1990 00:00:00 GMT").status == 412


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_coding_is_another_representation(gate: Gate, coding: str) -> None:
    plain = _get(gate, "t.txt")
    coded = _get(gate, "t.txt", Accept_Encoding=coding)
    assert coded.headers["content-encoding"] == coding
    assert coded.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert coded.headers["etag"] != plain.headers["etag"]
    assert len(coded.body) < len(TEXT) / 4
    unpack = gzip.decompress if coding == "gzip" else _unzstd
    assert unpack(coded.body) == TEXT
    again = _get(gate, "t.txt", Accept_Encoding=coding, If_None_Match=coded.headers["etag"])
    assert again.status == 304
    assert _get(gate, "t.txt", If_None_Match=coded.headers["etag"]).status == 200


def _unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def test_ranges_and_what_does_not_shrink_come_as_they_are(gate: Gate) -> None:
    part = _get(gate, "t.txt", Accept_Encoding="gzip", Range="bytes=0-5")
    assert (part.status, part.body) == (206, TEXT[:6])
    assert "content-encoding" not in part.headers
    for name in ("f.bin", "short.txt"):
        got = _get(gate, name, Accept_Encoding="gzip, zstd")
        assert "content-encoding" not in got.headers
    assert "content-encoding" not in _get(gate, "t.txt", Accept_Encoding="gzip;q=0").headers


def test_digests_of_the_whole_file(gate: Gate) -> None:
    adler = _get(gate, "f.bin", Want_Digest="adler32").headers["digest"]
    assert adler == f"adler32={zlib.adler32(DATA):08x}"
    md5 = _get(gate, "f.bin", Want_Digest="unknown, md5;q=0.4, crc64;q=1").headers["digest"]
    assert md5 == "md5=" + base64.b64encode(hashlib.md5(DATA).digest()).decode()
    new = _get(gate, "f.bin", Want_Repr_Digest="sha-256=5, sha-512=0").headers["repr-digest"]
    assert new == f"sha-256=:{base64.b64encode(hashlib.sha256(DATA).digest()).decode()}:"
    assert "digest" not in _get(gate, "f.bin", Want_Digest="nonsense").headers


def test_a_digest_follows_the_file(gate: Gate) -> None:
    _get(gate, "f.bin", Want_Digest="adler32")
    assert ask(gate, "PUT", "/m/f.bin", b"other").status == 204
    adler = _get(gate, "f.bin", Want_Digest="adler32").headers["digest"]
    assert adler == f"adler32={zlib.adler32(b'other'):08x}"


def test_a_folder_is_listed_as_page_or_as_json(gate: Gate) -> None:
    page = _get(gate, "")
    assert page.headers["content-type"].startswith("text/html")
    assert b'href="/m/f.bin"' in page.body or b'href="f.bin"' in page.body
    told = json.loads(_get(gate, "", Accept="application/json").body)
    assert {entry["name"]: entry["kind"] for entry in told["entries"]} == {
        "f.bin": "file",
        "t.txt": "file",
        "short.txt": "file",
        "empty": "file",
        "d": "folder",
    }


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/m/none", 404),
        ("/m/f.bin/", 404),
        ("/m/f.bin/x", 404),
        ("/none", 404),
        ("/m/a%2Fb", 400),
        ("/m/../x", 400),
        ("/m/%00", 400),
        ("/.headgate-x", 400),
    ],
)
def test_refusals_say_why(gate: Gate, target: str, status: int) -> None:
    got = ask(gate, "GET", target)
    if status == 404:
        assert got.status in (404, 409)
    else:
        assert got.status == status
    assert got.headers["content-type"].startswith("text/plain")
    assert got.body.endswith(b"\n")


def test_the_readiness_target(gate: Gate) -> None:
    assert ask(gate, "GET", "/.headgate-ready").status == 200
    gate.stopping = True
    assert ask(gate, "GET", "/.headgate-ready").status == 503


def test_a_patch_tells_the_digest_of_what_is_stored(gate: Gate) -> None:
    """Clients for Nextcloud check their uploads so."""
    answer = ask(gate, "PATCH", "/m/f.bin", headers={"X-Recalculate-Hash": "sha1"})
    stored = ask(gate, "GET", "/m/f.bin").body
    assert answer.status == 204
    assert answer.headers["oc-checksum"] == f"SHA1:{hashlib.sha1(stored).hexdigest()}"
    assert ask(gate, "PATCH", "/m/f.bin", headers={"X-Recalculate-Hash": "crc"}).status == 400
    assert ask(gate, "PATCH", "/m/none", headers={"X-Recalculate-Hash": "md5"}).status == 404
