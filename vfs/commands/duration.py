"""How long something is good for, as people write it."""

import datetime as dt
import re
import time

import click

_SPAN = re.compile(r"([0-9]{1,6})([mhdw])")
_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
# Longer is a slip, and times must stay within what is stored.
_LONGEST_SECONDS = 100 * 366 * 86_400


def expiry(text: str, now_seconds: float) -> float:
    """Return the end, in Unix seconds, of "90m", "12h", "30d", "4w" from now, or of a day (UTC).

    Raises ValueError, with the way out, for anything else and for what is over already.
    """
    span = _SPAN.fullmatch(text)
    if span is not None:
        end = now_seconds + int(span[1]) * _UNIT_SECONDS[span[2]]
    else:
        try:
            day = dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC)
            end = day.timestamp() + _UNIT_SECONDS["d"]
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f"{text!r} is no time; write for example 90m, 12h, 30d, 4w or 2027-01-31"
            ) from error
    if end <= now_seconds:
        raise ValueError(f"{text!r} is over already; write a time to come")
    if end > now_seconds + _LONGEST_SECONDS:
        raise ValueError(f"{text!r} is more than a hundred years; write a shorter time")
    return end


class _Duration(click.ParamType[float]):
    """An option's value that `expiry` reads; the command gets Unix seconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            return expiry(str(value), time.time())
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = _Duration()
