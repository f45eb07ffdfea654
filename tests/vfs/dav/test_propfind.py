"""PROPFIND: what is asked for, of whom it may be told, under names of any kind."""

import io
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from providers.base import Entry
from providers.errors import Denied, Unavailable
from providers.memory import MemoryOptions, MemoryProvider
from tests.vfs.dav.site import DAV, Site, condition, members
from vfs.auth.right import Right
from vfs.auth.rights import Rights, Rule
from vfs.http.target import quote
from vfs.tree.mounts import Mount

STATE = "{https://headgate.dev/ns}state"
_ASK_STATE = '<prop><state xmlns="https://headgate.dev/ns"/></prop>'


def _memory() -> MemoryProvider:
    return MemoryProvider(MemoryOptions())


@pytest.fixture
def filled(site: Site) -> Site:
    site.mkcol("/a/d", "/a/d/s")
    site.put("/a/d/f", b"12345")
    site.put("/a/d/s/deep")
    return site


@pytest.mark.parametrize(
    ("target", "depth", "hrefs"),
    [
        ("/a/d/f", "0", ["/a/d/f"]),
        ("/a/d/f", "1", ["/a/d/f"]),
        ("/a/d/f", "infinity", ["/a/d/f"]),
        ("/a/d/f", "Infinity", ["/a/d/f"]),
        ("/a/d/f", None, ["/a/d/f"]),
        ("/a/d", "0", ["/a/d/"]),
        ("/a/d", "1", ["/a/d/", "/a/d/f", "/a/d/s/"]),
        ("/a/d/", "1", ["/a/d/", "/a/d/f", "/a/d/s/"]),
        ("/", "1", ["/", "/a/", "/b/"]),
    ],
)
def test_depth(filled: Site, target: str, depth: str | None, hrefs: list[str]) -> None:
    headers = {} if depth is None else {"Depth": depth}
    answer = filled("PROPFIND", target, **headers)
    assert answer.status == 207
    assert sorted(members(answer)) == hrefs


@pytest.mark.parametrize("depth", [None, "infinity"])
def test_a_folder_is_listed_one_level_at_a_time(filled: Site, depth: str | None) -> None:
    headers = {} if depth is None else {"Depth": depth}
    answer = filled("PROPFIND", "/a/d", **headers)
    assert (answer.status, condition(answer)[0]) == (403, "propfind-finite-depth")


@pytest.mark.parametrize("depth", ["", "2", "-1", "one", "1,noroot"])
def test_another_depth_is_refused(filled: Site, depth: str) -> None:
    assert filled("PROPFIND", "/a/d", Depth=depth).status == 400


_LIVE = {
    "resourcetype",
    "displayname",
    "getlastmodified",
    "creationdate",
    "supportedlock",
    "lockdiscovery",
}
_OF_FILES = {"getcontentlength", "getetag", "getcontenttype"}


@pytest.mark.parametrize(("name", "live"), [("f", _LIVE | _OF_FILES), ("s/", _LIVE)])
def test_allprop_gives_live_and_dead_ones(filled: Site, name: str, live: set[str]) -> None:
    filled.set(f"/a/d/{name}", p="1")
    for body in (None, '<propfind xmlns="DAV:"><allprop/></propfind>'):
        member = members(filled("PROPFIND", "/a/d", body, Depth="1"))[f"/a/d/{name}"]
        assert member.properties == {f"{DAV}{tag}": 200 for tag in live} | {"p": 200}


def test_include_adds_what_allprop_leaves_out(filled: Site) -> None:
    inner = "<allprop/><include><quota-used-bytes/><nothing xmlns=''/></include>"
    (member,) = filled.propfind("/a/d", inner).values()
    assert member.properties[f"{DAV}quota-used-bytes"] == 200
    assert member.properties["nothing"] == 404
    assert f"{DAV}current-user-principal" not in member.properties


def test_propname_gives_names_without_values(filled: Site) -> None:
    filled.set("/a/d/f", p="secret")
    (member,) = filled.propfind("/a/d/f", "<propname/>").values()
    assert {"p", f"{DAV}getetag", f"{DAV}lockdiscovery"} <= set(member.properties)
    assert set(member.properties.values()) == {200}
    texts = [element.text for element in member.element.iter() if element.tag in ("p", STATE)]
    assert texts == [None]


def test_what_is_asked_for_and_not_there_is_a_404(filled: Site) -> None:
    found = filled.propfind("/a/d", "<prop><getetag/><p xmlns=''/></prop>", depth="1")
    assert found["/a/d/f"].properties == {f"{DAV}getetag": 200, "p": 404}
    assert found["/a/d/s/"].properties == {f"{DAV}getetag": 404, "p": 404}


