"""Measures derived files that are there already, side by side with plain files of the same bytes.

    python -m tests.bench.dispel.hits [--rounds 5] [--seconds 1]

One gateway serves both, the plain file from a local mount. Rounds are interleaved. Printed is, for
each size and number of connections, the processor time that the gateway takes for an answer and
how many answers a second come, as the median over rounds of their ratios: what a cached result
costs for each that a plain file does (1 is as fast; below is faster).
"""

import argparse
import re
import statistics
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import tifffile

from tests.bench.http.meter import cpu_seconds, tree
from tests.servers import headgate
from tests.servers.daemon import Daemon
from tests.servers.programs import find

SIDE = 2048
SIZES: Mapping[str, int] = {"4 KiB": 64, "1 MiB": 1024}
"""The side of a square of bytes by its size."""
CONNECTIONS = (1, 16)
TEMPLATE = """
[templates.cut]
path = "{name:id}/{layer:int}/{grid:grid}"
source = "/archive/{name}.tif"
run = ["tiff.window"]
"""


class Pair(msgspec.Struct, frozen=True):
    """What one round found for the plain file and the cached result: rates and seconds each."""

    plain_rate: float
    hit_rate: float
    plain_cpu: float
    hit_cpu: float

    @property
    def time_ratio(self) -> float:
        """How long a hit takes, for each second of a plain file."""
        return self.plain_rate / self.hit_rate

    @property
    def cpu_ratio(self) -> float:
        """How much processor time a hit takes, for each second of a plain file."""
        return self.hit_cpu / self.plain_cpu


def prepare(root: Path) -> None:
    """Write an image, and the bytes of its windows as plain files."""
    pixels = np.random.default_rng(7).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    tifffile.imwrite(root / "a.tif", pixels, tile=(256, 256), metadata=None)
    for side in SIZES.values():
        (root / f"{side}.raw").write_bytes(pixels[:side, :side].tobytes())


def paths(side: int) -> tuple[str, str]:
    """Return the paths of a plain file and of the result with the same bytes."""
    return f"/archive/{side}.raw", f"/dispel/cut/a/0/0-{side}-0-{side}.raw"


def check(url: str) -> None:
    """Have the results made; raise unless each is the plain file."""
    for side in SIZES.values():
        plain, hit = paths(side)
        with urllib.request.urlopen(url + plain) as answer:
            wanted = answer.read()
        for cached in ("miss", "hit"):
            with urllib.request.urlopen(url + hit) as answer:
                if answer.read() != wanted:
                    raise SystemExit(f"{hit} gives other bytes than {plain}")
                if answer.headers["X-Cache"] != cached:
                    raise SystemExit(f"{hit} was no {cached}")


def load(gateway: Daemon, path: str, connections: int, seconds: float) -> tuple[float, float]:
    """Return how many answers a second came, and the gateway's seconds for each."""
    processes = tree(gateway.pid)
    before = sum(map(cpu_seconds, processes))
    url = gateway.target.url.rstrip("/") + path
    argv = (find("wrk"), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout=30s", url)
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    used = sum(map(cpu_seconds, processes)) - before
    if "Non-2xx" in text:
        raise SystemExit(f"{path} was refused:\n{text}")
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", text)
    count = re.search(r"(\d+) requests in", text)
    assert rate is not None
    assert count is not None
    return float(rate[1]), used / int(count[1])


def measure(
    gateway: Daemon, rounds: int, seconds: float, sizes: Sequence[str] = tuple(SIZES)
) -> dict[tuple[str, int], list[Pair]]:
    """Return the pairs of interleaved rounds by size and connections."""
    found: dict[tuple[str, int], list[Pair]] = {}
    for number in range(rounds):
        for size in sizes:
            plain, hit = paths(SIZES[size])
            for connections in CONNECTIONS:
                order = (plain, hit) if number % 2 else (hit, plain)
                got = {path: load(gateway, path, connections, seconds) for path in order}
                pair = Pair(got[plain][0], got[hit][0], got[plain][1], got[hit][1])
                found.setdefault((size, connections), []).append(pair)
    return found


def launch(folder: Path) -> Daemon:
    """Start a gateway that has what is compared, all of it made."""
    root = folder / "archive"
    root.mkdir()
    prepare(root)
    mounts = {"archive": {"provider": "local", "root": str(root)}}
    gateway = headgate.launch(folder, mounts=mounts, more=TEMPLATE)
    check(gateway.target.url.rstrip("/"))
    return gateway


def main() -> None:
    """Run the comparison and print a row for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, launch(Path(folder)) as gateway:
        found = measure(gateway, asked.rounds, asked.seconds)
    for (size, connections), pairs in found.items():
        time = statistics.median(pair.time_ratio for pair in pairs)
        cpu = statistics.median(pair.cpu_ratio for pair in pairs)
        plain = statistics.median(pair.plain_rate for pair in pairs)
        hit = statistics.median(pair.hit_rate for pair in pairs)
        told = f"plain {plain:8.0f}/s, hit {hit:8.0f}/s"
        print(f"{size} x{connections:<3} {told}: time x{time:.2f}, cpu x{cpu:.2f}", flush=True)


if __name__ == "__main__":
    main()
