import tracemalloc
from collections.abc import Iterable, Iterator, Mapping
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from providers.base import Entry, Kind
from vfs.dav.bodies import Asked, Propfind
from vfs.dav.multistatus import (
    BASIC,
    PropfindTemplate,
    multistatus,
    propstat_response,
    status_response,
)
from vfs.dav.xml import Name
from vfs.http.etags import make_etag
from vfs.http.markup import OURS, error_body
from vfs.http.target import quote

FILE = Entry("a&b.tif", Kind.FILE, 7, 1_700_000_000_000_000_000, "v1")
FOLDER = Entry("d", Kind.FOLDER, 0, 1_700_000_000_000_000_000, "")
DEAD = {Name("urn:x", "a"): '<x:a xmlns:x="urn:x">1%s<i/></x:a>'}

Found = dict[int, dict[str, str]]


def dav(local: str) -> Name:
    return Name("DAV:", local)


def read(responses: Iterable[str]) -> list[tuple[str, Found]]:
    """Read a document with the standard library: href, and status to property to text."""
    tree = ET.fromstring(b"".join(multistatus(responses)))
    assert tree.tag == "{DAV:}multistatus"
    result: list[tuple[str, Found]] = []
    for response in tree:
        found: Found = {}
        for propstat in response.findall("{DAV:}propstat"):
            status = int(propstat.findtext("{DAV:}status", "").split()[1])
            prop = propstat.find("{DAV:}prop")
            assert prop is not None
            assert status not in found
            found[status] = {e.tag: "".join(e.itertext()) for e in prop}
            assert len(found[status]) == len(prop)
        result.append((response.findtext("{DAV:}href", ""), found))
    return result


def ask(
    propfind: Propfind, entry: Entry, dead: Mapping[Name, str] | None = None, path: str = "/a"
) -> Found:
    template = PropfindTemplate(propfind, BASIC, BASIC)
    ((href, found),) = read([template.response(quote(path), path, entry, dead)])
    assert href == quote(path)
    return found


def test_named_properties_of_a_file_and_a_folder() -> None:
    names = ("resourcetype", "getcontentlength", "getetag", "getlastmodified", "displayname")
    propfind = Propfind(Asked.SOME, tuple(map(dav, names)))
    assert ask(propfind, FILE) == {
        200: {
            "{DAV:}resourcetype": "",
            "{DAV:}getcontentlength": "7",
            "{DAV:}getetag": make_etag("v1"),
            "{DAV:}getlastmodified": "Tue, 14 Nov 2023 22:13:20 GMT",
            "{DAV:}displayname": "a&b.tif",
        }
    }
    found = ask(propfind, FOLDER)
    assert set(found[404]) == {"{DAV:}getcontentlength", "{DAV:}getetag"}
    assert set(found[200]) == {
        "{DAV:}resourcetype",
        "{DAV:}getlastmodified",
        "{DAV:}displayname",
    }


def test_a_folder_is_a_collection() -> None:
    template = PropfindTemplate(Propfind(Asked.ALL), BASIC, BASIC)
    mark = "<D:resourcetype><D:collection/></D:resourcetype>"
    assert mark in template.response("/d/", "/d", FOLDER)
    assert mark not in template.response("/d", "/d", FILE)


def test_all_reports_nothing_as_missing_that_was_not_named() -> None:
    assert set(ask(Propfind(Asked.ALL), FOLDER)) == {200}
    found = ask(Propfind(Asked.ALL, (dav("getetag"), Name("urn:x", "a"))), FOLDER)
    assert set(found[404]) == {"{DAV:}getetag", "{urn:x}a"}
    found = ask(Propfind(Asked.ALL), FOLDER, DEAD)
    assert set(found) == {200}
    assert found[200]["{urn:x}a"] == "1%s"


def test_dead_properties() -> None:
    found = ask(
        Propfind(Asked.SOME, (Name("urn:x", "a"), Name("", "b"), dav("getetag"))), FILE, DEAD
    )
    assert found == {
        200: {"{DAV:}getetag": make_etag("v1"), "{urn:x}a": "1%s"},
        404: {"b": ""},
    }


def test_names_alone() -> None:
    found = ask(Propfind(Asked.NAMES), FOLDER, DEAD)
    assert set(found) == {200}
    assert set(found[200].values()) == {""}
    assert "{urn:x}a" in found[200]
    assert "{DAV:}resourcetype" in found[200]
    assert "{DAV:}getcontentlength" not in found[200]


