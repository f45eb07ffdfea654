"""A program that reads a store through a cache that others share, until it is killed.

Arguments: folder of the store, folder of the cache, seed. Files of the store are named by what they
hold. It prints "ready", then ends with a line and status 1 at a wrong byte.
"""

import os
import random
import sys
import threading
from pathlib import Path

from cache.blocks import BlockCache
from cache.budget import Limits
from cache.listings import Listings
from providers.cached import CachedProvider
from providers.local import LocalOptions, LocalProvider
from providers.wrap import LatencyProvider
from tests.providers.watched import content

SIZE = 400_000


def read(store: CachedProvider, seed: int) -> None:
    """Read random parts of random files, and list."""
    chance = random.Random(seed)
    files = {name: content(name, SIZE) for name in ("a", "b", "c", "d")}
    while True:
        name = chance.choice(list(files))
        if {entry.name for entry in store.scandir("")} != set(files):
            print("WRONG listing", flush=True)
            os._exit(1)
        with store.open(name) as reader:
            for _ in range(chance.randrange(1, 20)):
                offset, size = chance.randrange(SIZE), chance.randrange(1, 100_000)
                if reader.read_at(offset, size) != files[name][offset : offset + size]:
                    print("WRONG", name, offset, size, flush=True)
                    os._exit(1)


def main() -> None:
    """Read in four threads."""
    root, folder, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    origin = LatencyProvider(LocalProvider(LocalOptions(root=root)), 0.002)
    with BlockCache(folder, Limits(free_bytes=0), block_bytes=4096, fetch_bytes=65_536) as blocks:
        store = CachedProvider(origin, blocks, Listings(blocks.database), "m", ttl_seconds=0.05)
        print("ready", flush=True)
        threads = [threading.Thread(target=read, args=(store, seed + n)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
