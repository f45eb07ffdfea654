import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.dav.bodies import (
    MAX_PROPERTIES,
    Asked,
    Change,
    LockInfo,
    Propfind,
    parse_lockinfo,
    parse_mkcol,
    parse_propfind,
    parse_proppatch,
)
from vfs.dav.xml import Name
from vfs.http.bad_request import BadRequest

ETAG = Name("DAV:", "getetag")


def dav(local: str, inner: str) -> bytes:
    names = 'xmlns:D="DAV:" xmlns:x="urn:x"'
    return f'<?xml version="1.0"?><D:{local} {names}>{inner}</D:{local}>'.encode()


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"", Propfind(Asked.ALL)),
        (dav("propfind", "<D:allprop/>"), Propfind(Asked.ALL)),
        (dav("propfind", "<D:propname/>"), Propfind(Asked.NAMES)),
        (dav("propfind", "<D:prop/>"), Propfind(Asked.SOME)),
        (
            dav("propfind", "<D:prop><D:getetag/>\n<x:a/><b/><x:a/></D:prop>"),
            Propfind(Asked.SOME, (ETAG, Name("urn:x", "a"), Name("", "b"))),
        ),
        (
            dav("propfind", "<D:allprop/><D:include><x:a/></D:include>"),
            Propfind(Asked.ALL, (Name("urn:x", "a"),)),
        ),
        (
            dav("propfind", "<x:odd/><D:leave-out/><D:prop><D:getetag/></D:prop><x:prop/>"),
            Propfind(Asked.SOME, (ETAG,)),
        ),
    ],
)
def test_propfind(body: bytes, wanted: Propfind) -> None:
    assert parse_propfind(body) == wanted
    assert parse_propfind(body) == wanted


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<", 400),
        (dav("propfind", ""), 400),
        (dav("propfind", "<D:prop/><D:allprop/>"), 400),
        (dav("propfind", "<D:prop/><D:prop/>"), 400),
        (dav("propfind", "<D:include/>"), 400),
        (dav("propfind", "<D:prop/><D:include/>"), 400),
        (
            dav(
                "propfind",
                f"<D:prop>{''.join(f'<a{n}/>' for n in range(MAX_PROPERTIES + 1))}</D:prop>",
            ),
            400,
        ),
        (dav("propfind", '<D:prop><b:foo xmlns:b=""/></D:prop>'), 400),
        (dav("propertyupdate", ""), 422),
        (b"<propfind><allprop/></propfind>", 422),
        (b"<!DOCTYPE a><a/>", 403),
        (b" " * 2_000_000, 413),
    ],
)
def test_a_propfind_that_is_none_is_refused(body: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_propfind(body)
    assert caught.value.status == status


def test_proppatch_keeps_the_order_of_the_document() -> None:
    body = dav(
        "propertyupdate",
        '<D:set xml:lang="de"><D:prop><x:a>1<i/></x:a><D:b>2</D:b></D:prop></D:set>'
        "<D:remove><D:prop><x:a/></D:prop></D:remove><x:other/>"
        "<D:set><D:prop><c/></D:prop></D:set>",
    )
    assert parse_proppatch(body) == (
        Change(Name("urn:x", "a"), '<x:a xmlns:x="urn:x" xml:lang="de">1<i/></x:a>', "1"),
        Change(Name("DAV:", "b"), '<D:b xmlns:D="DAV:" xml:lang="de">2</D:b>', "2"),
        Change(Name("urn:x", "a"), None),
        Change(Name("", "c"), "<c/>"),
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (dav("propertyupdate", ""), 400),
        (dav("propertyupdate", "<D:set><D:prop/></D:set>"), 400),
        (dav("propfind", "<D:prop/>"), 422),
    ],
)
def test_a_proppatch_that_changes_nothing_is_refused(body: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_proppatch(body)
    assert caught.value.status == status


WRITE = "<D:locktype><D:write/></D:locktype>"
EXCLUSIVE = "<D:lockscope><D:exclusive/></D:lockscope>"
SHARED = "<D:lockscope><D:shared/></D:lockscope>"


def test_lockinfo() -> None:
    assert parse_lockinfo(dav("lockinfo", EXCLUSIVE + WRITE)) == LockInfo(True, None)
    owner = "<D:owner><D:href>mailto:a@b</D:href></D:owner>"
    assert parse_lockinfo(dav("lockinfo", SHARED + WRITE + owner)) == LockInfo(
        False, '<D:owner xmlns:D="DAV:"><D:href>mailto:a@b</D:href></D:owner>'
    )


@pytest.mark.parametrize(
    ("inner", "status"),
    [
        ("", 400),
        (WRITE, 400),
        (SHARED + EXCLUSIVE + WRITE, 400),
        ("<D:lockscope><x:shared/></D:lockscope>" + WRITE, 400),
        (SHARED, 422),
        (SHARED + "<D:locktype><x:read/></D:locktype>", 422),
        (SHARED + WRITE + "<D:owner/><D:owner/>", 400),
    ],
)
def test_a_lock_that_is_none_is_refused(inner: str, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_lockinfo(dav("lockinfo", inner))
    assert caught.value.status == status


COLLECTION = "<D:resourcetype><D:collection/></D:resourcetype>"


def test_mkcol() -> None:
    assert parse_mkcol(b"", "") == ()
    body = dav("mkcol", f"<D:set><D:prop>{COLLECTION}<x:a>1</x:a></D:prop></D:set>")
    changes = (Change(Name("urn:x", "a"), '<x:a xmlns:x="urn:x">1</x:a>', "1"),)
    for content_type in ("application/xml", "Text/XML; charset=utf-8"):
        assert parse_mkcol(body, content_type) == changes


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"afafafaf", "xzy-foo/bar-512", 415),
        (b"afafafaf", "", 415),
        (b"<", "text/xml", 400),
        (dav("propfind", "<D:allprop/>"), "text/xml", 415),
        (
            dav(
                "mkcol",
                "<D:set><D:prop><D:resourcetype><D:collection/><x:calendar/></D:resourcetype>"
                "</D:prop></D:set>",
            ),
            "text/xml",
            403,
        ),
    ],
)
def test_a_mkcol_that_is_not_understood_is_refused(
    body: bytes, content_type: str, status: int
) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_mkcol(body, content_type)
    assert caught.value.status == status
    assert caught.value.condition == ("valid-resourcetype" if status == 403 else "")


PIECES = st.sampled_from(
    [
        *("prop", "allprop", "propname", "include", "set", "remove", "owner", "lockscope"),
        *("locktype", "exclusive", "shared", "write", "resourcetype", "collection", "x"),
    ]
)
INNER = st.recursive(
    st.sampled_from(["", "text", "&amp;"]),
    lambda inner: st.builds(
        lambda name, prefix, parts: f"<{prefix}{name}>{''.join(parts)}</{prefix}{name}>",
        PIECES,
        st.sampled_from(["D:", "x:", ""]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=10,
)


@given(
    st.one_of(
        st.binary(),
        st.builds(dav, st.sampled_from(["propfind", "propertyupdate", "lockinfo", "mkcol"]), INNER),
    )
)
def test_any_body_is_understood_or_a_bad_request(body: bytes) -> None:
    for read in (
        parse_propfind,
        parse_proppatch,
        parse_lockinfo,
        lambda body: parse_mkcol(body, "text/xml"),
    ):
        try:
            read(body)
        except BadRequest as error:
            assert error.status in (400, 403, 415, 422)
