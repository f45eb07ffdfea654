"""Derived files of a whole gateway: the address of the field, as clients and drives use it."""

import dataclasses
import gzip
import hashlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zstandard

from tests import planted
from tests.e2e.accounts import add_user, as_user, command
from tests.e2e.wire import DAV, Answer, ask, expect, lock_body, members, prop, set_property
from tests.servers import headgate
from tests.servers.daemon import Daemon
from tests.servers.target import Target
from vfs.auth.passwords import hash_password

URL = "dispel/tiffstore/312/20181129/12/0-1200-0-400"
LAYERS, HEIGHT, WIDTH = 16, 500, 1300
TEMPLATES = """
[templates.tiffstore]
path = "{subject:id}/{date:date}/{layer:int}/{grid:grid}"
source = "/archive/{subject}/{date}.tif"
run = ["tiff.window"]

[templates.turned]
path = "{subject:id}/{date:date}/{layer:int}/{grid:grid}"
source = "/archive/{subject}/{date}.tif"
run = ["tiff.window"]
grid_order = "yyxx"
layer_base = 1
formats = ["npy", "png"]
"""


def stack(seed: int = 0) -> np.ndarray[Any, Any]:
    """Return the layers of a source."""
    count = LAYERS * HEIGHT * WIDTH
    pixels = (np.arange(count, dtype=np.uint32) * 31 + seed) % 65521
    return pixels.astype(np.uint16).reshape(LAYERS, HEIGHT, WIDTH)


def write(path: Path, seed: int = 0) -> None:
    """Write a tiled, packed TIFF, in one step as a careful program does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_suffix(".new")
    tifffile.imwrite(
        made, stack(seed), tile=(256, 256), compression="zlib", photometric="minisblack"
    )
    made.rename(path)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A gateway over an archive of two subjects, for tests that change nothing for others."""
    folder = tmp_path_factory.mktemp("dispel")
    write(folder / "archive" / "312" / "20181129.tif")
    write(folder / "archive" / "313" / "20190101.tif", 7)
    (folder / "archive" / "notes.txt").write_text("one\ntwo\n" * 500)
    mounts = {"archive": {"provider": "local", "root": str(folder / "archive")}}
    with headgate.launch(folder, mounts=mounts, more=TEMPLATES) as daemon:
        yield daemon


@pytest.fixture
def target(gateway: Daemon) -> Target:
    """Where the gateway is."""
    return gateway.target


def window(answer: Answer) -> np.ndarray[Any, Any]:
    """Return the pixels of a TIFF, read by another program's reader."""
    expect(answer.status == 200, f"{answer.status}: {answer.body[:200]!r}")
    pixels: np.ndarray[Any, Any] = tifffile.imread(io.BytesIO(answer.body))
    return pixels


def test_who_wants_the_bytes_has_them_planned_and_made_in_one_go(target: Target) -> None:
    url = "dispel/tiffstore/312/20181129/3/0-300-0-{}.npy"
    whole = ask(target, "GET", url.format(100))
    # The phase tells that the computation itself had to plan.
    assert "plan;dur=" in whole.header("Server-Timing")
    planned = ask(target, "HEAD", url.format(101))
    assert int(planned.header("Content-Length")) > len(whole.body)
    then = ask(target, "GET", url.format(101))
    assert "plan;dur=" not in then.header("Server-Timing")
    assert len(then.body) == int(planned.header("Content-Length"))
    # A condition may need no bytes, so only the plan is asked for, and nothing is made.
    tag = {"If-None-Match": ask(target, "HEAD", url.format(102)).header("ETag")}
    assert ask(target, "GET", url.format(102), None, **tag).status == 304
    assert ask(target, "GET", url.format(102)).header("X-Cache") == "miss"


def test_the_address_of_the_field_gives_the_window(target: Target) -> None:
    answer = ask(target, "GET", URL)
    assert np.array_equal(window(answer), stack()[12, 0:400, 0:1200])
    assert answer.header("Content-Type") == "image/tiff"
    assert answer.header("Link") == f'</{URL}>; rel="canonical"'
    assert answer.header("X-Provenance")
    assert "decode;dur=" in answer.header("Server-Timing")
    again = ask(target, "GET", URL)
    assert again.header("X-Cache") == "hit"
    assert again.body == answer.body
    assert again.header("ETag") == answer.header("ETag")


def test_head_tells_the_exact_size_of_what_is_not_made(target: Target) -> None:
    name = URL.replace("/12/", "/3/")
    head = ask(target, "HEAD", name)
    assert head.status == 200
    assert not head.header("X-Cache")
    cost = json.loads(ask(target, "GET", f"{name}.cost.json").body)
    assert not cost["cached"]
    answer = ask(target, "GET", name)
    assert answer.header("X-Cache") == "miss"
    assert len(answer.body) == int(head.header("Content-Length")) == cost["output_bytes"]
    assert answer.header("ETag") == head.header("ETag")


