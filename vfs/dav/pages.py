"""Pages: responses about members of a folder that did not change since they were last listed."""

import hashlib
import mmap
import threading
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from providers.base import Entry

MOST_BYTES = 8 * 1024 * 1024
"""What all pages may take, so that a process stays small."""

COST_BYTES = 300
"""What a page and its place in the table take beside its text."""

Key = tuple[int, str, bytes]
Text = bytes | mmap.mmap

_encode = msgspec.msgpack.Encoder().encode


class Pages:
    """Remembers what was answered to a question about some members of a folder.

    The key holds a digest of all that is known of each, version included: what is found under it
    can never be out of date. The page that was not asked for the longest goes first. `_lock`
    guards `_texts` and `_size`.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._lock = threading.Lock()
        self._texts: OrderedDict[Key, Text] = OrderedDict()
        self._size = 0

    def text(
        self,
        question: int,
        folder: str,
        entries: list[Entry],
        write: Callable[[list[Entry]], bytes],
    ) -> Text:
        """Return what is answered of `entries`; `write` writes it if it is not remembered."""
        try:
            key = (question, folder, hashlib.sha256(_encode(entries)).digest())
        except (ValueError, OverflowError):
            # A name that is no text, or a number beyond 64 bits.
            return write(entries)
        with self._lock:
            text = self._texts.get(key)
            if text is not None:
                self._texts.move_to_end(key)
                return text
        text = write(entries)
        if _cost(folder, text) <= self.most_bytes:
            # In a mapping of its own: among the small things of the heap, in the pool of whichever
            # thread made it, it would leave holes that other pages do not fit.
            kept = mmap.mmap(-1, len(text))
            kept[:] = text
            with self._lock:
                self._remember(key, kept)
        return text

    def _remember(self, key: Key, text: Text) -> None:
        if key in self._texts:
            return
        self._texts[key] = text
        self._size += _cost(key[1], text)
        while self._size > self.most_bytes:
            (_, folder, _), gone = self._texts.popitem(last=False)
            self._size -= _cost(folder, gone)


def _cost(folder: str, text: Text) -> int:
    return -(-len(text) // mmap.PAGESIZE) * mmap.PAGESIZE + len(folder) + COST_BYTES
