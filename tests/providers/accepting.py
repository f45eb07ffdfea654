"""A process that writes back, until it is killed: `accepting.py ROOT JOURNAL SEED`.

Before each commit it prints "try NAME NUMBER", after it "ack NAME NUMBER".
"""

import random
import sys
from pathlib import Path

from cache.journal import Journal
from providers.base import Writer
from providers.local import LocalOptions, LocalProvider
from providers.testing.content import signed
from providers.write_back import WriteBackProvider

NAMES = ("a", "b", "folder/c", "folder/d")


def content(name: str, number: int) -> bytes:
    """Return the content of the given number: it names itself, and proves that it is whole."""
    size = 32 + number * 7919 % 200_000
    return b"%-20s%012d" % (name.encode(), number) + signed(size, number)


def number_of(data: bytes) -> int:
    """Return the number of a content."""
    return int(data[20:32])


def main() -> None:
    """Write, with one writer left unfinished beside each that is committed."""
    root, journal, seed = sys.argv[1:]
    store = WriteBackProvider(LocalProvider(LocalOptions(root=Path(root))), Journal(Path(journal)))
    chance = random.Random(seed)
    number = int(seed) * 100_000
    kept: list[Writer] = []
    while True:
        number += 1
        name = chance.choice(NAMES)
        never = store.create(name)
        never.write(b"never committed")
        kept = [*kept[-5:], never]
        with store.create(name) as writer:
            data = content(name, number)
            for offset in range(0, len(data), 50_000):
                writer.write(data[offset : offset + 50_000])
            print("try", name, number, flush=True)
            writer.commit()
            print("ack", name, number, flush=True)


if __name__ == "__main__":
    main()
