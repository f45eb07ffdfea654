"""A program that reads one file through a cache that others share; it prints what it fetched.

Arguments: folder, mode, seed, number of threads. Modes: `once` reads all of the file once in each
thread and prints the offset and size of each fetch; `forever` reads random ranges until killed,
and ends with 1 at a wrong byte.
"""

import os
import random
import sys
import threading
import time
from pathlib import Path

from cache.blocks import BlockCache
from cache.budget import Limits
from cache.key import Key
from tests.cache.origin import content

SIZE = 2_000_000
BLOCK_BYTES = 4096
KEY = Key("m", "shared", "1")
DATA = content("shared", SIZE)
LOCK = threading.Lock()
PLACES = 32
PATIENCE_SECONDS = 30.0


def fetch(offset: int, size: int) -> bytes:
    """Give the bytes slowly, when the other process fetches as well, and say so."""
    with LOCK:
        print(offset, size, flush=True)
    folder = Path(sys.argv[1])
    (folder / f"fetches-{os.getpid()}").touch()
    until = time.monotonic() + PATIENCE_SECONDS
    while len(list(folder.glob("fetches-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(0.02)
    return DATA[offset : offset + size]


def quiet(offset: int, size: int) -> bytes:
    """Give the bytes, not quite at once."""
    time.sleep(0.001)
    return DATA[offset : offset + size]


def once(cache: BlockCache, number: int) -> None:
    """Read the file from another place in each thread."""
    with cache.open(KEY, SIZE) as file:
        start = number * SIZE // PLACES
        for offset in (*range(start, SIZE, 20_000), *range(0, start, 20_000)):
            if file.read_at(offset, 20_000, fetch) != DATA[offset : offset + 20_000]:
                os._exit(1)


def forever(cache: BlockCache, seed: int) -> None:
    """Read random ranges, opening the file again and again."""
    chance = random.Random(seed)
    while True:
        with cache.open(KEY, SIZE) as file:
            for _ in range(chance.randrange(1, 20)):
                offset, size = chance.randrange(SIZE), chance.randrange(1, 100_000)
                if file.read_at(offset, size, quiet) != DATA[offset : offset + size]:
                    print("WRONG", offset, size, flush=True)
                    os._exit(1)


def main() -> None:
    """Run the mode in its threads."""
    folder, mode, seed, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    limits = Limits(free_bytes=0)
    with BlockCache(folder, limits, block_bytes=BLOCK_BYTES, fetch_bytes=65_536) as cache:
        print("ready", flush=True)
        sys.stdin.readline()
        work = once if mode == "once" else forever
        running = [
            threading.Thread(target=work, args=(cache, seed + number)) for number in range(threads)
        ]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()


if __name__ == "__main__":
    main()
