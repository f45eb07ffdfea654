"""A process that makes one derived file as a gateway does, for the tests to kill."""

import sys
from pathlib import Path

from cache.budget import Limits as Room
from cache.results import Results
from processors.making.maker import Maker
from processors.work.pool import Pool, PoolSettings
from tests.processors.tiny import LIMITS, Bytes, derive


def main() -> None:
    """Make the files, print their digests, and stay until the standard input ends."""
    folder, data, name, log, gate, count = sys.argv[1:]
    results = Results(Path(folder), Room(free_bytes=0))
    pool = Pool(PoolSettings(find="tests.processors.tiny:find", workers=1))
    maker = Maker(results, pool, limits=LIMITS)
    print("ready", flush=True)
    for size in range(int(count)):
        wanted = derive(name, size=size, log=log, gate=gate)
        print(maker.make(wanted, Bytes(data.encode()).open, who="").sha256, flush=True)
    sys.stdin.read()
    maker.close()
    results.close()


if __name__ == "__main__":
    main()
