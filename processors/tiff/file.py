"""TiffFile: a TIFF, opened for reading windows of its layers."""

import contextlib
from collections.abc import Container
from typing import NoReturn, Self

import numpy as np

from processors.base import Context, Source
from processors.errors import Malformed, OutOfRange, TooLarge
from processors.tiff.geometry import Geometry
from processors.tiff.ifd import Head, Ifd, raw_values, read_ifd
from processors.tiff.index import Page, PageIndex
from processors.tiff.peek import Peek
from processors.tiff.plan import ReadPlan, Segment, plan, whole_segments
from processors.tiff.reader import read
from processors.tiff.tiled_copy import TiledCopy, is_giant, remember, remembered
from processors.values import Grid


class TiffFile:
    """Reads windows of the layers of a TIFF, exactly, and no more bytes than they need.

    Layers are counted from zero; level 0 is full resolution. It holds no descriptor of its own and
    need not be closed. For one thread.
    """

    def __init__(self, source: Source, context: Context) -> None:
        self._context = context
        self._peek = Peek(source)
        self._index = PageIndex(self._peek, context)
        self._levels: dict[int, list[Page]] = {}

    @classmethod
    def open(cls, source: Source, context: Context) -> Self:
        """Open a TIFF; Malformed when it is none. Its index of pages is remembered."""
        return cls(source, context)

    @property
    def layers(self) -> int:
        """How many layers there are. The whole chain of pages is walked for it, once."""
        return self._index.layers

    @property
    def is_whole(self) -> bool:
        """Whether the whole chain of pages is known already."""
        return self._index.is_whole

    def levels(self, layer: int) -> int:
        """Return how many levels a layer has; 1 when it is no pyramid."""
        return len(self._pages(layer))

    def geometry(self, layer: int, level: int = 0) -> Geometry:
        """Return what a level of a layer looks like. OutOfRange when there is none."""
        return self._page(layer, level).form

    def level_for(self, layer: int, factor: float) -> int:
        """Return the smallest level that is not smaller than 1/factor of full resolution."""
        pages = self._pages(layer)
        full = pages[0].form
        found = 0
        for level, page in enumerate(pages):
            # Half of an odd size was rounded down.
            wide = page.form.width >= int(full.width / factor)
            if wide and page.form.height >= int(full.height / factor):
                found = level
        return found

    def plan(self, layer: int, level: int, grid: Grid, *, stride: int = 1) -> ReadPlan:
        """Return what a window needs of the file, all limits checked."""
        page = self._page(layer, level)
        return plan(self._peek, page, grid, stride, self._context.limits, is_far=self._peek.is_far)

    def read(self, layer: int, level: int, grid: Grid, *, stride: int = 1) -> np.ndarray:
        """Return a window: (rows, columns), or (rows, columns, samples) when there are several.

        Each `stride`th pixel of each `stride`th row, from the first; the level is not changed.
        """
        found = self.read_plan(self.plan(layer, level, grid, stride=stride))
        return found if found.shape[2] > 1 else found[:, :, 0]

    def read_plan(self, planned: ReadPlan) -> np.ndarray:
        """Return the window of a plan: (rows, columns, samples).

        Of a page in giant segments a copy in tiles is left behind, and read from then on.
        """
        form, grid = planned.page.form, planned.grid
        whole = Grid(0, form.width, 0, form.height)
        if not is_giant(form) or (grid == whole and planned.stride == 1):
            return read(self._peek, planned, self._context)
        layer, level = planned.layer, planned.level
        copy = remembered(self._peek.source, layer, level, self._context)
        if copy is not None:
            with contextlib.suppress(Malformed):  # a damaged copy is made again
                return self._read_copy(copy, planned)
        try:
            wanted = self.plan(layer, level, whole)
        except TooLarge:  # the window alone may be within the limits
            return read(self._peek, planned, self._context)
        pixels = read(self._peek, wanted, self._context)
        with self._context.phase("normalise"):
            remember(self._peek.source, (layer, level), form, pixels, self._context)
        step = planned.stride
        return pixels[grid.y0 : grid.y1 : step, grid.x0 : grid.x1 : step].copy()

    def _read_copy(self, copy: TiledCopy, planned: ReadPlan) -> np.ndarray:
        """Return the window from a copy in tiles."""
        context = self._context
        peek = Peek(copy)
        page = PageIndex(peek, context, is_remembered=False).page(0)
        assert page is not None
        wanted = plan(peek, page, planned.grid, planned.stride, context.limits, is_far=False)
        return read(peek, wanted, context)

    def whole_segments(self, layer: int, level: int, grid: Grid) -> list[Segment]:
        """Return the segments that a window touches, as they lie in the file."""
        page, limits = self._page(layer, level), self._context.limits
        return list(whole_segments(self._peek, page, grid, 1, limits))

    def stored(self, segments: list[Segment]) -> list[memoryview]:
        """Return the bytes of segments as they are packed."""
        return self._peek.load([(segment.offset, segment.size) for segment in segments])

    def raw_tags(
        self, layer: int, level: int = 0, wanted: Container[int] | None = None
    ) -> dict[int, tuple[int, bytes]]:
        """Return type and bytes of the tags of a page, in the byte order of the file.

        Tags that are larger than allowed are left out, unless they are asked for.
        """
        page, limits = self._page(layer, level), self._context.limits
        ifd = read_ifd(self._peek, self._index.head, page.row.ifd, limits)
        found: dict[int, tuple[int, bytes]] = {}
        left = limits.tag_bytes
        for number, tag in ifd.tags.items():
            if wanted is None and (tag.size > left or tag.at + tag.size > self._peek.size):
                continue
            if wanted is None or number in wanted:
                found[number] = (tag.kind, raw_values(self._peek, tag, limits))
                left -= tag.size
        return found

    def info(self) -> dict[str, object]:
        """Return what is worth knowing before asking: plain data."""
        first = self.geometry(0)
        limits = self._context.limits
        levels = self._pages(0)
        return {
            "layers": self.layers,
            "width": first.width,
            "height": first.height,
            "samples": first.samples,
            "dtype": first.dtype,
            "bits": first.bits,
            "colour": first.colour,
            "codec": first.codec,
            "tile": [first.tile_width, first.tile_height],
            "is_tiled": first.is_tiled,
            "levels": [[page.form.width, page.form.height] for page in levels],
            "layers_are_equal": self._index.is_uniform,
            "axes": "grid is x0-x1-y0-y1: columns, then rows, zero-based, without the ends",
            "segment_decoded_bytes": first.segment_bytes,
            "random_access": self._access(first),
            "limits": {
                "pixels": limits.pixels,
                "output_bytes": limits.output_bytes,
                "touched_bytes": limits.touched_bytes,
                "segments": limits.segments,
            },
        }

    def directory(self, layer: int) -> tuple[Peek, Head, Ifd]:
        """Return the tags of a layer, and what their values are read with."""
        ifd = self._page(layer, 0).row.ifd
        head = self._index.head
        return self._peek, head, read_ifd(self._peek, head, ifd, self._context.limits)

    def _access(self, form: Geometry) -> str:
        """Say what a window costs."""
        kind = "tile" if form.is_tiled else "strip"
        if not is_giant(form):
            return f"by {kind}"
        if remembered(self._peek.source, 0, 0, self._context) is not None:
            return f"by tiles of a copy, for its {kind}s are giant"
        return f"the first window decodes giant {kind}s and leaves a copy in tiles for the others"

    def _page(self, layer: int, level: int) -> Page:
        if level == 0:
            page = self._index.page(layer) if layer >= 0 else None
            if page is None:
                self._refuse_layer(layer)
            return page
        pages = self._pages(layer)
        if not 0 <= level < len(pages):
            raise OutOfRange(
                f"layer {layer} has {len(pages)} levels",
                asked=f"level {level}",
                limit=f"0 to {len(pages) - 1}",
                example=f"level={min(max(level, 0), len(pages) - 1)}",
            )
        return pages[level]

    def _pages(self, layer: int) -> list[Page]:
        found = self._levels.get(layer)
        if found is None:
            self._page(layer, 0)
            found = self._levels[layer] = self._index.levels(layer)
        return found

    def _refuse_layer(self, layer: int) -> NoReturn:
        raise OutOfRange(
            f"the file has {self.layers} layers",
            asked=f"layer {layer}",
            limit=f"0 to {self.layers - 1}",
            example=f"layer={min(max(layer, 0), self.layers - 1)}",
        )
