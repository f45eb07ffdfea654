"""Halving: rows of an image become rows of one half as large, as they come."""

from collections.abc import Iterator

import numpy as np

from processors.image.picture import Pixels


class Halving:
    """Takes rows, and gives rows of half the width and height, `high` at a time.

    Four pixels become their average, rounded, of floats without what is no number; or, with
    `is_picked`, the first of them. An odd last row or column stands for itself.
    """

    def __init__(self, high: int, *, is_picked: bool) -> None:
        self._high = high
        self._is_picked = is_picked
        self._odd: Pixels | None = None
        self._made: list[Pixels] = []
        self._count = 0

    def take(self, rows: Pixels) -> Iterator[Pixels]:
        """Take the next rows, and yield what is ready."""
        if self._odd is not None:
            rows = np.concatenate([self._odd, rows])
        even = len(rows) // 2 * 2
        self._odd = rows[even:] if even < len(rows) else None
        if even:
            yield from self._give(self._halved(rows[:even]))

    def rest(self) -> Iterator[Pixels]:
        """Yield the last rows."""
        if self._odd is not None:
            odd, self._odd = self._odd, None
            yield from self._give(self._halved(np.concatenate([odd, odd])))
        if self._made:
            yield np.concatenate(self._made)
            self._made, self._count = [], 0

    def _give(self, rows: Pixels) -> Iterator[Pixels]:
        self._made.append(rows)
        self._count += len(rows)
        if self._count < self._high:
            return
        whole = np.concatenate(self._made)
        ready = self._count // self._high * self._high
        for at in range(0, ready, self._high):
            yield whole[at : at + self._high]
        self._made = [whole[ready:]] if ready < len(whole) else []
        self._count = len(whole) - ready

    def _halved(self, rows: Pixels) -> Pixels:
        if self._is_picked:
            return rows[::2, ::2]
        if rows.shape[1] % 2:
            rows = np.concatenate([rows, rows[:, -1:]], axis=1)
        corners = [rows[y::2, x::2] for y in (0, 1) for x in (0, 1)]
        if rows.dtype.kind == "f":
            stacked = np.stack(corners).astype(np.float64)
            is_number = ~np.isnan(stacked)
            counts = is_number.sum(axis=0)
            with np.errstate(invalid="ignore", over="ignore"):
                sums = np.where(is_number, stacked, 0).sum(axis=0)
                mean = sums / np.where(counts, counts, np.nan)
                floats: Pixels = mean.astype(rows.dtype)
                return floats
        sums = np.stack(corners).sum(axis=0, dtype=np.int64)
        halved: Pixels = ((sums + 2) >> 2).astype(rows.dtype)
        return halved
