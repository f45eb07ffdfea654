"""Bitmap: which blocks of a file are known to be present and whole."""

# One page maps this many blocks: 2 GiB of a file.
_PAGE = 1 << 15


class Bitmap:
    """Remembers a flag for each block. Memory is taken only for pages that hold a flag.

    It spends a byte on each block, since the first missing one is then found by one search, and a
    flag is set in one atomic step: it needs no lock. Flags that are set are cleared only by
    `clear`, when a block turns out to be damaged.
    """

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def has(self, first: int, last: int) -> bool:
        """Tell whether all blocks from `first` to `last`, both included, are flagged."""
        number = first // _PAGE
        if last // _PAGE == number:
            page = self._pages.get(number)
            start = number * _PAGE
            return page is not None and page.find(0, first - start, last - start + 1) < 0
        return self.run(first, last) == last - first + 1

    def run(self, first: int, last: int) -> int:
        """Return how many blocks in a row are flagged, from `first` to at most `last`."""
        block = first
        while block <= last:
            number, start = divmod(block, _PAGE)
            end = min(_PAGE, start + last - block + 1)
            page = self._pages.get(number)
            found = start if page is None else page.find(0, start, end)
            if found >= 0:
                return block + found - start - first
            block += end - start
        return last - first + 1

    def gap(self, first: int, last: int) -> int:
        """Return how many blocks in a row are not flagged, from `first` to at most `last`."""
        block = first
        while block <= last:
            number, start = divmod(block, _PAGE)
            end = min(_PAGE, start + last - block + 1)
            page = self._pages.get(number)
            found = -1 if page is None else page.find(1, start, end)
            if found >= 0:
                return block + found - start - first
            block += end - start
        return last - first + 1

    def set(self, first: int, last: int) -> None:
        """Flag the blocks from `first` to `last`."""
        for number, start, end in _parts(first, last):
            self._pages.setdefault(number, bytearray(_PAGE))[start:end] = b"\1" * (end - start)

    def clear(self, first: int, last: int) -> None:
        """Unflag the blocks from `first` to `last`."""
        for number, start, end in _parts(first, last):
            page = self._pages.get(number)
            if page is not None:
                page[start:end] = bytes(end - start)


def _parts(first: int, last: int) -> list[tuple[int, int, int]]:
    """Return the page, and the place in it, of each part of a run of blocks."""
    parts = []
    while first <= last:
        number, start = divmod(first, _PAGE)
        end = min(_PAGE, start + last - first + 1)
        parts.append((number, start, end))
        first += end - start
    return parts
