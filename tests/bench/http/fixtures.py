"""What the benchmark serves: one large file, a thousand small ones, folders of many names."""

import os
import random
from pathlib import Path

import msgspec

MIB = 1 << 20
SMALL_BYTES = 4096
SMALL_FILES = 1000
BIG = "big.bin"
SMALL = "small"


class Sizes(msgspec.Struct, frozen=True):
    """How much there is of everything. `seconds` is how long a load by wrk lasts."""

    big: int = 1024 * MIB
    put: int = 256 * MIB
    folders: tuple[int, ...] = (100, 1000, 10_000)
    small_operations: int = 300
    seconds: int = 2


def small(number: int) -> str:
    """Return the path of a small file."""
    return f"{SMALL}/f{number:04d}.txt"


def folder(count: int) -> str:
    """Return the path of the folder with so many members."""
    return f"d{count}"


def make(root: Path, sizes: Sizes) -> None:
    """Make what is not there yet, and have all of it in the page cache."""
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o777)  # some servers give up root's rights
    big = root / BIG
    if not big.exists() or big.stat().st_size != sizes.big:
        block = os.urandom(MIB)
        with big.open("wb") as file:
            for number in range(sizes.big // MIB):
                file.write(number.to_bytes(8, "big") + block[8:])
    with big.open("rb", buffering=0) as file:
        buffer = bytearray(4 * MIB)
        while file.readinto(buffer):
            pass
    (root / SMALL).mkdir(exist_ok=True)
    rng = random.Random(4)
    for number in range(SMALL_FILES):
        path = root / small(number)
        if not path.exists():
            path.write_bytes(rng.randbytes(SMALL_BYTES))
    for count in sizes.folders:
        place = root / folder(count)
        place.mkdir(exist_ok=True)
        if sum(1 for _ in os.scandir(place)) != count:
            for number in range(count):
                (place / f"file-{number:05d}.txt").write_bytes(b"x" * (number % 97 + 1))
