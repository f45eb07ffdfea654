"""Summary: exact statistics of a window in constant memory, block by block.

Percentiles take several passes: each finds sixteen more bits of the values that stand at the wanted
places of the sorted order. Whole numbers of up to sixteen bits need one pass, four bytes two, eight
bytes four.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.base import Context
from processors.errors import UnsupportedFormat
from processors.image.picture import Picture
from processors.values import Grid, Interval

Values = NDArray[Any]

_DIGIT = 16
_DIGITS = 1 << _DIGIT
_HALF = 0.5


class Histogram(NamedTuple):
    """How many values lie in each of equally wide bins; the last holds its upper edge too."""

    low: float
    high: float
    counts: tuple[int, ...]

    def edges(self) -> list[float]:
        """Return the edges of the bins: one more than there are bins."""
        return [float(edge) for edge in np.linspace(self.low, self.high, len(self.counts) + 1)]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a band holds. All but the two counts are of finite values; None when there are none."""

    band: int
    count: int
    nan_count: int
    infinite_count: int
    least: float | None
    greatest: float | None
    mean: float | None
    std: float | None
    percentiles: tuple[tuple[float, float | None], ...]
    histogram: Histogram


class Question(NamedTuple):
    """What is asked of each band: percentiles, and a histogram over `span` or all there is."""

    percentiles: tuple[float, ...]
    bins: int
    span: Interval | None


def passes(dtype: str) -> int:
    """Return how often each pixel is read; UnsupportedFormat for values that have no order."""
    return _plain_type(dtype).itemsize * 8 // _DIGIT or 1


def table_bytes(dtype: str, bands: int, percentiles: int) -> int:
    """Return how many bytes are counted in at most."""
    tables = 1 if passes(dtype) == 1 else 2 * percentiles
    return bands * tables * _DIGITS * 8


def summarised(
    picture: Picture,
    layer: int,
    *,
    grid: Grid,
    bands: Sequence[int],
    question: Question,
    context: Context,
) -> list[Summary]:
    """Return the summary of each band of a window of level 0."""
    look = picture.look(layer)
    dtype = _plain_type(look.dtype)
    gatherers = [_Gatherer(band, dtype, question) for band in bands]
    times = passes(look.dtype)
    whole = grid.width * grid.height * times
    done = 0
    for number in range(times):
        for part in look.blocks(grid):
            block = picture.read(layer, 0, part)
            with context.phase("sum"):
                for gatherer in gatherers:
                    values = block[:, :, gatherer.band].ravel().astype(dtype, copy=False)
                    gatherer.take(values, number)
            done += part.width * part.height
            context.progress(done, whole)
        for gatherer in gatherers:
            gatherer.close_pass(number)
    return [gatherer.summary() for gatherer in gatherers]


def _plain_type(name: str) -> np.dtype[Any]:
    """Return the type that values of `name` are counted as."""
    dtype = np.dtype(name)
    if dtype.kind not in "iuf":
        raise UnsupportedFormat("these values have no order", asked=name)
    # Exact, and its bits are ordered like those of the others.
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def _keys(values: Values) -> Values:
    """Return unsigned numbers that are ordered as `values` are."""
    size = values.dtype.itemsize
    unsigned = np.dtype(f"u{size}")
    top = unsigned.type(1 << (size * 8 - 1))
    if values.dtype.kind == "u":
        return values
    bits: Values = values.view(unsigned)
    if values.dtype.kind == "i":
        flipped: Values = bits ^ top
        return flipped
    ordered: Values = np.where(bits & top, ~bits, bits | top)
    return ordered


def _value(key: int, dtype: np.dtype[Any]) -> float:
    """Return the value of a key."""
    size = dtype.itemsize * 8
    top, full = 1 << (size - 1), (1 << size) - 1
    if dtype.kind == "u":
        return key
    if dtype.kind == "i":
        return key - top
    bits = key ^ top if key & top else key ^ full
    return float(np.array(bits, f"u{size // 8}").view(dtype))


