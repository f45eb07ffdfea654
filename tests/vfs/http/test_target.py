from urllib.parse import quote as quote_anything

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from providers.errors import InvalidPath
from providers.names import check_path
from vfs.http.bad_request import BadRequest
from vfs.http.target import (
    MAX_TARGET_CHARACTERS,
    Target,
    origin,
    parse_destination,
    parse_target,
    quote,
    without_secrets,
)

OWN = {"https://data.example.org", "http://[::1]:8080"}
NAMES = st.binary(min_size=1, max_size=20).map(lambda b: b.decode("utf-8", "surrogateescape"))


def is_usable(name: str) -> bool:
    try:
        check_path(name)
    except InvalidPath:
        return False
    return "/" not in name


PATHS = st.lists(NAMES.filter(is_usable), max_size=5).map(lambda names: "/" + "/".join(names))


@pytest.mark.parametrize(
    ("raw", "path", "is_folder"),
    [
        ("/", "/", True),
        ("/a", "/a", False),
        ("/a/", "/a", True),
        ("/a/b.tif", "/a/b.tif", False),
        ("/a%20b", "/a b", False),
        ("/%E4%BD%A0", "/你", False),
        ("/%e4%bd%a0/", "/你", True),
        ("/ä".encode().decode("latin-1"), "/ä", False),
        ("/你", "/你", False),
        ("/%FF", "/\udcff", False),
        ("/a%25b", "/a%b", False),
        ("/a%252Fb", "/a%2Fb", False),
        ("/a%23b", "/a#b", False),
        ("/a%3Fb", "/a?b", False),
        ("/a\\b", "/a\\b", False),
        ("/a+b", "/a+b", False),
        ("/a%0Ab", "/a\nb", False),
        ("//a///b//", "/a/b", True),
        ("/...", "/...", False),
        ("/a;v=1", "/a;v=1", False),
    ],
)
def test_paths(raw: str, path: str, *, is_folder: bool) -> None:
    assert parse_target(raw) == Target(path, is_folder, "", "")


def test_a_query_stays_raw() -> None:
    assert parse_target("/a?x=%2F&y=..") == Target("/a", False, "x=%2F&y=..", "")


@pytest.mark.parametrize(
    ("raw", "path", "authority"),
    [
        ("http://host/a", "/a", "host"),
        ("HTTPS://host:81", "/", "host:81"),
        ("http://user:secret@host/a", "/a", "host"),
        ("http://[::1]:8080/a/", "/a", "[::1]:8080"),
        ("http://host?x=1", "/", "host"),
    ],
)
def test_whole_urls(raw: str, path: str, authority: str) -> None:
    target = parse_target(raw)
    assert (target.path, target.authority) == (path, authority)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "*",
        "a",
        "ftp://host/a",
        "http:///a",
        "http://ho st/a",
        "http://host:port/a",
        "/a b",
        "/a\tb",
        "/a\x00",
        "/a\x7f",
        "/a#b",
        "/%",
        "/%2",
        "/%zz",
        "/a%00b",
        "/a%2fb",
        "/a%2Fb",
        "/..",
        "/a/../b",
        "/a/%2e%2e/b",
        "/%2E%2E",
        "/.",
        "/a/./b",
        "/.headgate-x",
        "/a/%2eheadgate-x",
    ],
)
def test_what_is_no_path_is_refused(raw: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_target(raw)
    assert caught.value.status == 400
    assert len(caught.value.detail) > 20


def test_a_target_that_is_too_long_is_refused() -> None:
    assert parse_target("/" + "a" * (MAX_TARGET_CHARACTERS - 1)).path
    for parse in (parse_target, lambda raw: parse_destination(raw, OWN)):
        with pytest.raises(BadRequest) as caught:
            parse("/" + "a" * MAX_TARGET_CHARACTERS)
        assert caught.value.status == 414


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("/b", "/b"),
        ("https://data.example.org/b%20c", "/b c"),
        ("HTTPS://Data.Example.ORG:443/b", "/b"),
        ("https://user:secret@data.example.org/b", "/b"),
        ("http://[::1]:8080/b", "/b"),
        ("https://data.example.org", "/"),
        (" /b ", "/b"),
    ],
)
def test_destinations_on_this_server(value: str, path: str) -> None:
    assert parse_destination(value, OWN).path == path


