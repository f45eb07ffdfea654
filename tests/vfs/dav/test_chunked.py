"""Uploads in parts: nothing is lost, nothing appears before it is whole, nobody meets another."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from providers.local import LocalOptions, LocalProvider
from providers.memory import MemoryOptions, MemoryProvider
from tests.vfs.dav.site import Site, members
from tests.vfs.http.asking import Answer
from vfs.auth.right import Right
from vfs.auth.rights import Rights, Rule
from vfs.dav import chunked
from vfs.http.upload_check import UploadCheck
from vfs.tree.handles import TreeWriter

FILES = "/remote.php/dav/files/ann"
UPLOADS = "/remote.php/dav/uploads/ann"
PARTS = (b"one" * 400_000, b"two" * 500_000, b"3")
WHOLE = b"".join(PARTS)
OLD = b"the old content"


@pytest.fixture(params=["memory", "local"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Give a gateway whose writers have a descriptor, and one whose writers have none."""
    root = tmp_path / "root"
    root.mkdir()
    local = LocalProvider(LocalOptions(root=root))
    store = local if request.param == "local" else MemoryProvider(MemoryOptions())
    site = Site(tmp_path, {"/m": store})
    yield site
    site.store.close()
    store.close()


def begin(site: Site, name: str = "id", **headers: str) -> None:
    assert site("MKCOL", f"{UPLOADS}/{name}", **headers).status == 201


def send(site: Site, name: str = "id", parts: tuple[bytes, ...] = PARTS) -> None:
    for number, part in enumerate(parts, 1):
        assert site("PUT", f"{UPLOADS}/{name}/{number}", part).status == 201


def finish(site: Site, name: str = "id", target: str = "/m/f", **headers: str) -> Answer:
    headers = {"Destination": f"http://gw.test{FILES}{target}", **headers}
    return site("MOVE", f"{UPLOADS}/{name}/.file", **headers)


def content(site: Site, target: str = "/m/f") -> bytes | None:
    answer = site("GET", target)
    return answer.body if answer.status == 200 else None


def staged(folder: Path) -> list[Path]:
    return list((folder / "uploads").rglob("*"))


def test_parts_become_the_file(site: Site, tmp_path: Path) -> None:
    begin(site, OC_Total_Length=str(len(WHOLE)), Destination=f"{FILES}/m/f")
    send(site)
    assert content(site) is None
    answer = finish(site, OC_Total_Length=str(len(WHOLE)), X_OC_Mtime="1405659156")
    assert answer.status == 201
    assert answer.headers["x-oc-mtime"] == "accepted"
    head = site("HEAD", "/m/f").headers
    assert answer.headers["etag"] == answer.headers["oc-etag"] == head["etag"]
    assert head["last-modified"] == "Fri, 18 Jul 2014 04:52:36 GMT"
    assert content(site) == WHOLE
    assert staged(tmp_path) == []
    assert finish(site).status == 404


def test_parts_in_any_order_padded_and_replaced(site: Site, tmp_path: Path) -> None:
    begin(site)
    for name, body, status in (
        ("00003", PARTS[2], 201),
        ("2", b"not this", 201),
        ("00001", PARTS[0], 201),
        ("00002", PARTS[1], 204),
    ):
        assert site("PUT", f"{UPLOADS}/id/{name}", body).status == status
    assert len(staged(tmp_path)) == 1 + 3
    assert finish(site).status == 201
    assert content(site) == WHOLE


def test_parts_named_by_their_range(site: Site) -> None:
    """As rclone does it: by the first and the last byte, so that a gap is seen."""
    begin(site)
    first, second = len(PARTS[0]), len(PARTS[0]) + len(PARTS[1])
    names = (f"{0:015}-{first - 1:015}", f"{first:015}-{second - 1:015}", f"{second}-{second}")
    for name, part in reversed([*zip(names, PARTS, strict=True)]):
        assert finish(site).status == 400
        assert site("PUT", f"{UPLOADS}/id/{name}", part).status == 201
    assert site("PUT", f"{UPLOADS}/id/0-5", b"seven..").status == 400
    assert finish(site).status == 201
    assert content(site) == WHOLE