ODD = [
    "a b",
    "100%",
    "%41",
    "a+b",
    "a&b",
    "<tag>",
    "quo'te\"s",
    "a#b",
    "a?b",
    "a;b",
    "a:b",
    "a=b",
    "[x]{y}",
    "back\\slash",
    "~tilde",
    "comma,",
    "@at",
    "$dollar",
    "!bang",
    "*star",
    "(paren)",
    "tab\there",
    "new\nline",
    "bell\x07",
    "del\x7f",
    "\u00e9 e\u0301",
    "\u65e5\u672c",
    "\U0001f600",
    "\u2028line",
    "\ufeffbom",
    "\uffff",
    "...",
    "a.",
    " lead",
    "trail ",
    "-dash",
    os.fsdecode(b"latin \xe9"),
    os.fsdecode(b"\xff\xfe"),
    "x" * 255,
]


def test_every_name_comes_back_as_it_is(site: Site) -> None:
    """An href, decoded, is the name; asked for, it is the file."""
    provider = site.tree.table.mounts["/a"].primary.provider
    for name in ODD:
        with provider.create(name) as writer:
            writer.write(os.fsencode(name))
            writer.commit()
    hrefs = set(site.propfind("/a", "<prop><displayname/></prop>", depth="1")) - {"/a/"}
    decoded = {os.fsdecode(unquote_to_bytes(href)).removeprefix("/a/"): href for href in hrefs}
    assert set(decoded) == set(ODD)
    for name, href in decoded.items():
        assert site("GET", href).body == os.fsencode(name)
        assert list(site.propfind(href, "<allprop/>")) == [href]
        assert site.set(href, p="1").status == 207
        token = site.lock(href)
        assert site("DELETE", href, If=f"({token})").status == 204


def test_locks_and_properties_stand_at_their_members(filled: Site) -> None:
    filled.set("/a/d/s", p="1")
    filled.lock("/a/d/f")
    found = filled.propfind("/a/d", "<allprop/>", depth="1")
    locked = {
        href
        for href, member in found.items()
        if member.element.find(f".//{DAV}activelock") is not None
    }
    assert locked == {"/a/d/f"}
    assert {href for href, member in found.items() if "p" in member.properties} == {"/a/d/s/"}


def test_an_inherited_lock_is_told_once_at_each_member(filled: Site) -> None:
    filled.lock("/a/d", depth="infinity")
    found = filled.propfind("/a/d", "<prop><lockdiscovery/></prop>", depth="1")
    for member in found.values():
        assert [e.text for e in member.element.iterfind(f".//{DAV}lockroot/{DAV}href")] == ["/a/d"]


@pytest.mark.parametrize("inner", ["<allprop/>", "<prop><lockdiscovery/><p xmlns=''/></prop>"])
def test_in_a_long_listing_each_member_has_its_own(site: Site, inner: str) -> None:
    """More members than a page, of both kinds; some with locks, some with properties, some both."""
    site.mkcol("/a/d")
    files = [f"/a/d/f{number:03d}" for number in range(280)]
    folders = [f"/a/d/s{number:03d}/" for number in range(280)]
    for path in files:
        site.put(path)
    site.mkcol(*folders)
    before = site.propfind("/a/d", inner, depth="1")
    assert sorted(before) == ["/a/d/", *files, *folders]
    with_property = {*files[100:120], *folders[200:220]}
    for path in with_property:
        site.set(path, p="1")
    with_lock = {*files[110:130], *folders[210:230]}
    tokens = [(path, site.lock(path)) for path in with_lock]
    for _ in range(2):
        found = site.propfind("/a/d", inner, depth="1")
        assert sorted(found) == sorted(before)
        assert {h for h, m in found.items() if m.properties.get("p") == 200} == with_property
        assert {
            href
            for href, member in found.items()
            if member.element.find(f".//{DAV}activelock") is not None
        } == with_lock
    for path, token in tokens:
        assert site("UNLOCK", path, Lock_Token=token).status == 204
    for path in with_property:
        site.proppatch(path, "<D:remove><D:prop><p/></D:prop></D:remove>")
    after = site.propfind("/a/d", inner, depth="1")
    assert {h: m.properties for h, m in after.items()} == {
        h: m.properties for h, m in before.items()
    }


def test_what_nobody_has_may_be_asked_at_any_length(site: Site) -> None:
    """Answers that are long are not remembered, and few are held at once."""
    site.mkcol("/a/d")
    for number in range(300):
        site.put(f"/a/d/f{number}")
    names = "".join(f"<p{number}{'x' * 1000}/>" for number in range(200))
    body = f'<D:propfind xmlns:D="DAV:" xmlns="urn:x"><D:prop>{names}</D:prop></D:propfind>'
    environ = {
        "REQUEST_METHOD": "PROPFIND",
        "headgate.target": "/a/d",
        "HTTP_DEPTH": "1",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "gw.test",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
    }

    def size() -> int:
        told = {**environ, "wsgi.input": io.BytesIO(body.encode())}
        return sum(map(len, site.gate(told, lambda *_: None)))

    size()
    tracemalloc.start()
    try:
        assert size() > 300 * 200 * 1000
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 1024 * 1024
    assert left < 1024 * 1024


