"""PUT and PATCH: nothing appears before it is whole and right, and nothing is lost."""

import base64
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.memory import MemoryOptions, MemoryProvider
from tests.vfs.http.asking import Answer, ask
from vfs.dav.door import handlers
from vfs.dav.parts import Parts
from vfs.http.gate import Gate
from vfs.state.sqlite import SqliteStore
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree

OLD = b"0123456789"


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    memory = MemoryProvider(MemoryOptions(size_bytes=1_000_000))
    with memory.create("f") as writer:
        writer.write(OLD)
        writer.commit()
    memory.mkdir("d")
    with SqliteStore(tmp_path / "state.db") as store:
        tree = Tree(MountTable([Mount("/m", [memory])]))
        yield Gate(handlers(tree, store, Parts(store, tmp_path / "uploads")))


def _put(gate: Gate, name: str, body: bytes, **headers: str) -> Answer:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return ask(gate, "PUT", f"/m/{name}", body, named)


def _content(gate: Gate, name: str = "f") -> bytes:
    return ask(gate, "GET", f"/m/{name}").body


def test_put_creates_and_replaces_and_tells_the_tag(gate: Gate) -> None:
    made = _put(gate, "new", b"1")
    assert made.status == 201
    replaced = _put(gate, "new", b"2")
    assert replaced.status == 204
    assert made.headers["etag"] != replaced.headers["etag"]
    got = ask(gate, "GET", "/m/new")
    assert got.headers["etag"] == replaced.headers["etag"]
    assert got.body == b"2"


def _sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


@pytest.mark.parametrize(
    ("field", "spelled"),
    [
        ("Digest", lambda data: f"adler32={zlib.adler32(data):08x}"),
        ("Digest", lambda data: f"sha-256={_sha256(data)}"),
        ("Repr-Digest", lambda data: f"sha-256=:{_sha256(data)}:"),
        ("Content-MD5", lambda data: base64.b64encode(hashlib.md5(data).digest()).decode()),
        ("OC-Checksum", lambda data: f"SHA1:{hashlib.sha1(data).hexdigest()}"),
    ],
)
def test_an_upload_is_compared_with_its_digest(gate: Gate, field: str, spelled: object) -> None:
    assert callable(spelled)
    wrong = ask(gate, "PUT", "/m/f", b"new", {field: spelled(b"other")})
    assert wrong.status == 400
    assert _content(gate) == OLD
    assert ask(gate, "PUT", "/m/f", b"new", {field: spelled(b"new")}).status == 204
    assert _content(gate) == b"new"


def test_conditions_protect_what_is_there(gate: Gate) -> None:
    etag = ask(gate, "HEAD", "/m/f").headers["etag"]
    assert _put(gate, "f", b"x", If_None_Match="*").status == 412
    assert _put(gate, "f", b"x", If_Match='"other"').status == 412
    assert _put(gate, "none", b"x", If_Match="*").status == 412
    assert _content(gate) == OLD
    assert _put(gate, "f", b"x", If_Match=etag).status == 204
    assert _put(gate, "f", b"y", If_Match=etag).status == 412
    assert _put(gate, "none", b"x", If_None_Match="*").status == 201


def test_time_comes_along(gate: Gate) -> None:
    put = _put(gate, "f", b"x", X_OC_Mtime="1541152800")
    assert put.headers["x-oc-mtime"] == "accepted"
    assert put.headers["etag"] == ask(gate, "HEAD", "/m/f").headers["etag"]
    assert ask(gate, "HEAD", "/m/f").headers["last-modified"] == "Fri, 02 Nov 2018 10:00:00 GMT"
    assert _put(gate, "f", b"x", X_OC_Mtime="soon").status == 400


@pytest.mark.parametrize(
    ("value", "body", "content"),
    [
        ("bytes 2-3/10", b"ab", b"01ab456789"),
        ("bytes 8-11/*", b"abcd", b"01234567abcd"),
        ("bytes 10-10/11", b"!", b"0123456789!"),
    ],
)
def test_put_of_a_part(gate: Gate, value: str, body: bytes, content: bytes) -> None:
    assert _put(gate, "f", body, Content_Range=value).status == 204
    assert _content(gate) == content


@pytest.mark.parametrize(
    ("value", "body", "status"),
    [
        ("bytes 2-3/10", b"abc", 400),
        ("bytes 3-2/10", b"ab", 400),
        ("pages 2-3/10", b"ab", 400),
        ("bytes 50-51/*", b"ab", 416),
    ],
)
def test_a_part_that_does_not_fit_changes_nothing(
    gate: Gate, value: str, body: bytes, status: int
) -> None:
    assert _put(gate, "f", body, Content_Range=value).status == status
    assert _content(gate) == OLD


@pytest.mark.parametrize(
    ("value", "content"),
    [("bytes=1-2", b"0ab3456789"), ("append", b"0123456789ab"), ("bytes=-2", b"01234567ab")],
)
def test_a_partial_update(gate: Gate, value: str, content: bytes) -> None:
    headers = {"Content-Type": "application/x-sabredav-partialupdate", "X-Update-Range": value}
    assert ask(gate, "PATCH", "/m/f", b"ab", headers).status == 204
    assert _content(gate) == content


@pytest.mark.parametrize(
    ("name", "headers", "status"),
    [
        ("d", {}, 405),
        ("d/", {}, 405),
        ("none/f", {}, 409),
        ("f/x", {}, 409),
        ("g/", {}, 405),
        ("f", {"Content-Encoding": "gzip"}, 415),
        ("..%2Fx", {}, 400),
    ],
)
def test_refusals(gate: Gate, name: str, headers: dict[str, str], status: int) -> None:
    assert ask(gate, "PUT", f"/m/{name}", b"x", headers).status == status
    assert _content(gate) == OLD


def test_a_put_without_length_is_refused(gate: Gate) -> None:
    assert ask(gate, "PUT", "/m/f", None).status == 411
    assert _content(gate) == OLD


def test_a_full_store_keeps_the_old_file(gate: Gate) -> None:
    assert _put(gate, "f", b"x" * 2_000_000).status == 507
    assert _content(gate) == OLD


def test_a_lock_or_a_list_of_the_if_header_refuses_before_the_body(gate: Gate) -> None:
    assert _put(gate, "f", b"x", If="(<urn:none>)").status == 412
    etag = ask(gate, "HEAD", "/m/f").headers["etag"]
    assert _put(gate, "f", b"x", If=f"([{etag}])").status == 204
    assert _put(gate, "f", b"x", If="no list").status == 400