@pytest.mark.parametrize(
    "value",
    [
        "https://evil.example.org/b",
        "http://data.example.org/b",
        "https://data.example.org:444/b",
        "https://data.example.org@evil.example.org/b",
        "https://data.example.org.evil.org/b",
        "ftp://data.example.org/b",
        "https:///b",
    ],
)
def test_destinations_on_other_servers(value: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_destination(value, OWN)
    assert caught.value.status == 502


@pytest.mark.parametrize(
    "value",
    [
        "",
        "b",
        "//evil.example.org/../b",
        "/a/../b",
        "/a%2Fb",
        "/a?b",
        "/a#b",
        "https:b",
        "/a\r\nX: y",
    ],
)
def test_destinations_that_are_none(value: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_destination(value, OWN)
    assert caught.value.status == 400


@pytest.mark.parametrize("host", ["evil.example.org", "data.example.org", "a b", ""])
@pytest.mark.parametrize("path", ["/b", "/../b", "/%", "/b?c", "/b c", "/" + "a" * 20_000])
def test_a_password_in_a_destination_is_never_told(host: str, path: str) -> None:
    for value in (f"https://joe:hunter2@{host}{path}", f"joe:hunter2@{host}{path}"):
        try:
            told = repr(parse_destination(value, OWN))
        except BadRequest as error:
            told = f"{error} {error!r} {error.headers} {error.__cause__!r}"
        assert "hunter2" not in told


def test_origins_have_one_form() -> None:
    assert origin("HTTP", "Host:80") == origin("http", "host") == "http://host"
    assert origin("https", "host:80") == "https://host:80"
    assert origin("https", "host:0443") == "https://host"
    assert origin("http", "host:") == "http://host"
    for scheme, authority in (("ftp", "host"), ("http", ""), ("http", "a/b"), ("http", "u@h")):
        assert origin(scheme, authority) == ""
    with pytest.raises(BadRequest):
        parse_destination("ftp://host/a", {"https://own"})


@given(PATHS)
@example("/")
@example("/a b/ü/\udcff/%/#?&<>\"'\n")
def test_a_quoted_path_parses_as_itself_and_needs_no_escape_in_xml(path: str) -> None:
    href = quote(path)
    assert href.isascii()
    assert not set(href) & set("<>&\"' \n")
    assert parse_target(href).path == path
    assert parse_target(href + "/").is_folder
    assert parse_destination(f"https://data.example.org{href}", OWN).path == path


@given(PATHS)
def test_every_other_quoting_of_a_path_parses_too(path: str) -> None:
    assert parse_target(quote_anything(path, errors="surrogateescape")).path == path


@given(st.one_of(st.text(st.characters(codec=None)), st.text("/.%2Ffehttp:@[]?#a \\")))
def test_any_text_is_a_checked_path_or_a_bad_request(text: str) -> None:
    for raw in (text, f"/{text}", f"http://{text}"):
        for parse in (parse_target, lambda value: parse_destination(value, OWN)):
            try:
                target = parse(raw)
            except BadRequest as error:
                assert error.status in (400, 414, 502)
                continue
            assert target.path.startswith("/")
            assert check_path(target.path[1:]) == target.path[1:]


@pytest.mark.parametrize(
    ("raw", "path", "prefix", "user", "is_upload"),
    [
        ("/remote.php/dav/files/ann/d/f", "/d/f", "/remote.php/dav/files/ann", "ann", False),
        ("/remote.php/dav/files/a%20b/", "/", "/remote.php/dav/files/a b", "a b", False),
        ("/remote.php/webdav", "/", "/remote.php/webdav", "", False),
        ("/remote.php/webdav/d", "/d", "/remote.php/webdav", "", False),
        ("/remote.php/dav/uploads/ann/id/1", "/id/1", "/remote.php/dav/uploads/ann", "ann", True),
        ("/remote.php/dav/files", "/remote.php/dav/files", "", "", False),
        ("/remote.php/webdavs/d", "/remote.php/webdavs/d", "", "", False),
        ("/d/remote.php/webdav/f", "/d/remote.php/webdav/f", "", "", False),
        # What is there by such a name itself can still be reached, below a prefix.
        ("/remote.php/webdav/remote.php/webdav", "/remote.php/webdav", "/remote.php/webdav", "", 0),
    ],
)
def test_addresses_of_nextcloud(
    raw: str, path: str, prefix: str, user: str, *, is_upload: bool
) -> None:
    target = parse_target(raw)
    assert target[:1] + target[4:] == (path, prefix, user, is_upload)
    if is_upload:
        with pytest.raises(BadRequest, match="among the uploads"):
            parse_destination(raw, ())
    else:
        assert parse_destination(raw, ()).path == path


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://share:tok@gw/a", "http://gw/a"),
        ("http://a:b@c@gw/a", "http://gw/a"),
        ("//share:tok@gw/a", "//gw/a"),
        ("share:tok@gw", "gw"),
        ("/a?token=tok", "/a?"),
        ("/a//b@c", "/a//b@c"),
        ("http://gw/a@b", "http://gw/a@b"),
        ("", ""),
    ],
)
def test_what_may_be_secret_in_a_url_is_left_out_of_logs(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