class _Gatherer:
    """Gathers the summary of one band over all passes."""

    def __init__(self, band: int, dtype: np.dtype[Any], question: Question) -> None:
        self.band = band
        self._dtype = dtype
        self._question = question
        self._bits = dtype.itemsize * 8
        self._passes = passes(dtype.name)
        self._count = self._nans = self._infinites = 0
        self._least: float | None = None
        self._greatest: float | None = None
        self._whole = 0
        self._sums: list[float] = []
        self._squares: list[float] = []
        self._mean: float | None = None
        self._bins = np.zeros(question.bins, np.int64)
        # How often each digit comes, by the digits before it.
        self._digits: dict[int, NDArray[np.int64]] = {0: np.zeros(_DIGITS, np.int64)}
        # By place in the sorted order: the digits found so far, and the place among their like.
        self._places: dict[int, tuple[int, int]] = {}

    @property
    def _is_small(self) -> bool:
        return self._bits <= _DIGIT

    def take(self, values: Values, number: int) -> None:
        """Take the values of a block in pass `number`."""
        if self._dtype.kind == "f":
            is_finite = np.isfinite(values)
            if not is_finite.all():
                if number == 0:
                    nans = int(np.isnan(values).sum())
                    self._nans += nans
                    self._infinites += int((~is_finite).sum()) - nans
                values = values[is_finite]
        if not values.size:
            return
        if number == 0:
            self._take_first(values)
        if number == 1:
            self._take_second(values)
        keys = _keys(values)
        shift = max(0, self._bits - _DIGIT * (number + 1))
        unsigned = keys.dtype.type
        found = keys >> unsigned(shift)
        if number == 0:
            self._digits[0] += np.bincount(found.astype(np.int64), minlength=_DIGITS)
            return
        digits, befores = found & unsigned(_DIGITS - 1), found >> unsigned(_DIGIT)
        for before in self._digits:
            chosen = digits[befores == unsigned(before)].astype(np.int64)
            self._digits[before] += np.bincount(chosen, minlength=_DIGITS)

    def _take_first(self, values: Values) -> None:
        self._count += values.size
        least, greatest = values.min().item(), values.max().item()
        self._least = least if self._least is None else min(self._least, least)
        self._greatest = greatest if self._greatest is None else max(self._greatest, greatest)
        if self._is_small:
            return
        if self._dtype.kind == "f":
            with np.errstate(over="ignore"):
                self._sums.append(float(values.sum(dtype=np.float64)))
            return
        # In halves, so that no sum of 64-bit numbers leaves 64 bits.
        half = self._bits // 2
        high = values >> values.dtype.type(half)
        low = values & values.dtype.type((1 << half) - 1)
        wide = np.int64 if self._dtype.kind == "i" else np.uint64
        self._whole += (int(high.sum(dtype=wide)) << half) + int(low.sum(dtype=wide))

    def _take_second(self, values: Values) -> None:
        assert self._mean is not None
        with np.errstate(over="ignore", invalid="ignore"):
            self._squares.append(float(np.square(values.astype(np.float64) - self._mean).sum()))
        self._bins += self._counted(values)

    def close_pass(self, number: int) -> None:
        """Draw the conclusions of a pass."""
        if number == 0:
            if self._count:
                self._mean = self._first_mean()
            places = (place for q in self._question.percentiles for place in self._around(q))
            self._places = {place: (0, place) for place in places if self._count}
        found: dict[int, tuple[int, int]] = {}
        for place, (before, rest) in self._places.items():
            sums = np.cumsum(self._digits[before])
            digit = int(np.searchsorted(sums, rest, side="right"))
            below = int(sums[digit - 1]) if digit else 0
            found[place] = (before << _DIGIT | digit, rest - below)
        self._places = found
        if number == 0 and self._is_small:
            self._close_small()
        if number + 1 < self._passes:
            befores = sorted({before for before, _ in found.values()})
            self._digits = {before: np.zeros(_DIGITS, np.int64) for before in befores}

    def _first_mean(self) -> float:
        if self._is_small:
            numbers, counts = self._table()
            return float(int((numbers * counts).sum()) / self._count)
        if self._dtype.kind == "f":
            return _sum(self._sums) / self._count
        return self._whole / self._count

    def _table(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the numbers that come, and how often: all there is to know of small ones."""
        keys = np.flatnonzero(self._digits[0])
        least = 0 if self._dtype.kind == "u" else -(1 << (self._bits - 1))
        return keys + least, self._digits[0][keys]

    def _close_small(self) -> None:
        if self._mean is None:
            return
        numbers, counts = self._table()
        # Exact: n times the sum of squares less the square of the sum, in whole numbers.
        squares = sum(n * n * c for n, c in zip(numbers.tolist(), counts.tolist(), strict=True))
        total = int((numbers * counts).sum())
        self._squares = [(squares * self._count - total * total) / self._count]
        self._bins = self._counted(numbers, counts)

    def _span(self) -> tuple[float, float]:
        """Return the ends of the histogram."""
        if self._question.span is not None:
            return self._question.span.low, self._question.span.high
        if self._least is None or self._greatest is None:
            return 0.0, 1.0
        low, high = float(self._least), float(self._greatest)
        if low == high:
            low, high = low - _HALF, high + _HALF
        return low, high

    def _counted(
        self, values: Values, weights: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """Return how many values lie in each bin, all of them taken as doubles."""
        bins, (low, high) = self._question.bins, self._span()
        # Halved where the span is larger than the largest double.
        scale = 1.0 if math.isfinite(high - low) else _HALF
        doubles = values.astype(np.float64) * scale
        edges = np.linspace(low * scale, high * scale, bins + 1)
        if (np.diff(edges) > 0).all():
            counts, _ = np.histogram(doubles, bins, (edges[0], edges[-1]), weights=weights)
            return counts.astype(np.int64)
        # So many bins that doubles cannot tell them apart: some have no width, and hold nothing.
        inside = (doubles >= edges[0]) & (doubles <= edges[-1])
        places = np.searchsorted(edges, doubles[inside], side="right").clip(1, bins) - 1
        chosen = None if weights is None else weights[inside]
        return np.bincount(places, chosen, minlength=bins).astype(np.int64)

    def _around(self, percent: float) -> tuple[int, int]:
        """Return the places in the sorted order that a percentile lies between."""
        place = percent / 100 * (self._count - 1)
        return math.floor(place), math.ceil(place)

    def _percentile(self, percent: float) -> float | None:
        if not self._count:
            return None
        low, high = (_value(self._places[place][0], self._dtype) for place in self._around(percent))
        share = percent / 100 * (self._count - 1)
        share -= math.floor(share)
        if not share or low == high:
            return low  # as it is: a whole number of 64 bits is no double
        if not math.isfinite(high - low):
            return low * (1 - share) + high * share
        if share >= _HALF:
            return high - (high - low) * (1 - share)
        return low + (high - low) * share

    def summary(self) -> Summary:
        """Return what was found."""
        std = math.sqrt(_sum(self._squares) / self._count) if self._count else None
        low, high = self._span()
        return Summary(
            band=self.band,
            count=self._count,
            nan_count=self._nans,
            infinite_count=self._infinites,
            least=self._least,
            greatest=self._greatest,
            mean=self._mean,
            std=std,
            percentiles=tuple((q, self._percentile(q)) for q in self._question.percentiles),
            histogram=Histogram(low, high, tuple(self._bins.tolist())),
        )


def _sum(parts: list[float]) -> float:
    try:
        return math.fsum(parts)
    except (OverflowError, ValueError):
        return math.inf  # beyond what a float can hold
