"""A program that forks, for each line it reads, a child that rewrites one file until it is killed.

Forking spares the start of Python, so that a hundred kills take seconds.
"""

import hashlib
import os
import random
import signal
import sys
from pathlib import Path

from providers.local import LocalOptions, LocalProvider


def content(chance: random.Random) -> bytes:
    """Return bytes that begin with their own checksum."""
    body = chance.randbytes(chance.randrange(1, 300_000))
    return hashlib.sha256(body).digest() + body


def rewrite(root: Path, seed: int) -> None:
    """Replace and modify the file in turns, in pieces, without end."""
    chance = random.Random(seed)
    store = LocalProvider(LocalOptions(root=root))
    while True:
        data = content(chance)
        with store.create("file") as writer:
            for offset in range(0, len(data), 50_000):
                writer.write(data[offset : offset + 50_000])
            writer.commit()
        data = content(chance)
        with store.modify("file") as writer:
            for offset in range(0, len(data), 50_000):
                writer.write_at(offset, data[offset : offset + 50_000])
            writer.truncate(len(data))
            writer.commit()


def main() -> None:
    """Fork a rewriter for each seed on standard input and print its process id."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            rewrite(Path(sys.argv[1]), int(line))
        print(child, flush=True)


if __name__ == "__main__":
    main()
