"""CachedFile: reads one file through the cache, fetching what is missing."""

import logging
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future, wait
from typing import Self

from cache.assembly import Chunk, in_blocks
from cache.block_file import BlockFile
from cache.errors import Closed
from cache.keeper import Keeper
from cache.key import Key
from cache.single import Flight
from cache.tools import Fetch, Tools

_LOG = logging.getLogger(__name__)

# Bytes that are present are handed out in pieces of at most this size.
_PIECE_BYTES = 1 << 20
# How far `span` looks ahead in one call.
_SPAN_BYTES = 256 << 20


class CachedFile:
    """Reads one version of one file, from many threads at once.

    `key`, `size`, `_tools` and `_keeper` are fixed. `_lock` guards `_file`, which is set once,
    `_closed` and `_pending`; it is held while the file is opened on disk, never while anything is
    fetched.
    What `fetch` raises goes to the reader; what goes wrong on the cache's own disk never does.
    """

    def __init__(self, tools: Tools, key: Key, size: int) -> None:
        self.key = key
        self.size = size
        self._tools = tools
        self._keeper = Keeper(tools, key.mount)
        self._lock = threading.Lock()
        self._file: BlockFile | None = None
        self._pending: set[Future[None]] = set()
        self._closed = False
        self._open(create=False)

    def read_at(self, offset: int, size: int, fetch: Fetch, *, behind: bool = False) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end of the file.

        With `behind`, what is missing is given back as soon as it came, and written afterwards; if
        too much waits to be written already it is not kept.
        """
        if offset + size > self.size:
            size = max(0, self.size - offset)
        if size <= 0:
            return b""
        file = self._file
        if file is not None and not self._closed:
            step = file.block_bytes
            if file.present.has(offset // step, (offset + size - 1) // step):
                data = self._stored(file, offset, size)
                if data is not None:
                    self._tools.counters.add_read(self.key.mount, "hits", size)
                    return data
        pieces = list((self.behind if behind else self.stream)(offset, size, fetch))
        return _whole(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def stream(self, offset: int, size: int, fetch: Fetch) -> Generator[Chunk]:
        """Yield the bytes from `offset` in order, while what follows is fetched in parallel.

        Close the iterator when it is not read to its end.
        """
        size = max(0, min(size, self.size - offset))
        if size == 0:
            return
        kind = "hits" if self.span(offset, size) >= size else "misses"
        self._tools.counters.add_read(self.key.mount, kind, size)
        end = offset + size
        run = self._tools.fetch_bytes
        at, ahead = offset, (offset // run + 1) * run
        for piece in self._pieces(offset, size, fetch):
            # After the first piece came: the reader's own fetch is never behind those ahead of it.
            reach = (at // run + self._tools.parallel) * run
            ahead = max(ahead, (at // run + 1) * run)
            while kind == "misses" and ahead < min(end, reach):
                self._submit(ahead, min(run, end - ahead), fetch)
                ahead += run
            yield piece
            at += len(piece)

    def behind(self, offset: int, size: int, fetch: Fetch) -> Generator[Chunk]:
        """Yield the bytes from `offset` in order as they come, and write them afterwards.

        What `fetch` gives must stand as long as it is held.
        """
        self._tools.counters.add_read(self.key.mount, "misses", size)
        yield from self._pieces(offset, size, fetch, behind=True)

    def span(self, offset: int, most: int = _SPAN_BYTES) -> int:
        """Return how many bytes from `offset` are present and whole, up to about `most`.

        So many may be sent from `fileno`. They stay readable there until this file is closed.
        """
        file = self._file
        if file is None or self._closed or not 0 <= offset < self.size or most <= 0:
            return 0
        step = self._tools.block_bytes
        first = offset // step
        last = (min(self.size, offset + most) - 1) // step
        run = self._run(file, first, last)
        return min(self.size, (first + run) * step) - offset if run else 0

    def fileno(self) -> int | None:
        """Return a descriptor whose offsets are the file's, or None. Only `span` makes it useful.

        What is not present reads as zeros in it, and behind the end stand records of the cache.
        """
        return None if self._file is None or self._closed else self._file.fd

    def sent(self, size: int) -> None:
        """Count bytes that the caller sent from `fileno`."""
        if self._file is not None:
            self._file.touch()
        self._tools.counters.add_read(self.key.mount, "hits", size)

    def read_ahead(self, offset: int, size: int, fetch: Fetch) -> int:
        """Have the bytes fetched in the background, as far as hands are free for this file.

        Return up to where.
        """
        end = min(self.size, offset + size)
        run = self._tools.fetch_bytes
        while offset < end:
            with self._lock:
                if len(self._pending) >= self._tools.parallel:
                    return offset
            part = min((offset // run + 1) * run, end) - offset
            self._submit(offset, part, fetch)
            offset += part
        return offset

    def warm(self, fetch: Fetch) -> Iterator[int]:
        """Fetch all that is missing; yield again and again how many bytes are there.

        It ends early when the cache takes no more. Raises what `fetch` raises.
        """
        run = self._tools.fetch_bytes
        for offset in range(0, self.size, run):
            size = min(run, self.size - offset)
            self.read_ahead(offset + run, run * (self._tools.parallel - 1), fetch)
            if self.span(offset, size) < size:
                for _ in self._pieces(offset, size, fetch):
                    continue
            if self.span(offset, size) < size:
                return
            yield offset + size

    def close(self) -> None:
        """Give the file back. Closing twice is no error.

        No read of the caller's may be under way. What is fetched ahead is ended and waited for, so
        that no `fetch` runs afterwards.
        """
        with self._lock:
            self._closed = True
            pending = list(self._pending)
        for future in pending:
            future.cancel()
        wait(pending)
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            self._tools.source.release(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self, *, create: bool) -> BlockFile | None:
        """Return the file on disk; None if there is none and the disk takes none."""
        with self._lock:
            self._check_open()
            if self._file is None:
                try:
                    file = self._tools.source.acquire(self.key, self.size, create=create)
                except OSError as error:
                    self._tools.budget.refuse(error)
                    return None
                self._file = file
            return self._file

    def _pieces(
        self, offset: int, size: int, fetch: Fetch, *, behind: bool = False
    ) -> Iterator[Chunk]:
        """Yield the bytes from `offset` in order, from disk, from memory or from `fetch`."""
        step = self._tools.block_bytes
        at, end = offset, offset + size
        failed_before = False
        while at < end:
            takes = self._tools.budget.admits()
            file = self._open(create=True) if takes else self._file
            self._check_open()
            if file is None:
                stop = min(end, (at // self._tools.fetch_bytes + 1) * self._tools.fetch_bytes)
                yield from self._direct(at, stop - at, fetch)
                at = stop
                continue
            block, last = at // step, (end - 1) // step
            run = self._run(file, block, last)
            if run:
                stop = min(end, (block + run) * step, at + _PIECE_BYTES)
                data = self._stored(file, at, stop - at)
                yield from self._direct(at, stop - at, fetch) if data is None else (data,)
                at = stop
                continue
            last = last if behind else min(last, self._boundary(block))
            if not takes or file.is_unlinked():
                # None is missing when another thread has just found the block on disk.
                stop = min(end, (block + file.present.gap(block, last)) * step)
                if stop <= at:
                    continue
                yield from self._direct(at, stop - at, fetch)
                at = stop
                continue
            flight, is_mine = file.flights.claim(block, last)
            if not is_mine:
                error = flight.wait(block, at)
                if held := flight.peek(at, end - at):
                    yield held
                    at += len(held)
                    continue
                # One failure of somebody else is tried again; after a second it is the origin's.
                if error is not None and failed_before:
                    raise error
                failed_before = failed_before or error is not None
                continue
            if behind and (at % step or not self._tools.behind.has_room((last + 1) * step - at)):
                # Just what is asked for: to go back to where a block begins ends a stream.
                file.flights.land(flight)
                stop = min(end, (block + 1 if at % step else flight.last + 1) * step)
                yield from self._direct(at, stop - at, fetch)
                at = stop
                continue
            for start, blocks in self._fly(file, flight, fetch, behind=behind):
                low, at = at - start, min(end, start + len(blocks))
                yield blocks[low : at - start]

    def _fly(
        self, file: BlockFile, flight: Flight, fetch: Fetch, *, behind: bool = False
    ) -> Iterator[tuple[int, memoryview]]:
        """Fetch the blocks of a flight, keep them, and yield them with their offsets.

        Nothing is yielded when somebody else had fetched them meanwhile.
        """
        error: Exception | None = None
        if behind:
            self._tools.source.retain(file)  # until it has landed
        try:
            if not file.flights.take_off(
                flight, lambda block: self._run(file, block, flight.last) > 0
            ):
                return
            gap = file.present.gap(flight.first, flight.last)
            if gap == 0:
                return
            if gap <= flight.last - flight.first:
                flight.shrink(flight.first + gap - 1)
            start, stop = file.extent(flight.first, flight.last)
            is_kept = True
            for at, blocks in in_blocks(fetch, start, stop, file.block_bytes):
                self._check_open()
                keep = self._keeper.send if behind else self._keeper.keep
                is_kept = is_kept and keep(file, flight, at, blocks)
                if not is_kept:
                    self._count("passed_bytes", len(blocks))
                self._count("fetched_bytes", len(blocks))
                yield at, blocks
        except Closed:
            raise
        except Exception as failure:
            error = failure
            raise
        finally:
            if behind:
                self._keeper.land(file, flight, error)
            else:
                file.flights.land(flight, error)

    def _direct(self, offset: int, size: int, fetch: Fetch) -> Iterator[Chunk]:
        """Yield just the bytes asked for, without keeping them."""
        for _, data in in_blocks(fetch, offset, offset + size, 1):
            self._count("fetched_bytes", len(data))
            self._count("passed_bytes", len(data))
            yield data

    def _fill(self, offset: int, size: int, fetch: Fetch) -> None:
        """Fetch what is missing; leave to others what they fetch."""
        step = self._tools.block_bytes
        block, last = offset // step, (offset + size - 1) // step
        while block <= last and not self._closed and self._tools.budget.admits():
            file = self._open(create=True)
            if file is None or file.is_unlinked():
                return
            block += self._run(file, block, last)
            if block > last:
                return
            flight, is_mine = file.flights.claim(block, min(last, self._boundary(block)))
            if not is_mine:
                block = flight.last + 1
                continue
            for start, data in self._fly(file, flight, fetch):
                block = (start + len(data) - 1) // step + 1

    def _submit(self, offset: int, size: int, fetch: Fetch) -> None:
        if self.span(offset, size) >= size:
            return
        with self._lock:
            if self._closed:
                return
            try:
                future = self._tools.executor.submit(self._fill_quietly, offset, size, fetch)
            except RuntimeError:
                # The executor was shut down: the reader fetches by itself.
                return
            self._pending.add(future)
        future.add_done_callback(self._done)

    def _fill_quietly(self, offset: int, size: int, fetch: Fetch) -> None:
        try:
            self._fill(offset, size, fetch)
        except Exception as error:  # noqa: BLE001 - the reader meets the error itself, if it comes here
            _LOG.debug("reading ahead failed: %s", error)

    def _done(self, future: Future[None]) -> None:
        with self._lock:
            self._pending.discard(future)

    def _run(self, file: BlockFile, first: int, last: int) -> int:
        try:
            return file.run(first, last)
        except OSError as error:
            self._tools.budget.refuse(error)
            return 0

    def _stored(self, file: BlockFile, offset: int, size: int) -> bytes | None:
        """Return bytes that are present, None when the disk fails: they are fetched again."""
        file.touch()
        try:
            return file.read(offset, size)
        except OSError as error:
            self._tools.budget.refuse(error)
            step = file.block_bytes
            file.present.clear(offset // step, (offset + size - 1) // step)
            return None

    def _boundary(self, block: int) -> int:
        """Return the last block of the portion that `block` is fetched in."""
        portion = max(1, self._tools.fetch_bytes // self._tools.block_bytes)
        return (block // portion + 1) * portion - 1

    def _check_open(self) -> None:
        if self._closed:
            raise Closed

    def _count(self, name: str, number: int) -> None:
        self._tools.counters.add(self.key.mount, name, number)


def _whole(piece: Chunk) -> bytes:
    """Return a piece as bytes, without a copy where it is all of what somebody gave as bytes."""
    if (
        isinstance(piece, memoryview)
        and isinstance(piece.obj, bytes)
        and len(piece.obj) == len(piece)
    ):
        return piece.obj
    return bytes(piece)
