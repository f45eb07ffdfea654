"""Variants: results in a content coding, beside the results themselves, each made once."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

from cache.errors import ResultsFull
from cache.result_file import ResultFile, ResultRecord
from cache.results import Draft, Results

VARIANT_BYTES = 64 << 20
"""Of a larger result no variant is kept: whoever asks first would wait too long for it."""

_BLOCK_BYTES = 1 << 20
_CLAIM_DIGITS = 15
_OF = "of"
"""What the record of a variant says: the digest of the result that it was made of."""

Encode = Callable[[Iterable[bytes]], Iterator[bytes]]


class Variants:
    """Makes variants through `results`, whose budget and locks they share. All is fixed."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def get(
        self, file: ResultFile, coding: str, encode: Encode, *, now: bool = False
    ) -> ResultFile | None:
        """Return a result in a coding, made with `encode` if it is not there.

        One thread of one process makes it, the others wait for it. None when it cannot be kept, or
        with `now` when it is not open already.
        """
        record = file.record
        if record.size > VARIANT_BYTES:
            return None
        key = self._results.variant(record.key, coding)
        found = self._find(key, record, now=now)
        if found is not None or now:
            return found
        flights = self._results.flights
        digits = sha256(key.encode()).hexdigest()[:_CLAIM_DIGITS]
        flight, is_own = flights.claim(int(digits, 16), int(digits, 16))
        if not is_own:
            flight.wait(flight.first)
            return self._find(key, record)
        error: Exception | None = None
        try:
            if flights.take_off(flight, lambda _: self._results.has(key)):
                self._make(file, key, encode)
        except (ResultsFull, OSError) as failed:
            error = failed
        finally:
            flights.land(flight, error)
        return None if error is not None else self._find(key, record)

    def _find(self, key: str, record: ResultRecord, *, now: bool = False) -> ResultFile | None:
        """Open the variant of just this result.

        The result may have been made once more, with other bytes, while its variant was made of
        the one before: that is removed, and the next who asks makes another.
        """
        found = self._results.get(key, now=now)
        if found is None or found.record.about.get(_OF) == record.sha256:
            return found
        found.close()
        self._results.purge_variants(record.key)
        return None

    def _make(self, file: ResultFile, key: str, encode: Encode) -> None:
        self._results.make_room(file.record.size)
        digest, size = sha256(), 0
        with Draft(self._results, key) as draft:
            for block in encode(_blocks(file)):
                view = memoryview(block)
                while view:
                    view = view[os.write(draft.fileno(), view) :]
                digest.update(block)
                size += len(block)
            draft.commit(
                ResultRecord(
                    key=key,
                    size=size,
                    sha256=digest.hexdigest(),
                    media_type=file.record.media_type,
                    made_at_ns=time.time_ns(),
                    about={_OF: file.record.sha256},
                )
            )


def _blocks(file: ResultFile) -> Iterator[bytes]:
    for offset in range(0, file.record.size, _BLOCK_BYTES):
        yield file.read_at(offset, _BLOCK_BYTES)
