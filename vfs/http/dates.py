"""Times as HTTP and WebDAV write them. All times are whole seconds or nanoseconds since 1970."""

import functools
import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from vfs.http.bad_request import BadRequest

_NS = 1_000_000_000
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBER = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
# A year has four digits on the wire; what a store gives beyond that is shown at the edge.
_LEAP_SECOND = 60
_FIRST = -62_135_596_800  # 0001-01-01
_LAST = 253_402_300_799  # 9999-12-31T23:59:59

_DAY_MONTH = r"(?P<day>[0-9]{2})[ -](?P<month>[a-z]{3})[ -]"
_CLOCK = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMS = tuple(
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        rf"[a-z]{{3}}, {_DAY_MONTH}(?P<year>[0-9]{{4}}) {_CLOCK} GMT",
        rf"[a-z]{{6,9}}, {_DAY_MONTH}(?P<year>[0-9]{{2}}) {_CLOCK} GMT",
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ 0-9][0-9]) {_CLOCK} (?P<year>[0-9]{{4}})",
    )
)
_UNIX_TIME = re.compile(r"(-?)([0-9]{1,11})(?:\.([0-9]{1,18}))?")


def http_date(time_ns: int) -> str:
    """Return a time as IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    return _http_date(time_ns // _NS)


def rfc3339(time_ns: int) -> str:
    """Return a time as `1994-11-06T08:49:37Z`, the form of creationdate and of JSON."""
    return _rfc3339(time_ns // _NS)


def http_dates(times_ns: Iterable[int]) -> list[str]:
    """Return `http_date` of each of many times, most of them within the same seconds."""
    return _each(_http_date, times_ns)


def rfc3339s(times_ns: Iterable[int]) -> list[str]:
    """Return `rfc3339` of each of many times."""
    return _each(_rfc3339, times_ns)


def parse_http_date(value: str) -> int | None:
    """Return the seconds of an HTTP date in any of its three forms, None if it is none of them.

    Windows' Win32 time properties have the first form.
    """
    value = value.strip(" \t")
    for form in _FORMS:
        found = form.fullmatch(value)
        if found is not None:
            break
    else:
        return None
    month = _MONTH_NUMBER.get(found["month"].lower())
    if month is None:
        return None
    year = int(found["year"])
    second = int(found["second"])
    if len(found["year"]) == 2:
        year = _century(year)
    try:
        moment = datetime(
            year,
            month,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            59 if second == _LEAP_SECOND else second,
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return int(moment.timestamp())


def parse_unix_time(field: str, value: str) -> int:
    """Return the nanoseconds of a time in seconds, as X-OC-Mtime has it; BadRequest 400 if none."""
    found = _UNIX_TIME.fullmatch(value.strip(" \t"))
    if found is None:
        raise BadRequest(
            400,
            f"{field} is no time; send the seconds since 1970-01-01 UTC as a decimal number, for"
            " example 1405659156.",
        )
    fraction = int((found[3] or "")[:9].ljust(9, "0"))
    time_ns = int(found[2]) * _NS + fraction
    return -time_ns if found[1] else time_ns


def _each(form: Callable[[int], str], times_ns: Iterable[int]) -> list[str]:
    seconds = [time_ns // _NS for time_ns in times_ns]
    known = {second: form(second) for second in set(seconds)}
    return [known[second] for second in seconds]


@functools.lru_cache(maxsize=8192)
def _http_date(seconds: int) -> str:
    t = time.gmtime(min(max(seconds, _FIRST), _LAST))
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday:02d} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04d} "
        f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} GMT"
    )


@functools.lru_cache(maxsize=8192)
def _rfc3339(seconds: int) -> str:
    t = time.gmtime(min(max(seconds, _FIRST), _LAST))
    return (
        f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}"
        f"T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}Z"
    )


def _century(year: int) -> int:
    """Return the year of two digits that lies at most 50 years ahead (RFC 9110, 5.6.7)."""
    now = time.gmtime().tm_year
    year += now - now % 100
    return year - 100 if year > now + 50 else year