def test_only_what_is_asked_for_is_computed() -> None:
    def refuse(path: str, entry: Entry) -> str | None:
        raise AssertionError(path)

    live = {**BASIC, dav("quota-used-bytes"): refuse}
    for propfind in (Propfind(Asked.ALL), Propfind(Asked.SOME, (dav("getetag"),))):
        assert PropfindTemplate(propfind, live, BASIC).response("/a", "/a", FILE)


def test_nothing_asked_is_still_a_response() -> None:
    assert ask(Propfind(Asked.SOME), FILE) == {200: {}}


def test_names_of_clients_are_never_taken_for_formats() -> None:
    name = Name("%s%d%(x)s", "p")
    found = ask(Propfind(Asked.SOME, (name, dav("getetag"))), FILE)
    assert found[404] == {"{%s%d%(x)s}p": ""}


@given(
    st.lists(
        st.sampled_from([*BASIC, Name("urn:x", "a"), Name("urn:%s", "a"), Name("", "b"), dav("z")]),
        unique=True,
    ),
    st.sampled_from([Asked.ALL, Asked.SOME]),
    st.booleans(),
    st.sampled_from([FILE, FOLDER]),
)
def test_the_quick_way_and_the_way_with_dead_properties_agree(
    names: list[Name],
    asked: Asked,
    has_dead: bool,
    entry: Entry,
) -> None:
    """Whatever is named is told once: found or missing."""
    propfind = Propfind(asked, tuple(names))
    unasked = {Name("urn:unasked", "u"): '<u:u xmlns:u="urn:unasked"/>'}
    dead = DEAD if has_dead else {}
    found = ask(propfind, entry, dead)
    told = [tag for group in found.values() for tag in group]
    assert len(told) == len(set(told))
    assert {f"{{{n.namespace}}}{n.local}" if n.namespace else n.local for n in names} <= set(told)
    slow = ask(propfind, entry, {**dead, **unasked})
    if asked is Asked.ALL:
        del slow[200]["{urn:unasked}u"]
    assert slow == found


@given(st.text(st.characters(codec=None, exclude_characters="/\0"), min_size=1))
def test_every_name_stands_in_a_document(name: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    entry = Entry(name, Kind.FILE, 1, 0, name, media_type="a/b&c")
    found = ask(Propfind(Asked.ALL), entry, path=f"/{name}")
    assert found[200]["{DAV:}getetag"] == make_etag(name)


def test_a_long_listing_is_streamed_in_constant_memory() -> None:
    template = PropfindTemplate(Propfind(Asked.ALL), BASIC, BASIC)

    def responses() -> Iterator[str]:
        for number in range(20_000):
            entry = Entry(f"f{number}", Kind.FILE, number, 0, f"v{number}")
            yield template.response(f"/f{number}", f"/f{number}", entry)

    tracemalloc.start()
    try:
        sizes = [len(block) for block in multistatus(responses())]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) > 5_000_000
    assert max(sizes) < 128 * 1024
    assert peak < 1024 * 1024


def test_an_empty_document() -> None:
    assert read([]) == []


def test_what_became_of_single_resources() -> None:
    document = b"".join(
        multistatus(
            [
                status_response("/d/f", 423, condition="lock-token-submitted", detail="a < b"),
                status_response("/d/g", 507),
                propstat_response("/h", [(200, ["<D:a/>"]), (424, ["<D:b/>"]), (409, [])]),
            ]
        )
    )
    tree = ET.fromstring(document)
    first, second, third = tree
    assert first.findtext("{DAV:}status") == "HTTP/1.1 423 Locked"
    assert first.find("{DAV:}error/{DAV:}lock-token-submitted") is not None
    assert first.findtext("{DAV:}responsedescription") == "a < b"
    assert second.findtext("{DAV:}status") == "HTTP/1.1 507 Insufficient Storage"
    assert second.find("{DAV:}error") is None
    assert [e.text for e in third.iter("{DAV:}status")] == [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 424 Failed Dependency",
    ]


def test_a_refusal_names_its_condition() -> None:
    tree = ET.fromstring(error_body("propfind-finite-depth"))
    assert tree.tag == "{DAV:}error"
    assert [child.tag for child in tree] == ["{DAV:}propfind-finite-depth"]
    tree = ET.fromstring(error_body("lock-token-submitted", ["/a", "/b"]))
    assert [e.text for e in tree.iter("{DAV:}href")] == ["/a", "/b"]


def test_error_body_tells_people_why() -> None:
    """The sentence stands beside the condition, in a namespace that programs skip."""
    tree = ET.fromstring(error_body("lock-token-submitted", ["/a"], detail="wait, or <unlock>"))
    assert [child.tag for child in tree] == ["{DAV:}lock-token-submitted", f"{{{OURS}}}detail"]
    assert tree[1].text == "wait, or <unlock>"
