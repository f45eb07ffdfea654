"""Assembly: turns what a fetch gives, in pieces of any size, into whole blocks."""

from collections.abc import Callable, Iterable, Iterator

from cache.errors import WrongLength

Chunk = bytes | bytearray | memoryview


def in_blocks(
    fetch: Callable[[int, int], Chunk | Iterable[Chunk]], start: int, stop: int, block_bytes: int
) -> Iterator[tuple[int, memoryview]]:
    """Fetch from `start` to `stop`; yield offset and bytes of one or more whole blocks at a time.

    Only the last one may be shorter. A piece is taken over without a copy where it holds whole
    blocks. Raises WrongLength when more or fewer bytes come; the iterator of `fetch` is closed in
    any case.
    """
    given = fetch(start, stop - start)
    pieces = (given,) if isinstance(given, bytes | bytearray | memoryview) else given
    asked = stop - start
    came = 0
    at = start
    rest = bytearray()
    iterator = iter(pieces)
    try:
        for piece in iterator:
            came += len(piece)
            if came > asked:
                raise WrongLength(start, asked, came)
            data: Chunk = piece
            if rest:
                rest += piece
                if len(rest) < block_bytes and came < asked:
                    continue
                data, rest = rest, bytearray()
            whole = len(data) if came == asked else len(data) // block_bytes * block_bytes
            view = memoryview(data)
            if whole:
                yield at, view[:whole]
                at += whole
            rest += view[whole:]
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
    if came != asked:
        raise WrongLength(start, asked, came)