def test_a_listing_tells_what_has_arrived(site: Site) -> None:
    begin(site)
    site("PUT", f"{UPLOADS}/id/00002", b"12345")
    listed = members(site("PROPFIND", f"{UPLOADS}/id", Depth="1"))
    assert list(listed) == [f"{UPLOADS}/id/", f"{UPLOADS}/id/00002"]
    assert listed[f"{UPLOADS}/id/00002"].text("{DAV:}getcontentlength") == "5"
    assert list(members(site("PROPFIND", UPLOADS, Depth="1"))) == [f"{UPLOADS}/", f"{UPLOADS}/id/"]
    assert list(members(site("PROPFIND", f"{UPLOADS}/id/00002"))) == [f"{UPLOADS}/id/00002"]
    assert site("PROPFIND", f"{UPLOADS}/id").status == 403
    assert site("PROPFIND", f"{UPLOADS}/id/3").status == 404


def test_a_checksum_of_a_part_and_of_the_whole_is_verified(site: Site) -> None:
    site.put("/m/f", OLD)
    begin(site)
    wrong, right = (f"SHA1:{hashlib.sha1(data).hexdigest()}" for data in (b"other", WHOLE))
    assert site("PUT", f"{UPLOADS}/id/1", PARTS[0], OC_Checksum=wrong).status == 400
    assert list(members(site("PROPFIND", f"{UPLOADS}/id", Depth="1"))) == [f"{UPLOADS}/id/"]
    send(site)
    assert finish(site, OC_Checksum=wrong).status == 400
    assert content(site) == OLD
    assert finish(site, OC_Checksum=right).status == 204
    assert content(site) == WHOLE


@pytest.mark.parametrize(
    ("opened", "moved"), [("", "5"), ("2700002", ""), ("2700001", "5"), ("", "-1"), ("", "x")]
)
def test_a_wrong_total_leaves_the_target(site: Site, opened: str, moved: str) -> None:
    site.put("/m/f", OLD)
    begin(site, **({"OC_Total_Length": opened} if opened else {}))
    send(site)
    assert finish(site, **({"OC_Total_Length": moved} if moved else {})).status == 400
    assert content(site) == OLD
    assert finish(site).status == (400 if opened == "2700002" else 204)


def test_a_missing_part_leaves_the_target(site: Site, tmp_path: Path) -> None:
    site.put("/m/f", OLD)
    begin(site)
    assert finish(site).status == 400
    site("PUT", f"{UPLOADS}/id/1", b"1")
    site("PUT", f"{UPLOADS}/id/3", b"3")
    answer = finish(site)
    assert (answer.status, content(site)) == (400, OLD)
    assert b"Part 3" in answer.body
    site("PUT", f"{UPLOADS}/id/2", b"2")
    (lost,) = (path for path in staged(tmp_path) if path.name.startswith("2."))
    lost.write_bytes(b"")  # as a power cut may leave it
    assert list(members(site("PROPFIND", f"{UPLOADS}/id", Depth="1")))[1:] == [
        f"{UPLOADS}/id/1",
        f"{UPLOADS}/id/3",
    ]
    assert (finish(site).status, content(site)) == (409, OLD)
    site("PUT", f"{UPLOADS}/id/2", b"2")
    assert (finish(site).status, content(site)) == (204, b"123")


@pytest.mark.parametrize("name", ["0", "10001", "1e3", "-5", "1-", "5-1", "a", "%2e1", "+1", "1.0"])
def test_a_part_has_a_name_that_is_a_number(site: Site, tmp_path: Path, name: str) -> None:
    begin(site)
    assert site("PUT", f"{UPLOADS}/id/{name}", b"x").status == 400
    assert len(staged(tmp_path)) == 1


