"""PROPPATCH and extended MKCOL: all or nothing, told property by property, given back exactly."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from providers.base import Entry
from providers.errors import NoSpace
from providers.memory import MemoryOptions, MemoryProvider
from tests.vfs.dav.site import DAV, Site, condition, members
from vfs.state import limits

MODIFIED = f"{DAV}getlastmodified"
DATE = "Thu, 01 Jan 2015 00:00:00 GMT"
OTHER_DATE = "Fri, 01 Jan 2016 00:00:00 GMT"
WIN32 = "urn:schemas-microsoft-com:"


def _set(inner: str) -> str:
    return f"<D:set><D:prop>{inner}</D:prop></D:set>"


def _remove(inner: str) -> str:
    return f"<D:remove><D:prop>{inner}</D:prop></D:remove>"


def _told(site: Site, steps: str, target: str = "/a/f") -> dict[str, int]:
    answer = site.proppatch(target, steps)
    assert answer.status == 207, answer
    (member,) = members(answer).values()
    return member.properties


@pytest.fixture
def file(site: Site) -> Site:
    site.put("/a/f")
    return site


@pytest.mark.parametrize(
    ("steps", "value"),
    [
        (_set("<p>1</p>") + _remove("<p/>"), None),
        (_remove("<p/>") + _set("<p>1</p>"), "1"),
        (_set("<p>1</p>") + _set("<p>2</p>"), "2"),
        (_set("<p>1</p><p>2</p>"), "2"),
        (_set("<p>1</p>") + _remove("<p/>") + _set("<p>3</p>"), "3"),
        (_remove("<p/>"), None),
    ],
)
def test_steps_take_effect_in_their_order(file: Site, steps: str, value: str | None) -> None:
    file.set("/a/f", p="0")
    assert _told(file, steps) == {"p": 200}
    assert file.get("/a/f", "p") == value


def test_removing_what_is_not_there_is_no_error(file: Site) -> None:
    assert _told(file, _remove("<nothing/>")) == {"nothing": 200}


@pytest.mark.parametrize(
    "name",
    ["getetag", "resourcetype", "getcontentlength", "lockdiscovery", "quota-used-bytes"],
)
@pytest.mark.parametrize("step", [_set, _remove])
def test_what_is_protected_stays_and_so_does_all_else(file: Site, name: str, step: object) -> None:
    assert callable(step)
    answer = file.proppatch("/a/f", _set("<p>1</p>") + step(f"<D:{name}>x</D:{name}>"))
    (member,) = members(answer).values()
    assert member.properties == {"p": 424, f"{DAV}{name}": 403}
    (error,) = member.element.iter(f"{DAV}error")
    assert [child.tag for child in error] == [f"{DAV}cannot-modify-protected-property"]
    assert file.get("/a/f", "p") is None


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        " spaces  kept ",
        "line\nbreak\tand &lt;&amp;&gt; &#233; \U0001f600 ]]&gt;",
        "a<b>c</b>d<b/>e",
        '<x:b xmlns:x="urn:x" x:y="1" z="2"><x:c/></x:b>',
        '<b xmlns="urn:default"><c/><d xmlns=""/></b>',
        '<b xml:lang="de">gr&#252;n</b>',
        '<b xmlns:xsi="urn:i" xsi:type="xsi:int">1</b>',
        "",
    ],
)
def test_a_value_comes_back_as_the_same_xml(file: Site, value: str) -> None:
    sent = f'<n:p xmlns:n="urn:n" xml:lang="en">{value}</n:p>'
    file.proppatch("/a/f", _set(sent))
    for inner in ('<prop><p xmlns="urn:n"/></prop>', "<allprop/>"):
        (member,) = file.propfind("/a/f", inner).values()
        (got,) = member.element.iter("{urn:n}p")
        got.tail = None
        assert ET.canonicalize(ET.tostring(got), rewrite_prefixes=True) == ET.canonicalize(
            sent, rewrite_prefixes=True
        )


def test_the_language_around_a_property_is_kept(file: Site) -> None:
    file.proppatch("/a/f", '<D:set xml:lang="fr"><D:prop><p>oui</p></D:prop></D:set>')
    (member,) = file.propfind("/a/f", "<prop><p xmlns=''/></prop>").values()
    (got,) = member.element.iter("p")
    assert got.get("{http://www.w3.org/XML/1998/namespace}lang") == "fr"


@pytest.mark.parametrize("name", [MODIFIED, f"{{{WIN32}}}Win32LastModifiedTime"])
def test_the_modification_time_can_be_set(file: Site, name: str) -> None:
    namespace, _, local = name[1:].partition("}")
    told = _told(file, _set(f'<t:{local} xmlns:t="{namespace}">{DATE}</t:{local}>'))
    assert told == {name: 200}
    assert file("HEAD", "/a/f").headers["last-modified"] == DATE


def test_windows_gets_all_its_times_back(file: Site) -> None:
    names = ("CreationTime", "LastAccessTime", "LastModifiedTime", "FileAttributes")
    inner = "".join(f'<w:Win32{name} xmlns:w="{WIN32}">{DATE}</w:Win32{name}>' for name in names)
    assert set(_told(file, _set(inner)).values()) == {200}
    for name in names:
        (member,) = file.propfind("/a/f", f'<prop><Win32{name} xmlns="{WIN32}"/></prop>').values()
        assert member.text(f"{{{WIN32}}}Win32{name}") == DATE


def test_a_time_that_is_none_fails_alone(file: Site) -> None:
    before = file("HEAD", "/a/f").headers["last-modified"]
    steps = _set("<p>1</p><D:getlastmodified>soon</D:getlastmodified>")
    assert _told(file, steps) == {"p": 424, MODIFIED: 409}
    assert file.get("/a/f", "p") is None
    assert file("HEAD", "/a/f").headers["last-modified"] == before


def test_a_time_cannot_be_removed(file: Site) -> None:
    assert _told(file, _remove("<D:getlastmodified/>")) == {MODIFIED: 403}


class _Timeless(MemoryProvider):
    def set_mtime(self, path: str, mtime_ns: int) -> Entry:
        raise NoSpace(path)


def test_when_the_store_refuses_the_time_nothing_is_set(tmp_path: Path) -> None:
    site = Site(tmp_path, {"/a": _Timeless(MemoryOptions())})
    site.put("/a/f")
    steps = _set(f"<p>1</p><D:getlastmodified>{DATE}</D:getlastmodified>")
    assert _told(site, steps) == {"p": 424, MODIFIED: 507}
    assert site.get("/a/f", "p") is None
    site.store.close()


def test_a_store_without_times_says_that_they_are_protected(tmp_path: Path) -> None:
    provider = MemoryProvider(MemoryOptions())
    capabilities = provider.capabilities
    provider.capabilities = type(capabilities)(create=True)
    site = Site(tmp_path, {"/a": provider})
    site.put("/a/f")
    assert _told(site, _set(f"<D:getlastmodified>{DATE}</D:getlastmodified>")) == {MODIFIED: 403}
    site.store.close()


def _many(count: int) -> str:
    return "".join(f"<p{number}>1</p{number}>" for number in range(count))


def test_too_much_is_a_507_of_the_property_and_changes_nothing(file: Site) -> None:
    """The time that was set in the same request is set back."""
    file("PROPPATCH", "/a/f", "")
    _told(file, _set(f"<D:getlastmodified>{OTHER_DATE}</D:getlastmodified>"))
    big = "x" * limits.PROPERTY_BYTES_MAX
    assert _told(file, _set(f"<big>{big}</big><p>1</p>")) == {"big": 507, "p": 424}
    steps = _set(_many(limits.PROPERTIES_PER_RESOURCE_MAX + 1)) + _remove("<q/>")
    told = _told(file, steps + _set(f"<D:getlastmodified>{DATE}</D:getlastmodified>"))
    assert (told["p0"], told["q"]) == (507, 424)
    assert file.get("/a/f", "p0") is None
    assert file("HEAD", "/a/f").headers["last-modified"] == OTHER_DATE


@pytest.mark.parametrize("body", ["", "<x", "<x/>", '<D:propertyupdate xmlns:D="DAV:"/>'])
def test_a_body_without_changes_is_refused(file: Site, body: str) -> None:
    assert 400 <= file("PROPPATCH", "/a/f", body).status < 500


def _mkcol(inner: str) -> str:
    return (
        f'<D:mkcol xmlns:D="DAV:">'
        f"{_set('<D:resourcetype><D:collection/></D:resourcetype>' + inner)}</D:mkcol>"
    )


def test_an_extended_mkcol_sets_its_properties(site: Site) -> None:
    body = _mkcol("<p>1</p>")
    assert site("MKCOL", "/a/d", body, Content_Type="application/xml").status == 201
    assert site.get("/a/d", "p") == "1"


@pytest.mark.parametrize(
    ("inner", "name", "status"),
    [
        ("<D:getetag>x</D:getetag>", f"{DAV}getetag", 403),
        (f"<D:getlastmodified>{DATE}</D:getlastmodified>", MODIFIED, 403),
        (f"<big>{'x' * limits.PROPERTY_BYTES_MAX}</big>", "big", 507),
        (_many(limits.PROPERTIES_PER_RESOURCE_MAX + 1), "p0", 507),
    ],
)
def test_an_extended_mkcol_that_cannot_set_them_makes_nothing(
    site: Site, inner: str, name: str, status: int
) -> None:
    """RFC 5689, 3.1: the answer is a mkcol-response."""
    answer = site("MKCOL", "/a/d", _mkcol(inner + "<q/>"), Content_Type="text/xml")
    assert answer.status == status
    root = ET.fromstring(answer.body)
    assert root.tag == f"{DAV}mkcol-response"
    told = {
        element.tag: int(propstat.findtext(f"{DAV}status", "").split()[1])
        for propstat in root
        for element in propstat.find(f"{DAV}prop") or ()
    }
    assert told[name] == status
    assert site("PROPFIND", "/a/d", Depth="0").status == 404


def test_an_extended_mkcol_of_another_kind_is_refused(site: Site) -> None:
    body = '<D:mkcol xmlns:D="DAV:"><D:set><D:prop><D:resourcetype/></D:prop></D:set></D:mkcol>'
    answer = site("MKCOL", "/a/d", body, Content_Type="application/xml")
    assert (answer.status, condition(answer)[0]) == (403, "valid-resourcetype")
    assert site("MKCOL", "/a/d", body, Content_Type="text/plain").status == 415
    assert site("PROPFIND", "/a/d", Depth="0").status == 404
