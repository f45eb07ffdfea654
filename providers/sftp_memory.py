"""SftpMemory: memory for what is on its way, used again."""

import ctypes
import mmap
import weakref
from collections import deque
from typing import Final

STRETCH_BYTES: Final = 1 << 20

_KEPT = 32

_Block = ctypes.c_char * STRETCH_BYTES


class SftpMemory:
    """Lends blocks of STRETCH_BYTES: to have the system make one anew takes as long as to fill it.

    A block comes back by itself when nobody holds a view of it any more: neither the reader it was
    for, nor who sends it or writes it to a disk, nor a reply that is still to come. Each begins at
    a page, as O_DIRECT wants it. `_kept` is changed in single steps.
    """

    def __init__(self) -> None:
        self._kept: deque[mmap.mmap] = deque(maxlen=_KEPT)

    def take(self) -> memoryview:
        """Lend a block; what stands in it is of no meaning."""
        try:
            memory = self._kept.pop()
        except IndexError:
            memory = mmap.mmap(-1, STRETCH_BYTES)
        block = _Block.from_buffer(memory)
        weakref.finalize(block, self._kept.append, memory).atexit = False
        return memoryview(block).cast("B")