@pytest.mark.parametrize("name", ["%2e%2e", "..", ".", "a%2Fb", "%00", "n" * 300])
def test_an_upload_has_a_name_that_is_one(site: Site, tmp_path: Path, name: str) -> None:
    answer = site("MKCOL", f"{UPLOADS}/{name}")
    assert 400 <= answer.status < 500
    assert staged(tmp_path) == []


def test_what_uploads_do_not_take_is_refused(site: Site) -> None:
    begin(site)
    send(site)
    assert site("MKCOL", f"{UPLOADS}/id").status == 405
    assert site("MKCOL", UPLOADS).status == 405
    assert site("MKCOL", f"{UPLOADS}/id/d").status == 403
    assert site("MKCOL", f"{UPLOADS}/id/d/e").status == 404
    assert site("GET", f"{UPLOADS}/id/1").status == 405
    assert site("PUT", f"{UPLOADS}/id", b"x").status == 405
    assert site("PUT", f"{UPLOADS}/none/1", b"x").status == 404
    assert site("PUT", f"{UPLOADS}/id/4").status == 411
    assert site("DELETE", f"{UPLOADS}/id/1").status == 403
    assert site("DELETE", UPLOADS).status == 403
    assert site("MOVE", f"{UPLOADS}/id/1", Destination="/m/f").status == 403
    assert site("MOVE", f"{UPLOADS}/id/.file").status == 400
    assert finish(site, Destination=f"{UPLOADS}/id/1").status == 403
    assert finish(site, Destination="http://other.test/m/f").status == 502
    assert finish(site, target="/m/none/f").status == 409
    assert finish(site, target="/m/d/").status == 409
    assert site("COPY", "/m/f", Destination=f"{UPLOADS}/id/9").status == 403
    assert "MOVE" in site("OPTIONS", f"{UPLOADS}/id").headers["allow"]
    assert content(site) is None
    assert finish(site).status == 201


def test_a_locked_target_is_refused_before_anything_is_put_together(site: Site) -> None:
    site.put("/m/f", OLD)
    token = site.lock("/m/f")
    begin(site)
    send(site)
    assert (finish(site).status, content(site)) == (423, OLD)
    answer = finish(site, If=f"<http://gw.test{FILES}/m/f> ({token})")
    assert (answer.status, content(site)) == (204, WHOLE)


def test_conditions_are_those_of_the_target(site: Site) -> None:
    site.put("/m/f", OLD)
    begin(site)
    send(site)
    for headers in ({"Overwrite": "F"}, {"If_Match": '"other"'}, {"If_None_Match": "*"}):
        assert (finish(site, **headers).status, content(site)) == (412, OLD)
    etag = site("HEAD", "/m/f").headers["etag"]
    assert (finish(site, If_Match=etag).status, content(site)) == (204, WHOLE)


def test_delete_ends_an_upload(site: Site, tmp_path: Path) -> None:
    begin(site)
    send(site)
    assert site("DELETE", f"{UPLOADS}/id/").status == 204
    assert staged(tmp_path) == []
    for answer in (
        site("DELETE", f"{UPLOADS}/id"),
        site("PUT", f"{UPLOADS}/id/1", b"x"),
        finish(site),
    ):
        assert answer.status == 404


def test_users_have_uploads_of_their_own(site: Site) -> None:
    begin(site, user="ann")
    assert site("PUT", f"{UPLOADS}/id/1", b"ann", user="ann").status == 201
    for method, headers in (("PROPFIND", {"Depth": "1"}), ("DELETE", {}), ("MKCOL", {})):
        assert site(method, f"{UPLOADS}/id", user="bob", **headers).status == 403
    theirs = UPLOADS.replace("ann", "bob")
    assert site("PUT", f"{theirs}/id/1", b"bob", user="bob").status == 404
    assert site("MKCOL", f"{theirs}/id", user="bob").status == 201
    assert site("MOVE", f"{theirs}/id/.file", user="bob", Destination="/m/f").status == 400
    assert site("PUT", f"{UPLOADS}/id/2", b"nobody").status == 404
    assert finish(site, user="ann").status == 201
    assert content(site) == b"ann"


