"""The sample archive of `headgate demo`: small, deterministic, written in bounded memory."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

LAYERS = 16
EDGE = 2048
SMALL_LAYERS = 4
FAINT_LAYERS = 3
"""How far from its own depth a cell is still drawn; a farther one takes long and is hardly seen."""
SMALL_EDGE = 512

_README = """\
This is a sample archive.

  312/20181129.tif    16 layers of 2048 x 2048 pixels, 16 bits each, in tiles
  313/, 314/          smaller images of the same kind
  subjects.csv        one line an image
"""

_SUBJECTS = (
    ("312", "20181129", LAYERS, EDGE),
    ("313", "20190114", SMALL_LAYERS, SMALL_EDGE),
    ("313", "20190322", SMALL_LAYERS, SMALL_EDGE),
    ("314", "20190405", SMALL_LAYERS, SMALL_EDGE),
)

Layer = npt.NDArray[np.uint16]


def write(folder: Path) -> Iterator[str]:
    """Write the archive beneath `folder`; yield the name of each piece once it is there."""
    archive = folder / "archive"
    archive.mkdir()
    (archive / "README.txt").write_text(_README)
    lines = ["subject,date,layers,columns,rows"]
    for subject, date, layers, edge in _SUBJECTS:
        (archive / subject).mkdir(exist_ok=True)
        lines.append(f"{subject},{date},{layers},{edge},{edge}")
        name = f"{subject}/{date}.tif"
        for layer in _write_image(archive / name, layers, edge, seed=int(subject + date)):
            yield f"archive/{name}, layer {layer + 1} of {layers}"
    (archive / "subjects.csv").write_text("\n".join(lines) + "\n")
    yield "archive/subjects.csv"
    for place, site in enumerate(("site-a", "site-b")):
        yield from _write_site(folder, site, place)


def pieces() -> int:
    """Return how many pieces `write` yields."""
    return sum(layers for _, _, layers, _ in _SUBJECTS) + 1 + 2


def _write_image(path: Path, layers: int, edge: int, *, seed: int) -> Iterator[int]:
    cells = _cells(edge, layers, seed)
    with tifffile.TiffWriter(path) as tiff:
        for layer in range(layers):
            tiff.write(
                _layer(cells, layer, edge, seed),
                photometric="minisblack",
                tile=(256, 256),
                metadata=None,
                software="headgate demo",
            )
            yield layer


def _cells(edge: int, layers: int, seed: int) -> npt.NDArray[np.float32]:
    """Return one row a cell: column, row, depth, radius, brightness."""
    random = np.random.default_rng(seed)
    count = edge // 8
    low, high = (0, 0, 0, edge / 90, 4000), (edge, edge, layers, edge / 25, 26000)
    return random.uniform(low, high, (count, 5)).astype(np.float32)


def _layer(cells: npt.NDArray[np.float32], layer: int, edge: int, seed: int) -> Layer:
    """Return bright cells, each sharp in its own depth, on an uneven noisy ground."""
    axis = np.linspace(-1, 1, edge, dtype=np.float32)
    ground = 3000 - 1200 * (axis[:, None] ** 2 + axis[None, :] ** 2)
    noise = np.random.default_rng((seed, layer)).integers(0, 256, (edge, edge), dtype=np.uint8)
    image = ground + noise
    for column, row, depth, radius, brightness in cells.tolist():
        if abs(layer - depth) > FAINT_LAYERS:
            continue
        spread = radius * (1 + abs(layer - depth) / 4)
        reach = int(3 * spread)
        rows = slice(max(0, int(row) - reach), int(row) + reach)
        columns = slice(max(0, int(column) - reach), int(column) + reach)
        down = np.arange(edge, dtype=np.float32)[rows] - row
        across = np.arange(edge, dtype=np.float32)[columns] - column
        light = brightness * (radius / spread) ** 2
        image[rows, columns] += light * np.outer(
            np.exp(-((down / spread) ** 2)), np.exp(-((across / spread) ** 2))
        )
    layer_pixels: Layer = np.minimum(image, 65535).astype(np.uint16)
    return layer_pixels


def _write_site(folder: Path, site: str, place: int) -> Iterator[str]:
    root = folder / site
    root.mkdir()
    hours = np.arange(240)
    values = 12 + place + 6 * np.sin(hours * 2 * np.pi / 24) + 0.5 * np.cos(hours * 1.7)
    rows = (f"{hour},{value:.3f}" for hour, value in zip(hours, values, strict=True))
    (root / "temperature.csv").write_text("hour,celsius\n" + "\n".join(rows) + "\n")
    station = {"site": site, "sensor": f"T{place + 1}", "unit": "celsius", "samples": len(hours)}
    (root / "station.json").write_text(json.dumps(station, indent=2) + "\n")
    yield f"{site}/temperature.csv"
