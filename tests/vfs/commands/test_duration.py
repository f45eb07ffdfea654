"""Durations: few spellings, each with one meaning."""

import datetime as dt
import time
from typing import Any

import click
import pytest
from click.testing import CliRunner

from vfs.commands.duration import DURATION, expiry

NOW = dt.datetime(2026, 12, 31, 12, tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 5400),
        ("12h", 43_200),
        ("30d", 2_592_000),
        ("4w", 2_419_200),
        ("2026-12-31", 43_200),
        ("2027-01-31", 43_200 + 31 * 86_400),
    ],
)
def test_it_ends_that_long_from_now_or_with_that_day(text: str, seconds: int) -> None:
    assert expiry(text, NOW) == NOW + seconds


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "no time"),
        ("30", "no time"),
        ("d", "no time"),
        ("30 d", "no time"),
        ("-1d", "no time"),
        ("1.5h", "no time"),
        ("30D", "no time"),
        ("\u0663d", "no time"),
        ("1d\n", "no time"),
        ("9999999d", "no time"),
        ("2027-02-30", "no time"),
        ("31.01.2027", "no time"),
        ("0d", "over already"),
        ("2026-12-30", "over already"),
        ("0001-01-01", "over already"),
        ("999999d", "hundred years"),
        ("9999-12-31", "hundred years"),
    ],
)
def test_anything_else_is_refused_with_the_way_out(text: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause) as caught:
        expiry(text, NOW)
    assert "write" in str(caught.value)


def test_an_option_gives_unix_seconds() -> None:
    got: list[Any] = []

    @click.command()
    @click.option("--expires", type=DURATION)
    def command(expires: float | None) -> None:
        got.append(expires)

    assert CliRunner().invoke(command, ["--expires", "1h"]).exit_code == 0
    assert CliRunner().invoke(command, []).exit_code == 0
    assert abs(got[0] - time.time() - 3600) < 60
    assert got[1] is None
    refused = CliRunner().invoke(command, ["--expires", "soon"])
    assert refused.exit_code == 2
    assert "'soon' is no time" in refused.output