def test_what_a_client_has_is_not_made_again(target: Target) -> None:
    name = URL.replace("/12/", "/4/")
    etag = ask(target, "HEAD", name).header("ETag")
    assert ask(target, "GET", name, If_None_Match=etag).status == 304
    assert not json.loads(ask(target, "GET", f"{name}.cost.json").body)["cached"]


def test_ranges_and_resumed_downloads(target: Target) -> None:
    whole = ask(target, "GET", URL)
    part = ask(target, "GET", URL, Range="bytes=1000-1999")
    assert (part.status, part.body) == (206, whole.body[1000:2000])
    etag = whole.header("ETag")
    rest = ask(target, "GET", URL, Range="bytes=900000-", If_Range=etag)
    assert (rest.status, rest.body) == (206, whole.body[900000:])
    fresh = ask(target, "GET", URL.replace("/12/", "/5/"), Range="bytes=0-9,100-109")
    assert fresh.status == 206


def test_the_query_is_another_way_to_write_it(target: Target) -> None:
    base = "dispel/tiffstore/312/20181129"
    answer = ask(target, "GET", f"{base}?layer=12&grid=0-1200-0-400")
    assert np.array_equal(window(answer), stack()[12, 0:400, 0:1200])
    assert answer.header("Link") == f'</{URL}>; rel="canonical"'
    assert ask(target, "GET", f"{base}/12/full?format=png").body.startswith(b"\x89PNG")
    for wrong in ("layer", "layer=1,2", "layer=1%2F2", "layr=1", "layer=1&layer=2", "x" * 3000):
        assert ask(target, "GET", f"{base}?{wrong}").status == 400, wrong


def test_switches_of_a_template(target: Target) -> None:
    answer = ask(target, "GET", "dispel/turned/312/20181129/13/0-400-0-1200")
    assert np.array_equal(np.load(io.BytesIO(answer.body)), stack()[12, 0:400, 0:1200])
    info = json.loads(ask(target, "GET", "dispel/turned/312/20181129/.info.json").body)
    assert "y0-y1-x0-x1" in info["conventions"]["grid"]
    assert "from 1" in info["conventions"]["layer"]


def test_any_file_is_a_source_of_a_ready_template(target: Target) -> None:
    name = "dispel/window/~/archive/312/20181129.tif/~/12/0-1200-0-400"
    assert np.array_equal(window(ask(target, "GET", name)), stack()[12, 0:400, 0:1200])
    layers = window(ask(target, "GET", name.replace("/12/", "/2+5-7/")))
    assert np.array_equal(layers, stack()[[2, 5, 6], 0:400, 0:1200])
    assert ask(target, "GET", f"{name}.jpg").status == 501
    text = ask(target, "GET", "dispel/checksum/~/archive/notes.txt/~/sha256").body
    assert hashlib.sha256(b"one\ntwo\n" * 500).hexdigest() in text.decode()


def test_a_drive_can_walk_and_read_it(target: Target) -> None:
    """PROPFIND of each level shows the next; what it says of a file is so when it is read."""
    assert {"tiffstore", "turned", "window", "checksum"} <= members(target, "dispel/")
    assert members(target, "dispel/tiffstore/") == {"312", "313"}
    assert members(target, "dispel/tiffstore/312/") == {"20181129"}
    assert members(target, "dispel/tiffstore/312/20181129/") == {str(n) for n in range(LAYERS)}
    assert members(target, "dispel/window/~/archive/") == {"312", "313", "notes.txt"}
    name = URL.replace("/12/", "/6/")
    length = prop(target, name, DAV + "getcontentlength")
    etag = prop(target, name, DAV + "getetag")
    assert length is not None
    assert etag is not None
    answer = ask(target, "GET", name)
    assert answer.header("X-Cache") == "miss"
    assert (int(length.text or 0), etag.text) == (len(answer.body), answer.header("ETag"))
    assert ask(target, "PROPFIND", "dispel/tiffstore/", Depth="infinity").status == 403
    for noise in (".DS_Store", "._12", "Thumbs.db", "desktop.ini"):
        assert ask(target, "PROPFIND", f"dispel/tiffstore/312/{noise}", Depth="0").status == 404


