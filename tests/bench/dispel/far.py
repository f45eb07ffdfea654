"""Measures windows of TIFFs at a far site: how many round trips one costs, and how many bytes.

    python -m tests.bench.dispel.far [--windows 7]

The files lie behind a real sshd and a delay. Each window is the first of its file once the index of
its pages is known, so nothing of it is cached. A round trip is what a window takes longer for each
millisecond of delay: the difference between two delays, so that the speed of the machine cancels.
"""

import argparse
import contextlib
import http.client
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from tests.bench.sftp.compare import delayed
from tests.servers import headgate, sshd
from tests.servers.target import Target

SIDE, TILE = 4096, 256
WIDTH, HEIGHT = 1200, 400
DELAYS_MS = (20.0, 100.0)
TEMPLATE = """
[templates.far]
path = "{name:id}/{layer:int}/{grid:grid}"
source = "/site/{name}.tif"
run = ["tiff.window"]
"""


def prepare(file: Path) -> None:
    """Write an image in tiles that pack to about a third, as measurements do."""
    noise = np.random.default_rng(7)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    wave = (np.sin(columns / 50) * np.cos(rows / 70) + 1) * 20_000
    pixels = (wave + noise.integers(0, 8, (SIDE, SIDE))).astype(np.uint16)
    tifffile.imwrite(
        file, pixels, tile=(TILE, TILE), compression="zstd", predictor=True, metadata=None
    )


def needed(file: Path, x: int, y: int) -> int:
    """Return how many bytes the tiles of a window have in the file."""
    across = range(x // TILE, (x + WIDTH - 1) // TILE + 1)
    down = range(y // TILE, (y + HEIGHT - 1) // TILE + 1)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        counts = page.databytecounts
    return sum(counts[row * (SIDE // TILE) + column] for row in down for column in across)


def stored(folder: Path) -> int:
    """Return how many bytes of files the cache has on disk."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def ask(connection: http.client.HTTPConnection, path: str) -> float:
    """Return how long a GET took."""
    began = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    data = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {data[:300]!r}")
    return time.perf_counter() - began


def measure(target: Target, blocks: Path, original: Path, count: int) -> tuple[float, float]:
    """Return the median time of a window, and of the bytes that came for each that was needed."""
    dice = random.Random(3)
    times, parts = [], []
    with contextlib.closing(http.client.HTTPConnection(target.host, target.port)) as connection:
        ask(connection, "/site/")
        for number in range(count):
            ask(connection, f"/dispel/far/f{number}/0/0-10-0-10.raw")
            time.sleep(0.5)
            before = stored(blocks)
            x, y = dice.randrange(TILE, SIDE - WIDTH), dice.randrange(TILE, SIDE - HEIGHT)
            path = f"/dispel/far/f{number}/0/{x}-{x + WIDTH}-{y}-{y + HEIGHT}.raw"
            times.append(ask(connection, path))
            time.sleep(0.5)
            parts.append((stored(blocks) - before) / needed(original, x, y))
    return statistics.median(times), statistics.median(parts)


def run(count: int) -> tuple[float, float]:
    """Return how many round trips a window costs, and bytes that came for each needed."""
    times: dict[float, float] = {}
    part = 0.0
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for delay in DELAYS_MS:
            here = base / f"{delay:g}"
            for name in ("site", "gateway"):
                (here / name).mkdir(parents=True)
            with sshd.launch(here / "site") as server:
                root = server.target.root
                assert root is not None
                prepare(root / "f0.tif")
                for number in range(1, count):
                    shutil.copy(root / "f0.tif", root / f"f{number}.tif")
                with delayed(server.target.port, delay) as port:
                    line = f"[127.0.0.1]:{port} {server.host_key}\n"
                    server.known_hosts.write_text(line)
                    site = {
                        "provider": "sftp",
                        "host": "127.0.0.1",
                        "port": port,
                        "user": server.target.user,
                        "root": str(root),
                        "known_hosts": str(server.known_hosts),
                        "key_file": str(server.key),
                    }
                    with headgate.launch(
                        here / "gateway", mounts={"site": site}, more=TEMPLATE
                    ) as gateway:
                        blocks = here / "gateway" / "cache" / "blocks"
                        took, part = measure(gateway.target, blocks, root / "f0.tif", count)
                        times[delay] = took
                        print(f"{delay:4g} ms: {took * 1e3:6.1f} ms a window", flush=True)
    near, far = DELAYS_MS
    return (times[far] - times[near]) / (far - near) * 1e3, part


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=7)
    trips, part = run(parser.parse_args().windows)
    print(f"{trips:.1f} round trips a window, {part:.2f} bytes for each that it needs")


if __name__ == "__main__":
    main()
