"""Origin: a store of bytes that can be computed anywhere, and remembers what it was asked."""

import hashlib
import threading
import time
from collections.abc import Iterator


def content(seed: str, size: int) -> bytes:
    """Return the bytes of a file; every process computes the same."""
    return hashlib.shake_128(seed.encode()).digest(size)


def never(offset: int, size: int) -> bytes:
    """Stand where nothing may be fetched."""
    raise AssertionError(f"{size} bytes from {offset} were fetched again")


class Origin:
    """Gives the bytes of one file.

    `lock` guards `asked`, `under_way` and `most_at_once`; the rest is set by the test.
    """

    def __init__(self, data: bytes, delay_seconds: float = 0) -> None:
        self.data = data
        self.delay_seconds = delay_seconds
        self.error: Exception | None = None
        self.lock = threading.Lock()
        self.asked: list[tuple[int, int]] = []
        self.under_way = 0
        self.most_at_once = 0

    def fetch(self, offset: int, size: int) -> bytes:
        """Give the bytes at once."""
        with self.lock:
            self.asked.append((offset, size))
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
        time.sleep(self.delay_seconds)
        with self.lock:
            self.under_way -= 1
        if self.error is not None:
            raise type(self.error)(*self.error.args)
        return self.data[offset : offset + size]

    def pieces(self, offset: int, size: int) -> Iterator[bytes]:
        """Give the bytes in pieces of a size that fits no block."""
        data = self.fetch(offset, size)
        for at in range(0, size, 777):
            yield data[at : at + 777]

    def asked_bytes(self) -> int:
        """Return how many bytes were asked for, repeated ones again."""
        with self.lock:
            return sum(size for _, size in self.asked)
