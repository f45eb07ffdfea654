import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.http.media_types import DEFAULT, browser_headers, media_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.tif", "image/tiff"),
        ("A.TIFF", "image/tiff"),
        ("a.fits", "application/fits"),
        ("a.h5", "application/x-hdf5"),
        ("a.nc", "application/x-netcdf"),
        (".zarray", "application/json"),
        ("zarr.json", "application/json"),
        ("a.tar.gz", "application/gzip"),
        ("a.parquet", "application/vnd.apache.parquet"),
        ("a.md", "text/markdown"),
        ("a.csv", "text/csv"),
        ("csv", DEFAULT),
        ("a.", DEFAULT),
        ("", DEFAULT),
        ("a.unheard-of", DEFAULT),
        ("a.\udcff", DEFAULT),
    ],
)
def test_types_by_name(name: str, expected: str) -> None:
    assert media_type(name) == expected


def test_the_store_knows_better_unless_it_says_nothing() -> None:
    assert media_type("a.bin", "image/png") == "image/png"
    assert media_type("a", "text/plain; charset=utf-8") == "text/plain; charset=utf-8"
    assert media_type("a.png", DEFAULT) == "image/png"


@pytest.mark.parametrize(
    "stored",
    ["", "png", "image/png\r\nX: y", "image/png; x=<b>", "a/" + "b" * 500, "ä/b", "a/b ", "a/b&c"],
)
def test_a_stored_type_that_is_none_gives_way(stored: str) -> None:
    assert media_type("a.png", stored) == "image/png"


@given(st.text(st.characters(codec=None)), st.one_of(st.none(), st.text()))
def test_a_type_can_always_stand_in_a_header(name: str, stored: str | None) -> None:
    found = media_type(name, stored)
    assert found.isascii()
    assert found.isprintable()
    assert "/" in found
    assert not set(found) & set("<>&\"'")


@pytest.mark.parametrize(
    "caged",
    [
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "application/xhtml+xml",
        "image/svg+xml",
        "application/xml",
        "text/xml",
        "application/javascript",
        "text/css",
        "application/octet-stream",
        "multipart/related",
        "message/rfc822",
        "text/x-unheard-of",
        "",
    ],
)
def test_what_a_browser_might_run_is_saved_not_shown(caged: str) -> None:
    headers = dict(browser_headers(caged))
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"] == "attachment"
    assert headers["Content-Security-Policy"].startswith("sandbox;")


@pytest.mark.parametrize(
    "shown",
    ["image/png", "image/tiff", "text/plain; charset=utf-8", "application/json", "video/mp4"],
)
def test_what_is_harmless_is_shown(shown: str) -> None:
    assert browser_headers(shown) == (("X-Content-Type-Options", "nosniff"),)