def test_text_is_packed_on_the_way(target: Target) -> None:
    name = "dispel/tiffstore/312/20181129/.info.json"
    plain = ask(target, "GET", name)
    packed = ask(target, "GET", name, Accept_Encoding="gzip")
    assert packed.header("Content-Encoding") == "gzip"
    assert len(packed.body) < len(plain.body)
    assert json.loads(plain.body)["content"]["layers"] == LAYERS


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("dispel/tiffstor/312", 404),
        ("dispel/tiffstore/312/2018-11-29/12/0-1200-0-400", 400),
        ("dispel/tiffstore/312/20181329/12/0-1200-0-400", 400),
        ("dispel/tiffstore/312/20181129/twelve/0-1200-0-400", 400),
        ("dispel/tiffstore/312/20181129/16/0-1200-0-400", 400),
        ("dispel/tiffstore/312/20181129/16/", 400),
        ("dispel/tiffstore/312/20181129/12/0-1200-0-4000", 400),
        ("dispel/tiffstore/312/20181129/12/1200-0-0-400", 400),
        ("dispel/tiffstore/312/20181129/12/0-1200", 400),
        ("dispel/tiffstore/312/20181129/12/0-1200-0-400.gif", 400),
        ("dispel/tiffstore/312/20181129/12/0-1200-0-400.jpg", 501),
        ("dispel/tiffstore/312/20181129/12/0-1200-0-400,level=7", 400),
        ("dispel/tiffstore/312/20181129/12/0-1200-0-400,levl=0", 400),
        ("dispel/tiffstore/312/20181129/12/0-1200-0-400/layer=3", 400),
        ("dispel/tiffstore/312/20181129/12/0-1200-0-400/9", 400),
        ("dispel/window/~/archive/notes.txt/~/0/full", 422),
        ("dispel/window/~/archive/312/~/0/full", 400),
        ("dispel/window/archive/312/20181129.tif/0/full", 400),
        ("dispel/turned/312/20181129/0/full", 400),
        ("dispel/checksum/~/dispel/tiffstore/~/sha256", 400),
    ],
)
def test_a_wrong_request_is_told_what_is_right(target: Target, name: str, status: int) -> None:
    """Both to programs and at a terminal; and the example that is given works."""
    answer = ask(target, "GET", name)
    assert answer.status == status, answer.body
    assert answer.header("Content-Type") == "application/problem+json"
    told = json.loads(answer.body)
    assert told["status"] == status
    assert told["title"]
    assert told["detail"]
    example = ask(target, "GET", told["example"].removeprefix("/"))
    assert example.status == 200, (told, example.body[:300])
    text = ask(target, "GET", name, Accept="*/*")
    assert text.status == status
    assert text.header("Content-Type").startswith("text/plain")
    assert f"example: {told['example']}\n" in text.body.decode()
    assert b"Traceback" not in answer.body + text.body
    assert ask(target, "HEAD", name).status == status
    assert ask(target, "PROPFIND", name, Depth="0").status == status


def test_what_has_no_source_is_404(target: Target) -> None:
    for name in (URL.replace("312", "999"), URL.replace("20181129", "20200101")):
        for method in ("GET", "HEAD", "PROPFIND", "DELETE"):
            assert (
                ask(target, method, name, Depth="0" if method == "PROPFIND" else "infinity").status
                == 404
            )


def test_nothing_can_be_written(target: Target) -> None:
    assert ask(target, "PUT", URL, b"x").status == 403
    assert ask(target, "PUT", "dispel/new", b"x").status == 403
    assert ask(target, "MKCOL", "dispel/tiffstore/400").status in (403, 405)
    assert ask(target, "MOVE", URL, Destination=f"{target.url}archive/x.tif").status == 403
    assert set_property(target, URL, "{x:}colour", "red").status in (207, 403)
    assert prop(target, URL, "{x:}colour") is None
    locked = ask(target, "LOCK", URL, lock_body(), Content_Type="application/xml")
    assert locked.status == 403
    copied = ask(target, "COPY", URL, Destination=f"{target.url}archive/copy.tif")
    assert copied.status == 201
    assert np.array_equal(window(ask(target, "GET", "archive/copy.tif")), stack()[12, :400, :1200])
    assert ask(target, "DELETE", "archive/copy.tif").status == 204


def test_delete_forgets_and_no_cache_makes_anew(target: Target) -> None:
    name = URL.replace("/12/", "/8/")
    assert ask(target, "GET", name).header("X-Cache") == "miss"
    assert ask(target, "DELETE", name).status == 204
    first = ask(target, "GET", name)
    assert first.header("X-Cache") == "miss"
    fresh = ask(target, "GET", name, Cache_Control="no-cache")
    assert fresh.header("X-Provenance") != first.header("X-Provenance")
    assert fresh.body == first.body
    ask(target, "DELETE", "dispel/tiffstore/312/20181129/8")
    assert ask(target, "GET", name).header("X-Cache") == "miss"
    # A look with no-cache, as some drives send with each, computes nothing.
    told = ask(target, "PROPFIND", name, Depth="0", Cache_Control="no-cache")
    assert told.status == 207
    assert ask(target, "GET", name).header("X-Cache") == "hit"


