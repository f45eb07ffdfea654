import email.utils
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.http.bad_request import BadRequest
from vfs.http.dates import http_date, parse_http_date, parse_unix_time, rfc3339

NS = 1_000_000_000
SECONDS = st.integers(-62_135_596_800, 253_402_300_799)


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        " sun, 06 nov 1994 08:49:37 gmt ",
    ],
)
def test_the_three_forms_of_a_date(value: str) -> None:
    assert parse_http_date(value) == 784_111_777


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun Nov    08:49:37 1994",
        "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
    ],
)
def test_what_is_no_date_is_none(value: str) -> None:
    assert parse_http_date(value) is None


def test_a_leap_second_is_the_last_of_its_minute() -> None:
    assert parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT") == 1_483_228_799


def test_a_year_of_two_digits_lies_at_most_fifty_years_ahead() -> None:
    this_year = datetime.now(UTC).year
    for year in range(100):
        seconds = parse_http_date(f"Monday, 01-Jan-{year:02d} 00:00:00 GMT")
        assert seconds is not None
        full = datetime.fromtimestamp(seconds, UTC).year
        assert full % 100 == year
        assert -50 < full - this_year <= 50


@given(SECONDS)
def test_a_date_survives_printing_and_parsing(seconds: int) -> None:
    assert parse_http_date(http_date(seconds * NS)) == seconds


@given(st.integers(0, 4_000_000_000 * NS))
def test_a_date_is_printed_as_the_standard_library_prints_it(time_ns: int) -> None:
    seconds = time_ns // NS
    assert http_date(time_ns) == email.utils.formatdate(seconds, usegmt=True)
    expected = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert rfc3339(time_ns) == expected


@given(st.integers())
def test_every_time_of_a_store_can_be_printed(time_ns: int) -> None:
    assert len(http_date(time_ns)) == 29
    assert len(rfc3339(time_ns)) == 20


@given(st.text())
def test_no_text_breaks_the_parser(value: str) -> None:
    parse_http_date(value)


@pytest.mark.parametrize(
    ("value", "time_ns"),
    [
        ("1405659156", 1_405_659_156 * NS),
        (" 1405659156 ", 1_405_659_156 * NS),
        ("1405659156.5", 1_405_659_156 * NS + NS // 2),
        ("1405659156.123456789", 1_405_659_156_123_456_789),
        ("1405659156.1234567899", 1_405_659_156_123_456_789),
        ("0", 0),
        ("-1.5", -1_500_000_000),
    ],
)
def test_unix_times(value: str, time_ns: int) -> None:
    assert parse_unix_time("X-OC-Mtime", value) == time_ns


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-",
        ".5",
        "5.",
        "1e9",
        "0x10",
        "nan",
        "inf",
        "1 2",
        "+1",
        "9" * 12,
        "1." + "0" * 19,
        "\u0661",
    ],
)
def test_a_time_that_is_nonsense_is_refused(value: str) -> None:
    with pytest.raises(BadRequest, match="X-OC-Mtime is no time") as caught:
        parse_unix_time("X-OC-Mtime", value)
    assert caught.value.status == 400


@given(st.one_of(st.text(), st.from_regex(r"-?[0-9]+(\.[0-9]+)?", fullmatch=True)))
def test_any_unix_time_parses_or_is_refused(value: str) -> None:
    try:
        assert abs(parse_unix_time("X-OC-Mtime", value)) < 10**20
    except BadRequest:
        return
