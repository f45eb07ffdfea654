import html.parser
import json
import tracemalloc
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Entry, Kind
from vfs.http.etags import make_etag
from vfs.http.listing import HTML_HEADERS, html_listing, json_listing
from vfs.http.target import parse_target

Listing = Callable[[str, Iterable[Entry]], Iterator[bytes]]
NASTY = "<script>alert('x')</script>&\"\n\u202e\udcff"


def file(name: str, size: int = 5) -> Entry:
    return Entry(name, Kind.FILE, size, 1_700_000_000_000_000_000, "v1")


def folder(name: str) -> Entry:
    return Entry(name, Kind.FOLDER, 0, 1_700_000_000_000_000_000, "")


class Page(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.hrefs: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.hrefs += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def page(path: str, entries: list[Entry]) -> Page:
    return Page(b"".join(html_listing(path, entries)).decode())


def test_links_are_exact_and_lead_up() -> None:
    shown = page("/a b", [file("c%d"), folder("ü")])
    assert shown.hrefs == ["/", "/a%20b/c%25d", "/a%20b/%C3%BC/"]
    assert page("/", [file("x")]).hrefs == ["/x"]
    assert page("/a/b", []).hrefs == ["/a/"]


def test_sizes_are_readable_and_exact() -> None:
    text = b"".join(html_listing("/", [file("a", 0), file("b", 1_048_575), file("c", 10**20)]))
    assert b'title="1048575 bytes">1.0 MiB<' in text
    assert b">0 B<" in text
    assert b"EiB<" in text


def test_times_are_shown() -> None:
    assert b'datetime="2023-11-14T22:13:20Z">2023-11-14 22:13:20<' in b"".join(
        html_listing("/", [file("a")])
    )


def test_no_name_becomes_markup() -> None:
    plain = page("/p", [file("x")])
    nasty = page(f"/{NASTY}", [file(NASTY)])
    assert nasty.tags == plain.tags
    assert "script" not in nasty.tags
    assert "alert('x')" in nasty.text


def test_the_page_runs_nothing() -> None:
    policy = dict(HTML_HEADERS)["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_json() -> None:
    body = json.loads(b"".join(json_listing("/d", [folder("s"), file("f", 7)])))
    assert body == {
        "path": "/d",
        "href": "/d/",
        "entries": [
            {"name": "s", "href": "/d/s/", "kind": "folder", "mtime": "2023-11-14T22:13:20Z"},
            {
                "name": "f",
                "href": "/d/f",
                "kind": "file",
                "mtime": "2023-11-14T22:13:20Z",
                "size": 7,
                "etag": make_etag("v1"),
            },
        ],
    }
    assert json.loads(b"".join(json_listing("/", [])))["entries"] == []


@given(st.lists(st.binary(min_size=1).map(lambda b: b.decode("utf-8", "surrogateescape"))))
def test_every_name_can_be_listed_and_its_link_is_exact(names: list[str]) -> None:
    names = [n for n in names if "/" not in n and "\0" not in n and n not in (".", "..")]
    entries = [file(name) for name in names]
    shown = page("/d", entries)
    body = json.loads(b"".join(json_listing("/d", entries)))
    hrefs = [f"/d/{name}" for name in names if not name.startswith(".headgate-")]
    for found in (shown.hrefs[1:], [entry["href"] for entry in body["entries"]]):
        kept = [h for h in found if not h.startswith("/d/.headgate-")]
        assert [parse_target(href).path for href in kept] == hrefs


@pytest.mark.parametrize("listing", [html_listing, json_listing])
def test_a_long_listing_is_streamed_in_constant_memory(listing: Listing) -> None:
    def entries() -> Iterator[Entry]:
        for number in range(20_000):
            yield file(f"file-{number:06d}.tif", number)

    tracemalloc.start()
    try:
        blocks = [len(block) for block in listing("/d", entries())]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(blocks) > 1_500_000
    assert min(blocks) > 0
    assert max(blocks) < 64 * 1024
    assert peak < 1024 * 1024
