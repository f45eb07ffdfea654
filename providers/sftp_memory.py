"""SftpMemory: memory for what is on its way, used again."""

import mmap
from collections import deque
from typing import Final

STRETCH_BYTES: Final = 1 << 20

_KEPT = 32


class SftpMemory:
    """Lends blocks of STRETCH_BYTES: to have the system make one anew takes as long as to fill it.

    What was lent and is not given back is simply lost. `_kept` is changed in single steps.
    """

    def __init__(self) -> None:
        self._kept: deque[memoryview] = deque(maxlen=_KEPT)

    def take(self) -> memoryview:
        """Lend a block; what stands in it is of no meaning."""
        try:
            return self._kept.pop()
        except IndexError:
            return memoryview(mmap.mmap(-1, STRETCH_BYTES))

    def give(self, block: memoryview) -> None:
        """Take back a whole block, which nobody uses any more."""
        self._kept.append(block)
