"""Copy: a tif made of the source's own tiles, as they are packed there."""

from typing import NamedTuple

from processors.base import Context, Sink
from processors.errors import OutOfRange, TooLarge
from processors.tiff.directory import Directory, aligned, header
from processors.tiff.file import TiffFile
from processors.tiff.geometry import Geometry
from processors.tiff.plan import Segment
from processors.values import Grid, Layers

# What decides how the bytes of a segment are read; copied with them.
_COPIED = (258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 332, 334, 338, 339, 347)
_COPIED_TOO = (529, 530, 531, 532, 42113, 50674)
_LONG = 4
_CHUNK_BYTES = 8 << 20
_CLASSIC_BYTES = (1 << 32) - (1 << 20)


class _Page(NamedTuple):
    directory: Directory
    segments: list[Segment]
    form: Geometry


class Copy:
    """Copies the segments of a window that is aligned to them: nothing is decoded or packed again.

    Its size is known beforehand, from the byte counts of the segments.
    """

    def __init__(
        self, file: TiffFile, layers: Layers, level: int, grid: Grid | None, context: Context
    ) -> None:
        self._file = file
        self._context = context
        self.pixels = 0
        self.bytes_wanted = 0
        pieces = 0
        self._planned = []
        for layer in layers:
            context.check()
            form = file.geometry(layer, level)
            window = grid or Grid(0, form.width, 0, form.height)
            _check_aligned(window, form)
            segments = file.whole_segments(layer, level, window)
            self._planned.append((layer, form, window, segments))
            self.pixels += window.width * window.height
            self.bytes_wanted += sum(segment.size for segment in segments)
            pieces += len(segments)
            for what, asked, limit in (
                ("pieces", pieces, context.limits.segments),
                ("bytes", self.bytes_wanted, context.limits.output_bytes),
                ("pixels", self.pixels, context.limits.pixels),
            ):
                if asked > limit:
                    raise TooLarge(f"too many {what}", asked=str(asked), limit=str(limit))
        self._is_big = self.bytes_wanted > _CLASSIC_BYTES
        self._pages = [self._page(*planned, level) for planned in self._planned]
        head = 16 + sum(page.directory.size for page in self._pages)
        self.size = head + sum(aligned(s.size) for page in self._pages for s in page.segments)
        self.memory_bytes = head + 3 * _CHUNK_BYTES + context.limits.segment_bytes

    def _page(
        self, layer: int, form: Geometry, grid: Grid, segments: list[Segment], level: int
    ) -> _Page:
        directory = Directory(order=form.order, is_big=self._is_big)
        for number, (kind, raw) in self._file.raw_tags(
            layer, level, (*_COPIED, *_COPIED_TOO)
        ).items():
            directory.set_raw(number, kind, raw)
        directory.set(254, _LONG, 0)
        directory.set(256, _LONG, grid.width)
        directory.set(257, _LONG, grid.height)
        if form.is_tiled:
            directory.set(322, _LONG, form.tile_width)
            directory.set(323, _LONG, form.tile_height)
        else:
            directory.set(278, _LONG, min(form.tile_height, grid.height))
        offsets, counts = (324, 325) if form.is_tiled else (273, 279)
        directory.set_places(offsets, [0] * len(segments))
        directory.set_places(counts, [segment.size for segment in segments])
        return _Page(directory, segments, form)

    def write(self, sink: Sink) -> None:
        """Write the file."""
        at = 16 + sum(page.directory.size for page in self._pages)
        place = 16
        order = self._pages[0].form.order
        sink.write(header(place, order=order, is_big=self._is_big))
        for number, page in enumerate(self._pages):
            offsets = []
            for segment in page.segments:
                offsets.append(at if segment.size else 0)
                at += aligned(segment.size)
            page.directory.set_places(324 if page.form.is_tiled else 273, offsets)
            after = place + page.directory.size if number + 1 < len(self._pages) else 0
            sink.write(page.directory.at(place, after=after))
            place += page.directory.size
        for page in self._pages:
            self._write_segments(page, sink)

    def _write_segments(self, page: _Page, sink: Sink) -> None:
        group: list[Segment] = []
        taken = 0
        for segment in [*page.segments, None]:
            if group and (segment is None or taken + segment.size > _CHUNK_BYTES):
                self._context.check()
                with self._context.phase("read"):
                    pieces = self._file.stored(group)
                for piece in pieces:
                    sink.write(piece)
                    sink.write(bytes(aligned(len(piece)) - len(piece)))
                group, taken = [], 0
            if segment is not None and segment.size:
                group.append(segment)
                taken += segment.size


def _check_aligned(grid: Grid, form: Geometry) -> None:
    """Refuse a window that cuts through segments, and say which one does not."""
    wide, high = form.tile_width, form.tile_height
    if grid.x0 >= form.width or grid.y0 >= form.height:
        return  # out of range altogether, which the plan says
    fitting = Grid(
        grid.x0 // wide * wide,
        min(form.width, -(-grid.x1 // wide) * wide),
        grid.y0 // high * high,
        min(form.height, -(-grid.y1 // high) * high),
    )
    if grid != fitting and grid.x1 <= form.width and grid.y1 <= form.height:
        raise OutOfRange(
            "codec=source copies whole tiles, and the grid cuts through some",
            asked=f"grid {grid}",
            limit=f"multiples of {wide} columns and {high} rows, or to the edge",
            example=f"grid={fitting}",
        )
