import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.http.accept import choose_media_type, weighted

OFFERS = ("text/html", "application/json")


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("", []),
        (",, ,", []),
        ("gzip", [("gzip", 1.0)]),
        ("GZIP;q=0.5, *;q=0", [("gzip", 0.5), ("*", 0.0)]),
        ("a ; q = .25", [("a", 0.25)]),
        ("a;level=1;q=0.3", [("a", 0.3)]),
        ("a;quality=9", [("a", 1.0)]),
        ("a;q=1.000", [("a", 1.0)]),
        ("a;q=1.7", [("a", 1.0)]),
        ("a;q=2, b", [("b", 1.0)]),
        ("a;q=x, b;q=-1, c;q=, d;q=nan", []),
    ],
)
def test_weights(value: str, items: list[tuple[str, float]]) -> None:
    assert list(weighted(value)) == items


@pytest.mark.parametrize(
    ("accept", "choice"),
    [
        (None, "text/html"),
        ("", "text/html"),
        ("*/*", "text/html"),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("application/json, text/html;q=0.9", "application/json"),
        ("text/html;q=0.1, */*;q=0.5", "application/json"),
        ("text/*;q=0, */*", "application/json"),
        ("image/png", "text/html"),
        ("application/json;q=0", "text/html"),
    ],
)
def test_the_best_liked_offer(accept: str | None, choice: str) -> None:
    assert choose_media_type(accept, OFFERS) == choice


@given(st.one_of(st.text(), st.text("ab/*;q=01., ")))
def test_any_header_gives_an_offer(accept: str) -> None:
    assert choose_media_type(accept, OFFERS) in OFFERS
    assert all(0 <= weight <= 1 for _, weight in weighted(accept))


@pytest.mark.parametrize("unit", [";", ",", "q", ";q=", " ", "a;q=0 ,"])
@pytest.mark.timeout(5)
def test_long_values_take_linear_time(unit: str) -> None:
    assert list(weighted(unit * 100_000 + "\x00")) is not None