def test_the_segments_of_users_do_not_mix_without_a_login(site: Site) -> None:
    begin(site)
    other = UPLOADS.replace("ann", "bob")
    assert site("PUT", f"{other}/id/1", b"x").status == 404
    assert list(members(site("PROPFIND", other, Depth="1"))) == [f"{other}/"]


def test_who_may_store_nothing_opens_nothing(tmp_path: Path) -> None:
    rule = Rule(
        path="/m/d", who=frozenset({"user:ann"}), rights=frozenset({Right.CREATE, Right.LIST})
    )
    memory = MemoryProvider(MemoryOptions())
    memory.mkdir("d")
    site = Site(tmp_path, {"/m": memory}, rights=Rights([rule]))
    assert site("MKCOL", f"{UPLOADS}/id").status == 403
    refused = site("MKCOL", f"{UPLOADS}/id", user="ann", Destination=f"{FILES}/m/f")
    assert refused.status == 403
    assert staged(tmp_path) == []
    assert site("MKCOL", f"{UPLOADS}/id", user="ann").status == 201
    assert site("PUT", f"{UPLOADS}/id/1", b"x", user="ann").status == 201
    assert finish(site, user="ann").status == 403
    assert finish(site, target="/m/d/f", user="ann").status == 201
    site.store.close()


def test_of_many_moves_at_once_one_wins(site: Site) -> None:
    begin(site)
    send(site)
    ready = threading.Barrier(8)
    statuses: list[int] = []

    def move() -> None:
        ready.wait()
        statuses.append(finish(site).status)

    threads = [threading.Thread(target=move) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status in statuses if status < 300] == [201]
    assert set(statuses) <= {201, 423, 404, 409}
    assert content(site) == WHOLE


def test_while_one_move_works_the_others_are_sent_away(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old content stands until the end, and a part that comes too late is not lost."""
    site.put("/m/f", OLD)
    begin(site)
    send(site)
    began, go_on = threading.Event(), threading.Event()
    pour = chunked._pour

    def slowly(source: int, size: int, writer: TreeWriter, check: UploadCheck | None) -> None:
        if not began.is_set():
            began.set()
            go_on.wait(10)
        pour(source, size, writer, check)

    monkeypatch.setattr(chunked, "_pour", slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(finish, site)
        try:
            assert began.wait(10)
            assert (finish(site).status, content(site)) == (423, OLD)
            assert site("PUT", f"{UPLOADS}/id/4", b"4").status == 201
        finally:
            go_on.set()
        assert (first.result().status, content(site)) == (409, OLD)
    assert (finish(site).status, content(site)) == (204, WHOLE + b"4")


def test_hrefs_are_those_of_the_address_in_use(site: Site) -> None:
    site.mkcol("/m/d%20e")
    site.put("/m/d%20e/f")
    for prefix in (FILES, "/remote.php/webdav", ""):
        listed = members(site("PROPFIND", f"{prefix}/m/d%20e", Depth="1"))
        assert list(listed) == [f"{prefix}/m/d%20e/", f"{prefix}/m/d%20e/f"]
    token = site.lock(f"{FILES}/m/d%20e/f")
    refused = site("PUT", f"{FILES}/m/d%20e/f", b"x")
    assert f"<D:href>{FILES}/m/d%20e/f</D:href>".encode() in refused.body
    found = site("PROPFIND", f"{FILES}/m/d%20e/f", Depth="0").body
    assert f"<D:lockroot><D:href>{FILES}/m/d%20e/f".encode() in found
    moved = site(
        "MOVE", f"{FILES}/m/d%20e/f", Destination=f"http://gw.test{FILES}/m/g", If=f"({token})"
    )
    assert moved.status == 201
    assert content(site, "/m/g") == b"bytes"
    page = site("GET", f"{FILES}/m/", Accept="text/html").body
    assert f'href="{FILES}/m/g"'.encode() in page
