"""Measures derived files side by side with TiTiler: windows of one COG, computed and remembered.

    python -m tests.bench.dispel.compare [--rounds 5] [--seconds 3] [--connections 8]
        [--kinds cold,cached] [--formats npy,png] [--workers 1]

Both serve the same file on this machine, in the same formats, and each answer is compared once,
pixel by pixel, before anything is measured. "cold" asks for another window each time, "cached" for
the same few again and again. Rounds are interleaved; printed are medians, and the ratio to TiTiler
(above 1 is better for us). The client is wrk, and shares the cores with the server. TiTiler serves
with two processes, Headgate with `--workers` and two that compute.
"""

import argparse
import io
import random
import re
import statistics
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import rasterio
from rasterio.transform import from_origin

from tests.servers import headgate, titiler
from tests.servers.programs import find

SIDE = 4096
WIDTH, HEIGHT = 1200, 400
FORMATS = ("npy", "png")
KINDS = ("cold", "cached")
KEPT = 8
TEMPLATE = """
[templates.cog]
path = "{name:id}/{layer:int}/{grid:grid}"
source = "/archive/{name}.tif"
run = ["tiff.window"]
"""
# wrk takes the paths of a file in turn; each thread begins at another place.
_TURNS = """
local paths, at, step, thread = {}, 0, 1, 0
function setup(t) t:set("number", thread); thread = thread + 1 end
function init(args)
  for line in io.lines(args[1]) do paths[#paths + 1] = line end
  at = math.floor(number * #paths / tonumber(args[2]))
end
function request() at = at % #paths + 1; return wrk.format("GET", paths[at]) end
"""


class Window(msgspec.Struct, frozen=True):
    """One window of the image, by its upper left corner."""

    x: int
    y: int


class Peer(msgspec.Struct, frozen=True):
    """A server, and how it spells a window in a format."""

    name: str
    url: str
    spell: Callable[[Window, str], str]


def prepare(root: Path) -> np.ndarray:
    """Write the image that both serve and return its pixels."""
    noise = np.random.default_rng(7)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    wave = (np.sin(columns / 50) * np.cos(rows / 70) + 1) * 20_000
    pixels: np.ndarray = (wave + noise.integers(0, 500, (SIDE, SIDE))).astype(np.uint16)
    with rasterio.open(
        root / "a.tif",
        "w",
        driver="COG",
        width=SIDE,
        height=SIDE,
        count=1,
        dtype="uint16",
        crs="EPSG:3857",
        transform=from_origin(0, SIDE, 1, 1),
        compress="ZSTD",
        predictor=2,
        blocksize=256,
    ) as file:
        file.write(pixels, 1)
    return pixels


def ours(window: Window, form: str) -> str:
    """Return the path of a window here."""
    return f"/dispel/cog/a/0/{window.x}-{window.x + WIDTH}-{window.y}-{window.y + HEIGHT}.{form}"


def theirs(file: Path) -> Callable[[Window, str], str]:
    """Return how TiTiler spells a window of `file`."""

    def spell(window: Window, form: str) -> str:
        top = SIDE - window.y
        box = f"{window.x},{top - HEIGHT},{window.x + WIDTH},{top}"
        options = "coord_crs=epsg:3857&dst_crs=epsg:3857&return_mask=false"
        return f"/cog/bbox/{box}/{WIDTH}x{HEIGHT}.{form}?url={file}&{options}"

    return spell


def windows(seed: int) -> Iterator[Window]:
    """Yield windows at random places, for ever."""
    dice = random.Random(seed)
    while True:
        yield Window(dice.randrange(SIDE - WIDTH), dice.randrange(SIDE - HEIGHT))


def compare(peers: Sequence[Peer], pixels: np.ndarray) -> None:
    """Raise unless every peer gives just the pixels of the image."""
    for window in (Window(100, 100), Window(1, 3001)):
        wanted = pixels[window.y : window.y + HEIGHT, window.x : window.x + WIDTH]
        for peer in peers:
            with urllib.request.urlopen(peer.url + peer.spell(window, "npy")) as answer:
                got = np.load(io.BytesIO(answer.read())).squeeze()
            if not np.array_equal(got, wanted):
                raise SystemExit(f"{peer.name} gives other pixels for {window}")


class Load:
    """Asks for paths in turn, over several connections."""

    def __init__(self, folder: Path, seconds: int, connections: int) -> None:
        self._script = folder / "turns.lua"
        self._script.write_text(_TURNS)
        self._paths = folder / "paths"
        self._seconds = seconds
        self._connections = connections

    def rate(self, peer: Peer, paths: Sequence[str]) -> float:
        """Return how many answers a second came."""
        self._paths.write_text("\n".join(paths))
        argv = (
            find("wrk"),
            "-t1",
            f"-c{self._connections}",
            f"-d{self._seconds}s",
            "--timeout=30s",
            "-s",
            str(self._script),
            peer.url,
            "--",
            str(self._paths),
            "1",
        )
        text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in text:
            raise SystemExit(f"{peer.name} refused some:\n{text}")
        found = re.search(r"Requests/sec:\s+([0-9.]+)", text)
        assert found is not None, text
        return float(found[1])


def measure(
    peers: Sequence[Peer], load: Load, rounds: int, kinds: Sequence[str], formats: Sequence[str]
) -> dict[tuple[str, str, str], float]:
    """Return the median rate by (cold or cached, format, peer)."""
    rates: dict[tuple[str, str, str], list[float]] = {}
    kept = [window for window, _ in zip(windows(1), range(KEPT), strict=False)]
    for number in range(rounds):
        source = windows(100 + number)
        for form in formats:
            fresh = [next(source) for _ in range(20_000)]
            order = peers if number % 2 else peers[::-1]
            for kind in kinds:
                asked = fresh if kind == "cold" else kept
                for peer in order:
                    paths = [peer.spell(window, form) for window in asked]
                    if kind == "cached":
                        load.rate(peer, paths)
                    rates.setdefault((kind, form, peer.name), []).append(load.rate(peer, paths))
    return {key: statistics.median(found) for key, found in rates.items()}


def run(asked: argparse.Namespace) -> dict[tuple[str, str, str], float]:
    """Start both servers, compare their pixels, and measure."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for name in ("ours", "theirs", "load"):
            (base / name).mkdir()
        root = base / "files"
        root.mkdir()
        pixels = prepare(root)
        mounts = {"archive": {"provider": "local", "root": str(root)}}
        with (
            headgate.launch(
                base / "ours", mounts=mounts, more=TEMPLATE, workers=asked.workers
            ) as gateway,
            titiler.launch(base / "theirs", workers=2) as peer,
        ):
            peers = (
                Peer("headgate", gateway.target.url.rstrip("/"), ours),
                Peer("titiler", peer.target.url.rstrip("/"), theirs(root / "a.tif")),
            )
            compare(peers, pixels)
            load = Load(base / "load", asked.seconds, asked.connections)
            kinds, formats = asked.kinds.split(","), asked.formats.split(",")
            return measure(peers, load, asked.rounds, kinds, formats)


def main() -> None:
    """Run the comparison and print a row for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    rates = run(asked)
    for kind, form, name in rates:
        if name == "headgate":
            mine, peer = rates[kind, form, name], rates[kind, form, "titiler"]
            told = f"{mine:9.1f} req/s, TiTiler {peer:8.1f} req/s"
            print(f"{kind:7} {form:4} {told}: {mine / peer:.2f}x")


if __name__ == "__main__":
    main()
