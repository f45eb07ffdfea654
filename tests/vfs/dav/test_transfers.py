"""COPY, MOVE, DELETE and MKCOL: where things may go, and what is refused before anything moves."""

from pathlib import Path

import pytest

from providers.memory import MemoryOptions, MemoryProvider
from tests.vfs.dav.site import BASE, Site, members
from tests.vfs.http.asking import ask
from vfs.dav.door import handlers
from vfs.dav.parts import Parts
from vfs.http.forwarded import Network
from vfs.http.gate import Gate


@pytest.fixture
def filled(site: Site) -> Site:
    site.mkcol("/a/d", "/a/d/s", "/a/e")
    for path in ("/a/f", "/a/d/f", "/a/d/s/f", "/a/e/old"):
        site.put(path, path.encode())
    return site


def _walk(site: Site, path: str) -> set[str]:
    found = set()
    for href in site.propfind(path, "<propname/>", depth="1"):
        if href.rstrip("/") != path.rstrip("/"):
            found.add(href)
            if href.endswith("/"):
                found |= _walk(site, href)
    return found


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
@pytest.mark.parametrize(
    ("destination", "status"),
    [
        ("/a/new", 201),
        ("/a/ne%77", 201),
        (f"{BASE}/a/new", 201),
        (f"{BASE}:80/a/new", 201),
        ("HTTP://GW.TEST/a/new", 201),
        ("http://user:secret@gw.test/a/new", 201),
        ("  /a/new  ", 201),
        ("/a/f/", 204),
        ("http://else.test/a/new", 502),
        ("https://gw.test/a/new", 502),
        (f"{BASE}:81/a/new", 502),
        ("ftp://gw.test/a/new", 502),
        ("//else.test/a/new", 409),  # a path, with a slash too many
        ("a/new", 400),
        ("", 400),
        ("/a/../b/new", 400),
        ("/a/%2e%2e/b/new", 400),
        ("/a/%00", 400),
        ("/a/x%2fy", 400),
        ("/a/new?x=1", 400),
        ("/a/.headgate-x", 400),
        ("/a/no/new", 409),
        ("/a/f/new", 409),
        ("/a", 403),
        ("/", 403),
    ],
)
def test_destination(filled: Site, method: str, destination: str, status: int) -> None:
    answer = filled(method, "/a/d/f", Destination=destination)
    assert answer.status == status
    assert b"secret" not in answer.body
    moved = method == "MOVE" and status < 400
    assert filled("GET", "/a/d/f").status == (404 if moved else 200)
    if status == 201:
        assert filled("GET", "/a/new").body == b"/a/d/f"


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_without_a_destination_nothing_goes(filled: Site, method: str) -> None:
    assert filled(method, "/a/f").status == 400


def test_behind_a_proxy_the_public_url_is_ones_own(filled: Site, tmp_path: Path) -> None:
    import ipaddress

    trusted: list[Network] = [ipaddress.ip_network("127.0.0.1")]
    table = handlers(filled.tree, filled.store, Parts(filled.store, tmp_path / "uploads"))
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "public.test"}
    headers = {"Destination": "https://public.test/a/new", **forwarded}
    gate = Gate(table, trusted_proxies=trusted)
    assert ask(gate, "MOVE", "/a/f", None, headers).status == 201
    assert ask(Gate(table), "MOVE", "/a/new", None, headers).status == 502
    known = Gate(table, public_url="https://public.test/")
    back = {"Destination": "https://public.test/a/f"}
    assert ask(known, "MOVE", "/a/new", None, back).status == 201


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("/a/d", "/a/d"),
        ("/a/d/", "/a/d"),
        ("/a/f", "/a/f"),
        ("/a/d", "/a/d/s/x"),
        ("/a/d/s", "/a/d"),
        ("/a/d/s/f", "/a/d"),
    ],
)
def test_nothing_goes_onto_itself_or_where_it_lies(
    filled: Site, method: str, source: str, target: str
) -> None:
    before = _walk(filled, "/a")
    for overwrite in ("T", "F"):
        answer = filled(method, source, Destination=target, Overwrite=overwrite)
        assert answer.status == 403
    assert _walk(filled, "/a") == before


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
@pytest.mark.parametrize(
    ("overwrite", "target", "status"),
    [
        ("F", "/a/e", 412),
        ("F", "/a/f", 412),
        ("F", "/a/new", 201),
        ("T", "/a/e", 204),
        ("T", "/a/f", 204),
        ("T", "/a/new", 201),
        ("t", "/a/e", 204),
        ("f", "/a/e", 412),
        ("x", "/a/e", 400),
        ("", "/a/e", 400),
    ],
)
def test_overwrite(filled: Site, method: str, overwrite: str, target: str, status: int) -> None:
    """What replaces a folder takes its place: nothing of the old one is left among the new."""
    answer = filled(method, "/a/d", Destination=target, Overwrite=overwrite)
    assert answer.status == status
    if status < 400:
        assert _walk(filled, target) == {f"{target}/f", f"{target}/s/", f"{target}/s/f"}
    else:
        assert filled("GET", "/a/e/old").status == filled("GET", "/a/f").status == 200


