"""Stats: what the values of a window are like, exactly."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping

from processors.base import Context, Output, Plan, Processor, Sink, Source
from processors.builtin.preview import choices, facts
from processors.builtin.spread import SpreadParams, plan_of, summaries
from processors.builtin.summary import Summary
from processors.errors import BadValue
from processors.image.opening import open_picture
from processors.image.picture import bounded

_PERCENTILES_MAX = 32
_MEDIA_TYPES = {"json": "application/json", "csv": "text/csv; charset=utf-8"}


class StatsParams(SpreadParams, frozen=True, kw_only=True):
    """What statistics take."""

    percentiles: tuple[float, ...] = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)
    """Which percentiles, 0 to 100, at most 32: linear between the two nearest values."""

    def __post_init__(self) -> None:
        SpreadParams.__post_init__(self)
        if not 1 <= len(self.percentiles) <= _PERCENTILES_MAX:
            raise BadValue(
                "so many percentiles are not taken",
                asked=f"{len(self.percentiles)} percentiles",
                limit=f"1 to {_PERCENTILES_MAX}",
                example="percentiles=50",
            )
        for percent in self.percentiles:
            bounded("percentiles", percent, 0, 100)


class Stats(Processor):
    """Computes count, least, greatest, mean, standard deviation, percentiles and a histogram.

    They are exact: counts, least, greatest, percentiles and the histogram are those of all values,
    mean and deviation are right to the rounding of a double. Values that are no finite numbers are
    counted by themselves and enter nothing else. The memory does not grow with the window; wide
    types are read several times for that (32 bits twice, 64 bits four times). The histogram is in
    `json` alone.
    """

    name = "stats"
    pattern = "{source:path}/{layer:int}"
    params = StatsParams
    formats = ("json", "csv")

    def plan(self, source: Source, params: StatsParams, context: Context) -> Plan:  # noqa: D102
        output = Output(media_type=_MEDIA_TYPES[params.format])
        return plan_of(source, params, params.percentiles, output, context)

    def run(self, source: Source, params: StatsParams, sink: Sink, context: Context) -> None:  # noqa: D102
        found = summaries(source, params, params.percentiles, context)
        if params.format == "csv":
            sink.write(_table(found).encode())
            return
        told = {
            "layer": params.layer,
            "grid": None if params.grid is None else str(params.grid),
            "bands": [_told(one) for one in found],
        }
        sink.write((json.dumps(told, indent=1, allow_nan=False) + "\n").encode())

    def info(self, source: Source, context: Context) -> Mapping[str, object]:  # noqa: D102
        return facts(open_picture(source, context))

    def values(self, name: str, source: Source, context: Context) -> Iterable[object] | None:  # noqa: D102
        return choices(name, source, context)


def _told(one: Summary) -> dict[str, object]:
    return {
        "band": one.band,
        "count": one.count,
        "nan_count": one.nan_count,
        "infinite_count": one.infinite_count,
        "min": _number(one.least),
        "max": _number(one.greatest),
        "mean": _number(one.mean),
        "std": _number(one.std),
        "percentiles": {_name(percent): _number(value) for percent, value in one.percentiles},
        "histogram": {
            "low": _number(one.histogram.low),
            "high": _number(one.histogram.high),
            "counts": list(one.histogram.counts),
        },
    }


def _table(found: list[Summary]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names = [f"p{_name(percent)}" for percent, _ in found[0].percentiles]
    rows.writerow(
        ["band", "count", "nan_count", "infinite_count", "min", "max", "mean", "std", *names]
    )
    for one in found:
        numbers = [one.least, one.greatest, one.mean, one.std]
        numbers += [value for _, value in one.percentiles]
        counts = [one.band, one.count, one.nan_count, one.infinite_count]
        rows.writerow([*counts, *map(_number, numbers)])
    return text.getvalue()


def _name(percent: float) -> str:
    return f"{percent:g}" if float(f"{percent:g}") == percent else repr(percent)


def _number(value: float | None) -> float | None:
    """Return a number as JSON can hold it: none where doubles end."""
    return value if value is None or math.isfinite(value) else None
