"""Sheets: a tiny format of layered images, and processors of it, for tests of paths and listings.

A sheet is one line `SHEET layers width height`, then each layer's bytes, row by row.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from processors.base import Context, Output, Params, Plan, Processor, Sink, Source
from processors.errors import Malformed, OutOfRange
from processors.function import processor
from processors.values import Grid, Layers


def sheet(layers: int, width: int, height: int) -> bytes:
    """Return a sheet whose pixels tell their place."""
    head = f"SHEET {layers} {width} {height}\n".encode()
    pixels = (
        (layer * 7 + y * 3 + x) % 256
        for layer in range(layers)
        for y in range(height)
        for x in range(width)
    )
    return head + bytes(pixels)


def cut(data: bytes, layer: int, grid: Grid) -> bytes:
    """Return a window, as a reader that knows no processor would."""
    head, _, pixels = data.partition(b"\n")
    _, _, width, height = head.split()
    rows = []
    for y in range(grid.y0, grid.y1):
        at = (layer * int(height) + y) * int(width)
        rows.append(pixels[at + grid.x0 : at + grid.x1])
    return b"".join(rows)


class WindowParams(Params, frozen=True):
    """Which part."""

    layer: Layers
    """Which layers."""
    grid: Grid | None = None
    """Which part of each; all of it by default."""
    level: int = 0
    """Which level; there is only 0."""
    op: Literal["plain", "inverted"] = "plain"
    """What is done to each pixel."""


class Window(Processor):
    """Cuts windows out of sheets; their size is known before."""

    name = "sheet.window"
    params = WindowParams
    formats = ("raw", "bin")
    pattern = "{source:path}/{layer:layers}/{grid:grid}"

    def _look(self, source: Source) -> tuple[int, int, int, int]:
        line, newline, _ = source.read_at(0, 100).partition(b"\n")
        words = line.split()
        if not newline or len(words) != 4 or words[0] != b"SHEET":
            raise Malformed("it is no sheet", limit="a sheet")
        return int(words[1]), int(words[2]), int(words[3]), len(line) + 1

    def _grid(self, params: WindowParams, width: int, height: int) -> Grid:
        grid = params.grid or Grid(0, width, 0, height)
        if grid.x1 > width or grid.y1 > height:
            raise OutOfRange(
                "the grid reaches out of the image",
                asked=str(grid),
                limit=str(Grid(0, width, 0, height)),
                example=f"grid=0-{width}-0-{height}",
            )
        return grid

    def plan(self, source: Any, params: Any, context: Context) -> Plan:
        layers, width, height, _ = self._look(source)
        if max(stop for _, stop in params.layer.runs) > layers:
            raise OutOfRange(
                f"there are {layers} layers",
                asked=str(params.layer),
                limit=f"0 to {layers - 1}",
                example=f"layer={layers - 1}",
            )
        grid = self._grid(params, width, height)
        size = len(params.layer) * grid.width * grid.height
        return Plan(
            outputs=(Output(media_type="application/octet-stream", size=size),),
            bytes_wanted=size,
            decoded_bytes=size,
            pixels=size,
        )

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        _, width, height, start = self._look(source)
        grid = self._grid(params, width, height)
        for layer in params.layer:
            for y in range(grid.y0, grid.y1):
                at = start + (layer * height + y) * width + grid.x0
                row = source.read_at(at, grid.width)
                sink.write(bytes(255 - b for b in row) if params.op == "inverted" else row)

    def info(self, source: Any, context: Context) -> Mapping[str, object]:
        layers, width, height, _ = self._look(source)
        return {"layers": layers, "width": width, "height": height}

    def values(self, name: str, source: Any, context: Context) -> Iterable[object] | None:
        return range(self._look(source)[0]) if name == "layer" else None


@processor(name="sheet.lines", formats=("txt", "csv"), pattern="{source:path}/{first:int}")
def lines(source: Source, *, format: str, first: int, count: int = 2) -> bytes:  # noqa: A002
    """Return some lines of a text; the size is known only when it is made."""
    text = source.read_at(0, source.size).splitlines()[first : first + count]
    return (b"," if format == "csv" else b"\n").join(text)


@processor(name="sheet.count", formats=("txt",))
def count(source: Source) -> str:
    """Return how many bytes there are."""
    return f"{source.size}\n"


PROCESSORS: dict[str, Callable[[], Processor]] = {
    "sheet.window": Window,
    "sheet.lines": lines,
    "sheet.count": count,
}


def find(name: str) -> Processor:
    """Return the processor of a name, as the registry does."""
    return PROCESSORS[name]()
