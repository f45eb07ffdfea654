"""Hist: how often each value comes, as a plot or as numbers."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from processors.base import Context, Output, Plan, Processor, Sink, Source
from processors.builtin.preview import choices, facts
from processors.builtin.spread import SpreadParams, plan_of, summaries
from processors.builtin.summary import Summary
from processors.errors import UnsupportedFormat
from processors.image.opening import open_picture

_MEDIA_TYPES = {
    "svg": "image/svg+xml",
    "png": "image/png",
    "csv": "text/csv; charset=utf-8",
}
_INCHES = (7.0, 4.0)
_DPI = 100
_LEGEND_BANDS = 12
# All that would make two plots of the same numbers differ: ids, dates, names of programs.
_STYLE = {"svg.hashsalt": "headgate", "svg.fonttype": "path", "path.simplify": False}
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


class HistParams(SpreadParams, frozen=True, kw_only=True):
    """What a histogram takes."""

    log: bool = False
    """Draws counts on a logarithmic scale."""


class Hist(Processor):
    """Counts how often values come: a plot as svg or png, the numbers as csv.

    The counts are exact, those of `stats`. Plots need the extra `plots`; csv needs nothing.
    """

    name = "hist"
    pattern = "{source:path}/{layer:int}"
    params = HistParams
    formats = ("svg", "png", "csv")

    def plan(self, source: Source, params: HistParams, context: Context) -> Plan:  # noqa: D102
        if params.format != "csv":
            _matplotlib()
        output = Output(media_type=_MEDIA_TYPES[params.format])
        return plan_of(source, params, (), output, context)

    def run(self, source: Source, params: HistParams, sink: Sink, context: Context) -> None:  # noqa: D102
        found = summaries(source, params, (), context)
        with context.phase("encode"):
            plotted = _table(found).encode() if params.format == "csv" else _plot(found, params)
            sink.write(plotted)

    def info(self, source: Source, context: Context) -> Mapping[str, object]:  # noqa: D102
        return facts(open_picture(source, context))

    def values(self, name: str, source: Source, context: Context) -> Iterable[object] | None:  # noqa: D102
        return choices(name, source, context)


def _table(found: list[Summary]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["band", "low", "high", "count"])
    for one in found:
        edges = one.histogram.edges()
        for low, high, count in zip(edges, edges[1:], one.histogram.counts, strict=False):
            rows.writerow([one.band, low, high, count])
    return text.getvalue()


def _matplotlib() -> Any:  # noqa: ANN401 - a module that need not be there
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra
        import matplotlib.figure  # noqa: PLC0415 - likewise
    except ImportError:
        raise UnsupportedFormat(
            "plots need matplotlib: pip install 'headgate[plots]'",
            limit="csv",
            example="format=csv",
        ) from None
    return mpl


def _plot(found: list[Summary], params: HistParams) -> bytes:
    matplotlib = _matplotlib()
    file = io.BytesIO()
    with matplotlib.rc_context():
        # Whatever a matplotlibrc of this machine says.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = matplotlib.figure.Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
        axes = figure.add_subplot()
        for one in found:
            axes.stairs(
                one.histogram.counts,
                one.histogram.edges(),
                fill=len(found) == 1,
                label=f"band {one.band}",
            )
        if params.log:
            axes.set_yscale("log", nonpositive="clip")
        axes.set_xlabel("value")
        axes.set_ylabel("count")
        if 1 < len(found) <= _LEGEND_BANDS:
            axes.legend()
        figure.savefig(file, format=params.format, metadata=_METADATA[params.format])
    return file.getvalue()