class _Dead(MemoryProvider):
    """Does not answer."""

    def stat(self, path: str) -> Entry:
        raise Unavailable(path)

    def scandir(self, path: str) -> Iterator[Entry]:
        raise Unavailable(path)


def test_a_dead_store_is_listed_and_marked(tmp_path: Path) -> None:
    site = Site(tmp_path, {"/live": _memory(), "/dead": _Dead(MemoryOptions())})
    for _ in range(4):
        assert site("PROPFIND", "/dead", Depth="1").status == 503
    found = site.propfind("/", _ASK_STATE, depth="1")
    told = {href: member.text(STATE) for href, member in found.items()}
    assert told == {"/": None, "/live/": "live", "/dead/": "down"}
    # Not in allprop, so that no client stumbles over it.
    assert STATE not in site.propfind("/", "<allprop/>", depth="1")["/dead/"].properties
    assert site("PROPFIND", "/live", Depth="1").status == 207
    assert site("PROPFIND", "/dead", Depth="0").status == 207
    site.store.close()


class _Shut(MemoryProvider):
    """Has a folder that it may not look into."""

    def scandir(self, path: str) -> Iterator[Entry]:
        if path == "shut":
            raise Denied(path)
        return super().scandir(path)


def test_a_folder_that_may_not_be_listed_is_never_shown_as_empty(tmp_path: Path) -> None:
    site = Site(tmp_path, {"/a": _Shut(MemoryOptions())})
    site.mkcol("/a/shut")
    assert "/a/shut/" in site.propfind("/a", "<allprop/>", depth="1")
    assert list(site.propfind("/a/shut", "<allprop/>", depth="0")) == ["/a/shut/"]
    assert site("PROPFIND", "/a/shut", Depth="1").status == 403


def test_members_without_a_right_are_hidden(tmp_path: Path) -> None:
    rules = [
        Rule(path="/a/seen", who=frozenset({"anyone"}), rights=frozenset({Right.LIST})),
        Rule(path="/a/way/in/here", who=frozenset({"anyone"}), rights=frozenset({Right.READ})),
        Rule(path="/", who=frozenset({"user:root"}), rights=frozenset(Right)),
    ]
    site = Site(tmp_path, {"/a": _memory(), "/hidden": _memory()}, rights=Rights(rules))
    for path in ("/a/seen", "/a/unseen", "/a/way", "/a/way/in", "/a/way/out"):
        assert site("MKCOL", path, user="root").status == 201
    assert sorted(site.propfind("/", "<allprop/>", depth="1")) == ["/", "/a/"]
    assert sorted(site.propfind("/a", "<allprop/>", depth="1")) == ["/a/", "/a/seen/", "/a/way/"]
    assert sorted(site.propfind("/a/way", "<propname/>", depth="1")) == ["/a/way/", "/a/way/in/"]
    assert site("PROPFIND", "/a/unseen", Depth="0").status == 403
    assert site("PROPFIND", "/a/no-such", Depth="0").status == 403
    site.store.close()


def test_quota_is_that_of_the_store_asked_and_of_no_other(tmp_path: Path) -> None:
    outer, inner = MemoryProvider(MemoryOptions(size_bytes=1000)), _memory()
    outer.mkdir("d")
    site = Site(tmp_path, [Mount("/m", [outer]), Mount("/m/in", [inner])])
    inner_hrefs = site.propfind("/m", "<prop><quota-available-bytes/></prop>", depth="1")
    told = {h: m.text(f"{DAV}quota-available-bytes") for h, m in inner_hrefs.items()}
    assert told == {"/m/": "1000", "/m/d/": "1000", "/m/in/": None}
    site.store.close()


def test_the_principal_and_its_privileges(site: Site) -> None:
    inner = "<prop><current-user-principal/><current-user-privilege-set/></prop>"
    (member,) = site.propfind("/a", inner).values()
    assert member.element.find(f".//{DAV}unauthenticated") is not None
    assert member.element.find(f".//{DAV}privilege/{DAV}bind") is not None
    body = f'<propfind xmlns="DAV:">{inner}</propfind>'
    (named,) = members(site("PROPFIND", "/a", body, user="a b", Depth="0")).values()
    href = named.element.findtext(f".//{DAV}current-user-principal/{DAV}href")
    assert href == f"/.headgate-principals/{quote('a b')}"