def test_a_changed_source_is_another_file_at_once(gateway: Daemon) -> None:
    target = gateway.target
    place = gateway.directory / "archive" / "400" / "20181129.tif"
    write(place)
    name = URL.replace("312", "400")
    old = ask(target, "GET", name)
    write(place, 99)
    new = ask(target, "GET", name)
    assert new.header("ETag") != old.header("ETag")
    assert np.array_equal(window(new), stack(99)[12, 0:400, 0:1200])
    place.unlink()
    assert ask(target, "GET", name).status == 404


def test_many_who_ask_at_once_get_one_computation(target: Target) -> None:
    name = "dispel/tiffstore/312/20181129/9/0-1300-0-500"
    answers: list[Answer] = []
    start = threading.Barrier(20)

    def fetch() -> None:
        start.wait()
        answers.append(ask(target, "GET", name))

    threads = [threading.Thread(target=fetch) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert len({answer.header("X-Provenance") for answer in answers}) == 1


def test_rights_on_the_source_hold_for_what_is_made_of_it(tmp_path: Path) -> None:
    for subject in ("312", "313"):
        write(tmp_path / "archive" / subject / "20181129.tif")
    rules = """
[[rules]]
path = "/"
who = ["user:ann"]
rights = ["list", "read"]
[[rules]]
path = "/dispel"
who = ["user:ben"]
rights = ["list", "read"]
[[rules]]
path = "/archive/313"
who = ["user:ben"]
rights = ["list", "read"]
"""
    mounts = {"archive": {"provider": "local", "root": str(tmp_path / "archive")}}
    # With a user from the start nobody has to wait until the gateway notices its first one.
    operator = f'\n[users.operator]\npassword_hash = "{hash_password(planted.plant())}"\n'
    with headgate.launch(tmp_path, mounts=mounts, more=TEMPLATES + rules + operator) as daemon:
        people = {
            name: as_user(daemon.target, name, add_user(daemon, name)) for name in ("ann", "ben")
        }
        ann, ben = people["ann"], people["ben"]
        assert ask(ann, "GET", URL).status == 200
        refused = ask(ben, "GET", URL, Accept="*/*")
        absent = ask(ben, "GET", URL.replace("312", "999"), Accept="*/*")
        assert refused.status == absent.status == 404
        assert refused.body.replace(b"312", b"999") == absent.body
        assert ask(ben, "GET", URL.replace("312", "313")).status == 200
        assert members(ben, "dispel/tiffstore/") == {"313"}
        assert members(ann, "dispel/tiffstore/") == {"312", "313"}
        stranger = ask(dataclasses.replace(ann, user="", password=""), "GET", URL)
        assert stranger.status == 401
        assert ask(ben, "DELETE", URL.replace("312", "313")).status == 403


def test_templates_come_and_go_with_a_reload(tmp_path: Path) -> None:
    write(tmp_path / "archive" / "312" / "20181129.tif")
    mounts = {"archive": {"provider": "local", "root": str(tmp_path / "archive")}}
    with headgate.launch(tmp_path, mounts=mounts) as daemon:
        config = daemon.directory / "headgate.toml"
        before = config.read_text()
        assert ask(daemon.target, "GET", URL).status == 404
        config.write_text(before + TEMPLATES)
        command(daemon, "reload")
        assert ask(daemon.target, "GET", URL).status == 200
        config.write_text(before + TEMPLATES.replace("tiffstore", "renamed"))
        command(daemon, "reload")
        assert ask(daemon.target, "GET", URL).status == 404
        assert ask(daemon.target, "GET", URL.replace("tiffstore", "renamed")).status == 200
        config.write_text(before)
        command(daemon, "reload")
        assert ask(daemon.target, "GET", "dispel/").status == 404


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_coding_of_a_result_is_kept_and_sent_with_its_length(target: Target, coding: str) -> None:
    name = "dispel/hist/~/archive/312/20181129.tif/~/3.csv"
    plain = ask(target, "GET", name)
    answers = [ask(target, "GET", name, Accept_Encoding=coding) for _ in range(3)]
    assert {answer.header("Content-Encoding") for answer in answers} == {coding}
    assert {answer.header("Content-Length") for answer in answers} == {str(len(answers[0].body))}
    assert {answer.header("Vary") for answer in answers} == {"Accept-Encoding"}
    assert len({answer.body for answer in answers}) == 1
    tag = answers[0].header("ETag")
    assert tag != plain.header("ETag")
    assert ask(target, "GET", name, Accept_Encoding=coding, If_None_Match=tag).status == 304
    unpack = gzip.decompress if coding == "gzip" else _unzstd
    assert unpack(answers[0].body) == plain.body
    assert ask(target, "DELETE", name).status == 204
    again = ask(target, "GET", name, Accept_Encoding=coding)
    assert (again.body, again.header("X-Cache")) == (answers[0].body, "miss")


def _unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)