@pytest.mark.parametrize("store", ["/a", "/b"])
def test_a_file_replaces_a_folder_and_a_folder_a_file(filled: Site, store: str) -> None:
    filled("COPY", "/a/e", Destination=f"{store}/t")
    assert filled("MOVE", "/a/f", Destination=f"{store}/t").status == 204
    assert filled("GET", f"{store}/t").body == b"/a/f"
    assert filled("MOVE", "/a/d", Destination=f"{store}/t").status == 204
    assert filled("GET", f"{store}/t/s/f").body == b"/a/d/s/f"


@pytest.mark.parametrize(
    ("method", "depth", "status"),
    [
        ("COPY", "0", 201),
        ("COPY", "infinity", 201),
        ("COPY", "Infinity", 201),
        ("COPY", "1", 400),
        ("MOVE", "0", 400),
        ("MOVE", "infinity", 201),
        ("DELETE", "0", 400),
        ("DELETE", "1", 400),
        ("DELETE", "infinity", 204),
    ],
)
def test_depth(filled: Site, method: str, depth: str, status: int) -> None:
    assert filled(method, "/a/d", Destination="/a/new", Depth=depth).status == status
    if method == "COPY" and status == 201:
        assert bool(_walk(filled, "/a/new")) is (depth != "0")


def test_a_copy_takes_the_properties_and_a_move_too(filled: Site) -> None:
    filled.set("/a/d", p="folder")
    filled.set("/a/d/s/f", p="file")
    filled.set("/a/e", p="old", q="old")
    for method, target in (("COPY", "/a/e"), ("COPY", "/b/c"), ("MOVE", "/b/m")):
        assert filled(method, "/a/d", Destination=target).status in (201, 204)
        assert filled.get(target, "p") == "folder"
        assert filled.get(f"{target}/s/f", "p") == "file"
    assert filled.get("/a/e", "q") is None


@pytest.mark.parametrize("method", ["COPY", "MOVE", "DELETE"])
def test_conditions_are_asked_of_the_source(filled: Site, method: str) -> None:
    etag = filled("HEAD", "/a/f").headers["etag"]
    for headers in ({"If_Match": '"x"'}, {"If_None_Match": etag}, {"If_None_Match": "*"}):
        assert filled(method, "/a/f", Destination="/a/new", **headers).status == 412
    assert filled(method, "/a/f", Destination="/a/new", If_Match=etag).status in (201, 204)


def test_mkcol_makes_one_folder_in_one_that_is_there(filled: Site) -> None:
    assert filled("MKCOL", "/a/new/", If_None_Match="*").status == 201
    assert filled("MKCOL", "/a/new", If_None_Match="*").status == 412
    assert filled("MKCOL", "/a/x/y").status == 409
    assert filled("MKCOL", "/a/f/y").status == 409
    assert filled("MKCOL", "/a/g", "<x/>", Content_Type="application/xml").status == 415


def test_a_delete_in_part_names_each_member_and_keeps_the_way_to_it(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, {"/a": MemoryProvider(MemoryOptions())})
    site.mkcol("/a/d", "/a/d/s", "/a/d/s/t", "/a/d/u")
    for path in ("/a/d/f", "/a/d/s/f", "/a/d/s/t/f", "/a/d/u/f"):
        site.put(path)
    site.lock("/a/d/s/t/f", user="ann")
    site.lock("/a/d/u", depth="infinity", user="ann")
    answer = site("DELETE", "/a/d/")
    assert {href: member.status for href, member in members(answer).items()} == {
        "/a/d/s/t/f": 423,
        "/a/d/u": 423,
    }
    assert _walk(site, "/a") == {
        "/a/d/",
        "/a/d/s/",
        "/a/d/s/t/",
        "/a/d/s/t/f",
        "/a/d/u/",
        "/a/d/u/f",
    }
    site.store.close()
