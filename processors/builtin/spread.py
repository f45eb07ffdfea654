"""Spread: what statistics and plots of values ask, and how it is found out."""

from processors.base import MIB, Context, Output, Params, Plan, Source
from processors.builtin.summary import Question, Summary, passes, summarised, table_bytes
from processors.errors import BadValue, TooLarge
from processors.image.opening import open_picture
from processors.image.picture import Look, afford, bounded, one_band, window
from processors.values import Grid, Interval

BINS_MAX = 65_536

_TABLES_BYTES = 128 * MIB


class SpreadParams(Params, frozen=True, kw_only=True):
    """Which values, and how finely they are counted."""

    layer: int = 0
    """Which layer, counted from zero; of an animation the frame."""

    grid: Grid | None = None
    """The window, all of the layer without it."""

    band: int | None = None
    """Which sample of a pixel, each by itself without it."""

    bins: int = 256
    """How many bins the histogram has, equally wide; 1 to 65536."""

    range: Interval | None = None
    """What the histogram spans, from the least value to the greatest without it."""

    def __post_init__(self) -> None:
        bounded("bins", self.bins, 1, BINS_MAX)
        if self.range is not None and not self.range.low < self.range.high:
            raise BadValue("the range is empty", asked=f"range={self.range}", example="range=0..1")


def plan_of(
    source: Source,
    params: SpreadParams,
    percentiles: tuple[float, ...],
    output: Output,
    context: Context,
) -> Plan:
    """Return what it takes to answer."""
    look = open_picture(source, context).checked(params.layer)
    grid = window(look, params.grid)
    touched = afford(look, grid, context)
    tables = _afford_tables(look, params, percentiles)
    return Plan(
        outputs=(output,),
        bytes_wanted=min(source.size, touched),
        decoded_bytes=touched * passes(look.dtype),
        memory_bytes=96 * MIB + tables,
    )


def summaries(
    source: Source, params: SpreadParams, percentiles: tuple[float, ...], context: Context
) -> list[Summary]:
    """Return the summary of each band that is asked for."""
    picture = open_picture(source, context)
    look = picture.checked(params.layer)
    grid = window(look, params.grid)
    afford(look, grid, context)
    _afford_tables(look, params, percentiles)
    return summarised(
        picture,
        params.layer,
        grid=grid,
        bands=_bands(look, params),
        question=Question(percentiles, params.bins, params.range),
        context=context,
    )


def _bands(look: Look, params: SpreadParams) -> range:
    band = one_band(look, params.band)
    return range(look.samples) if band is None else range(band, band + 1)


def _afford_tables(look: Look, params: SpreadParams, percentiles: tuple[float, ...]) -> int:
    bands = len(_bands(look, params))
    size = table_bytes(look.dtype, bands, len(percentiles)) + 16 * bands * params.bins
    if bands > 1 and size > _TABLES_BYTES:
        raise TooLarge(
            "so many bands are not counted at once",
            asked=f"{size} bytes of counts",
            limit=f"{_TABLES_BYTES} bytes",
            example="band=0",
        )
    return size
