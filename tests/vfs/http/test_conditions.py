import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.http.bad_request import BadRequest
from vfs.http.conditions import NONE, Verdict, parse_conditions
from vfs.http.dates import http_date

NS = 1_000_000_000
MTIME_NS = 1_700_000_000 * NS + 123_456_789
BEFORE, AT, AFTER = (http_date(MTIME_NS + shift * NS) for shift in (-1, 0, 1))
METHODS = ("GET", "HEAD", "PUT", "DELETE", "PROPFIND", "MOVE", "LOCK", "MKCOL")
PROCEED, NOT_MODIFIED, FAILED = Verdict.PROCEED, Verdict.NOT_MODIFIED, Verdict.FAILED


def verdict(method: str, headers: dict[str, str], *, exists: bool = True) -> Verdict:
    return parse_conditions(headers).verdict(
        method,
        exists=exists,
        etag='"v"' if exists else None,
        mtime_ns=MTIME_NS if exists else None,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("value", "exists", "passes"),
    [
        ('"v"', True, True),
        ('"x", "v"', True, True),
        ('"x"', True, False),
        ('W/"v"', True, False),
        ("*", True, True),
        ("*", False, False),
        ('"v"', False, False),
    ],
)
def test_if_match(method: str, value: str, *, exists: bool, passes: bool) -> None:
    wanted = PROCEED if passes else FAILED
    assert verdict(method, {"if-match": value}, exists=exists) is wanted


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("value", "exists", "passes"),
    [
        ('"v"', True, False),
        ('W/"v"', True, False),
        ('"x"', True, True),
        ("*", True, False),
        ("*", False, True),
        ('"v"', False, True),
    ],
)
def test_if_none_match(method: str, value: str, *, exists: bool, passes: bool) -> None:
    fails = NOT_MODIFIED if method in ("GET", "HEAD") else FAILED
    wanted = PROCEED if passes else fails
    assert verdict(method, {"if-none-match": value}, exists=exists) is wanted


@pytest.mark.parametrize("method", METHODS)
def test_dates(method: str) -> None:
    reads = method in ("GET", "HEAD")
    unchanged = NOT_MODIFIED if reads else PROCEED
    assert verdict(method, {"if-modified-since": BEFORE}) is PROCEED
    assert verdict(method, {"if-modified-since": AT}) is unchanged
    assert verdict(method, {"if-modified-since": AFTER}) is unchanged
    assert verdict(method, {"if-unmodified-since": BEFORE}) is FAILED
    assert verdict(method, {"if-unmodified-since": AT}) is PROCEED
    assert verdict(method, {"if-unmodified-since": AFTER}) is PROCEED


def test_a_date_that_is_none_or_of_nothing_is_ignored() -> None:
    for field in ("if-modified-since", "if-unmodified-since"):
        assert verdict("GET", {field: "yesterday"}) is PROCEED
        assert verdict("GET", {field: BEFORE}, exists=False) is PROCEED
        assert verdict("PUT", {field: BEFORE}, exists=False) is PROCEED


def test_tags_take_precedence_over_dates() -> None:
    assert verdict("PUT", {"if-match": '"v"', "if-unmodified-since": BEFORE}) is PROCEED
    assert verdict("GET", {"if-none-match": '"x"', "if-modified-since": AFTER}) is PROCEED


def test_a_failed_match_comes_before_not_modified() -> None:
    assert verdict("GET", {"if-match": '"x"', "if-none-match": '"v"'}) is FAILED
    assert verdict("GET", {"if-unmodified-since": BEFORE, "if-none-match": '"v"'}) is FAILED
    assert verdict("GET", {"if-match": '"v"', "if-none-match": '"v"'}) is NOT_MODIFIED
    assert verdict("GET", {"if-match": '"v"', "if-modified-since": AT}) is NOT_MODIFIED


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT"])
def test_methods_that_select_nothing_ignore_conditions(method: str) -> None:
    assert verdict(method, {"if-match": '"x"', "if-none-match": "*"}) is PROCEED


def test_a_writer_may_hold_the_tag_of_a_compressed_copy() -> None:
    """GET answers with the tag of the gzip copy; a PUT under it changes the same version."""
    conditions = parse_conditions({"if-match": '"v:gzip"'})
    assert conditions.verdict("PUT", exists=True, etag='"v"') is PROCEED
    assert conditions.verdict("GET", exists=True, etag='"v"') is FAILED
    assert conditions.verdict("GET", exists=True, etag='"v:gzip"') is PROCEED


def test_a_folder_has_no_tag_but_exists() -> None:
    assert parse_conditions({"if-match": "*"}).verdict("DELETE", exists=True) is PROCEED
    assert parse_conditions({"if-match": '"v"'}).verdict("DELETE", exists=True) is FAILED
    assert parse_conditions({"if-none-match": "*"}).verdict("MKCOL", exists=True) is FAILED


@pytest.mark.parametrize(
    ("value", "applies"),
    [
        ('"v"', True),
        (' "v" ', True),
        ('"x"', False),
        ('W/"v"', False),
        ("v", False),
        (AT, True),
        (BEFORE, False),
        (AFTER, False),
        ("", False),
    ],
)
def test_if_range(value: str, *, applies: bool) -> None:
    conditions = parse_conditions({"if-range": value})
    assert conditions.range_applies(etag='"v"', mtime_ns=MTIME_NS) is applies


def test_without_conditions_there_is_nothing_to_decide() -> None:
    assert parse_conditions({"range": "bytes=0-1"}) is NONE
    assert NONE.range_applies(etag='"v"', mtime_ns=0)
    for method, exists in itertools.product(METHODS, (True, False)):
        assert verdict(method, {}, exists=exists) is PROCEED


def test_an_unreadable_tag_is_refused_rather_than_skipped() -> None:
    for field in ("if-match", "if-none-match"):
        with pytest.raises(BadRequest):
            parse_conditions({field: "v"})


@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"]
        ),
        st.one_of(st.text(), st.sampled_from(["*", '"v"', '"x"', 'W/"v"', BEFORE, AT, AFTER])),
    ),
    method=st.sampled_from(METHODS),
    exists=st.booleans(),
)
def test_any_headers_give_a_verdict_or_a_bad_request(
    headers: dict[str, str], method: str, *, exists: bool
) -> None:
    try:
        result = verdict(method, headers, exists=exists)
        parse_conditions(headers).range_applies(etag='"v"', mtime_ns=MTIME_NS)
    except BadRequest:
        return
    assert result is not NOT_MODIFIED or method in ("GET", "HEAD")
