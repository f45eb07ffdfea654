"""The If header of RFC 4918, 10.4: read strictly, held to exactly."""

import pytest

from tests.vfs.dav.site import BASE, Site
from vfs.dav.if_header import parse_if, tokens
from vfs.http.bad_request import BadRequest

OTHER = "<opaquelocktoken:00000000-0000-4000-8000-000000000000>"


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "<opaquelocktoken:x>",
        "()",
        "(Not)",
        "(Not Not <a:b>)",
        "(<a:b>",
        "<a:b>)",
        "((<a:b>))",
        "(<a:b>) trailing",
        "(<a:b>) </f> (<a:b>)",
        "</f> </g> (<a:b>) (",
        "</f>",
        "(<a:b> <c d>)",
        "([unclosed)",
        "(plain)",
        "(NotX)",
        "(<a:b>),(<c:d>)",
        "<no-slash> (<a:b>)",
        "</%zz> (<a:b>)",
        "</a/../b> (<a:b>)",
    ],
)
def test_what_is_malformed_is_refused_and_changes_nothing(site: Site, value: str) -> None:
    """It must not count as absent: the client meant to be careful."""
    site.put("/a/f", b"old")
    assert site("PUT", "/a/f", "new", If=value).status == 400
    assert site("GET", "/a/f").body == b"old"


def test_a_header_without_end_is_read_in_linear_time() -> None:
    for value in (" " * 50_000, "(" + "Not " * 1, "(<a:b>" * 10_000, "\t" * 50_000 + "x"):
        with pytest.raises(BadRequest):
            parse_if(value, ())


def test_tokens_are_those_that_are_claimed() -> None:
    lists = parse_if('(<a:1> Not <a:2> ["x"]) (<a:3>)', ())
    assert tokens(lists) == {"a:1", "a:3"}


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("({token})", 204),
        ("(Not {token})", 412),
        ("(Not {token}) ({token})", 204),
        ("({token} {etag})", 204),
        ("( {token}\t{etag} )", 204),
        ('({token} ["other"])', 412),
        ('({token} Not ["other"])', 204),
        ("({token} [W/{bare}])", 412),
        ("(NOT {other} {token})", 204),
        ("({other}) ({token})", 204),
        ("({other})", 412),
        ("({token} {other})", 412),
        ("(Not <DAV:no-lock>)", 423),  # true, but submits nothing
        ("({token}) (Not <DAV:no-lock>)", 204),
        ("({other}) (Not <DAV:no-lock>)", 423),
        ("(<DAV:no-lock>)", 412),
        ("({etag})", 423),
        ("</a/f> ({token})", 204),
        ("<http://gw.test/a/f> ({token})", 204),
        ("<HTTP://GW.test:80/a/f> ({token})", 204),
        ("</a/%66> ({token})", 204),
        ("</a/g> ({token})", 412),
        ("</a/missing> ({token})", 412),
        ("</a/missing> (Not {token})", 423),
        ("</a/g> (Not {token}) </a/f> ({token})", 204),
        ("<http://else.test/a/f> ({token})", 412),
        ("<http://else.test/a/f> (Not {other})", 412),
        ("<http://else.test/x> ({other}) </a/f> ({token})", 204),
    ],
)
def test_a_write_under_a_lock(site: Site, value: str, status: int) -> None:
    site.put("/a/f")
    site.put("/a/g")
    token = site.lock("/a/f")
    etag = site("HEAD", "/a/f").headers["etag"]
    spelled = value.format(token=token, etag=f"[{etag}]", bare=etag, other=OTHER)
    assert site("PUT", "/a/f", "new", If=spelled).status == status


def test_a_foreign_host_is_not_taken_for_this_one(site: Site) -> None:
    """Behind its public name, the gateway knows its own URLs."""
    site.put("/a/f")
    token = site.lock("/a/f")
    assert site("DELETE", "/a/f", If=f"<{BASE}0/a/f> ({token})").status == 412
    assert site("DELETE", "/a/f", If=f"<{BASE}/a/f> ({token})").status == 204


def test_the_tag_of_a_compressed_answer_names_the_same_version(site: Site) -> None:
    site.put("/a/f.txt", b"text " * 2000)
    etag = site("GET", "/a/f.txt", Accept_Encoding="gzip").headers["etag"]
    assert etag != site("GET", "/a/f.txt").headers["etag"]
    assert site("PUT", "/a/f.txt", "new", If=f"([{etag}])").status == 204


@pytest.mark.parametrize("method", ["DELETE", "MKCOL", "PROPFIND", "COPY", "MOVE", "UNLOCK"])
def test_every_method_is_held_to_it(site: Site, method: str) -> None:
    site.put("/a/f")
    token = site.lock("/a/f")
    path = "/a/new" if method == "MKCOL" else "/a/f"
    headers = {"Destination": "/a/g", "Lock_Token": token, "Depth": "infinity"}
    assert site(method, path, If=f"({OTHER})", **headers).status == 412
    assert site("PROPFIND", "/a/f", Depth="0").status == 207
    assert site("GET", "/a/g").status == 404


def test_a_folder_has_no_entity_tag(site: Site) -> None:
    site.mkcol("/a/d")
    for value in ('(["x"])', "([])"):
        assert site("DELETE", "/a/d", If=value).status in (400, 412)
    assert site("PROPPATCH", "/a/d", "", If_Match='"x"').status == 412
