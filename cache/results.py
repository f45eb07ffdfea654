"""Results: derived files on disk, each named by a digest of all that decides about its bytes."""

import contextlib
import fcntl
import logging
import os
import random
import secrets
import sqlite3
from pathlib import Path
from typing import Self

from cache.boot import boot_tag
from cache.budget import Budget, Limits, Swept
from cache.errors import ResultsFull
from cache.kept_results import KEPT_BYTES, KeptResults
from cache.result_file import ResultFile, ResultRecord, append_record
from cache.result_index import ResultIndex
from cache.single import Flights
from cache.sweeper import Sweeper

_LOG = logging.getLogger(__name__)

RESULTS = "results"
CODINGS = ("zstd", "gzip")
"""What a variant of a result may be coded in."""
# So many sweeps pass between two looks for rows of the index without a file.
_PRUNE_SWEEPS = 60


class Draft:
    """A result that is being made: a file without a name that counts. For one thread.

    The lock on it lasts as long as anybody has it open, also a worker process: so nobody takes it
    for the leftover of one who was killed.
    """

    def __init__(self, results: "Results", key: str) -> None:
        self._results = results
        self._place = results.place(key)
        self._file = self._place.with_name(f"new-{random.getrandbits(64):016x}")
        self._descriptor = _create(self._file)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._descriptor

    @property
    def size(self) -> int:
        """How many bytes were written."""
        return os.fstat(self._descriptor).st_size

    def empty(self) -> None:
        """Take back what was written."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)

    def commit(self, record: ResultRecord) -> None:
        """Make it the result of its key, in one step. Raises ResultsFull when the disk refuses it.

        Whoever reads the result that it replaces reads on.
        """
        try:
            size = append_record(self._descriptor, record, self._results.tag)
            is_replaced = self._place.exists()
            self._file.rename(self._place)
            if is_replaced:
                self._results.purge_variants(record.key)
        except OSError as error:
            raise self._results.full(error) from error
        descriptor, self._descriptor = self._descriptor, -1
        self._results.offer(ResultFile(descriptor, record), size)
        self._results.budget.wrote(size)

    def close(self) -> None:
        """Remove what was not committed. Closing twice is no error."""
        if self._give_back():
            with contextlib.suppress(OSError):
                self._file.unlink()

    def _give_back(self) -> bool:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        return descriptor >= 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Results:
    """Keeps results in `folder`/results; any number of processes share it.

    `tag`, `budget`, `flights` and what is private are fixed; each guards itself. `flights` has each
    key made by one thread of one process at a time.
    """

    def __init__(self, folder: Path, limits: Limits, *, boot: str | None = None) -> None:
        self.tag = boot_tag(boot)
        self.budget = Budget(folder, limits, lambda _: False, store=RESULTS)
        self._folder = folder
        # So few folders that they are soon there: to make one takes as long as to make a file.
        self._top = str(folder / RESULTS / "all")
        self._index = ResultIndex(folder / f"{RESULTS}.sqlite")
        self._claims = _create(folder / f"{RESULTS}.claims", exclusive=False)
        self.flights = Flights(self._claims, patience_seconds=float("inf"))
        self._kept = KeptResults()
        self._sweeps = 0
        self._sweeper = Sweeper(self.budget, name="result-sweeper", before=self._prune)

    def get(self, key: str, *, now: bool = False) -> ResultFile | None:
        """Open a result and mark it as used, or return None.

        While it is used it is not evicted; who purges it does not disturb its readers. With `now`
        the disk is not asked: None may also mean that it would have to be.
        """
        kept = self._kept.lend(key)
        if kept is not None or now:
            return kept
        try:
            file = ResultFile.open(self._name(key), key, self.tag)
        except OSError as error:
            _LOG.warning("a result cannot be read: %s", error)
            return None
        if file is None:
            return None
        if file.record.size <= KEPT_BYTES:
            return self._kept.keep(file, os.fstat(file.fileno()).st_size)
        with contextlib.suppress(OSError):
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        return file

    def offer(self, file: ResultFile, length: int) -> None:
        """Keep a file that was just made open for who asks next, unless it is large."""
        if file.record.size <= KEPT_BYTES:
            self._kept.offer(file, length)
        else:
            file.close()

    def begin(self, key: str, *, size: int | None, group: str, place: str) -> Draft:
        """Begin a result of `size` bytes, None if that is not known. Raises ResultsFull.

        `group` and `place`, a path, are what it can be purged by.
        """
        self.make_room(size or 0)
        try:
            draft = Draft(self, key)
        except OSError as error:
            raise self.full(error) from error
        # Noted before there is a file: so none is ever missed by `purge_under`.
        self._index.add(key, group, place)
        return draft

    def scratch(self) -> int:
        """Return the descriptor of an empty file without a name, for what lies between steps."""
        name = self._folder / RESULTS / f".scratch-{secrets.token_hex(8)}"
        try:
            descriptor = _create(name)
        except OSError as error:
            raise self.full(error) from error
        name.unlink()
        return descriptor

    def has(self, key: str) -> bool:
        """Tell whether there is a result, sound or not."""
        return self.place(key).exists()

    def variant(self, key: str, coding: str) -> str:
        """Return the key of a result's variant in one of the known codings."""
        assert coding in CODINGS
        return f"{key}-{coding}"

    def purge_variants(self, key: str) -> None:
        """Remove what was made of a result by coding it."""
        for coding in CODINGS:
            with contextlib.suppress(OSError):
                self.place(f"{key}-{coding}").unlink()

    def purge(self, key: str) -> bool:
        """Remove one result and its variants; tell whether it was there. Who reads it reads on."""
        self.purge_variants(key)
        try:
            self.place(key).unlink()
        except FileNotFoundError:
            return False
        return True

    def purge_under(self, group: str, prefix: str) -> int:
        """Remove the results at the place `prefix` and below; return how many there were.

        Raises sqlite3.Error or OSError.
        """
        return sum(self.purge(key) for key in self._index.take(group, prefix))

    def sweep(self) -> Swept:
        """Enforce the limits now."""
        swept = self.budget.sweep(wait=True)
        assert swept is not None
        return swept

    def full(self, error: OSError) -> ResultsFull:
        """Return what it means that the disk refused something; have it swept."""
        self.budget.is_due.set()
        return ResultsFull(f"the disk of the cache refuses it: {error.strerror or error}")

    def place(self, key: str) -> Path:
        """Return where the result of a key lies."""
        return Path(self._name(key))

    def _name(self, key: str) -> str:
        # Put together without Path, which would be a third of the cost of a hit.
        return f"{self._top}/{key[:2]}/{key}"

    def close(self) -> None:
        """Stop what runs in the background."""
        self._sweeper.close()
        self._kept.close()
        self._index.close()
        claims, self._claims = self._claims, -1
        if claims >= 0:
            os.close(claims)

    def make_room(self, size: int) -> None:
        """Have room for a result of `size` bytes. Raises ResultsFull."""
        limits = self.budget.limits
        if size > limits.max_bytes:
            raise ResultsFull(f"all results together may have {limits.max_bytes} bytes")
        for attempt in (1, 2):
            if self.budget.admits() and self.budget.free() - size >= limits.free_bytes:
                return
            if attempt == 1:
                self.budget.sweep(wait=True)
        raise ResultsFull(self.budget.fault() or "the disk of the cache has no room for it")

    def _prune(self) -> None:
        self._kept.tidy()
        self._sweeps += 1
        try:
            if self._sweeps % _PRUNE_SWEEPS:
                self._index.gather()
            else:
                self._index.prune(lambda key: self.place(key).exists())
        except (sqlite3.Error, OSError) as error:
            _LOG.warning("the index of results cannot be kept: %s", error)


def _create(file: Path, *, exclusive: bool = True) -> int:
    flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if exclusive else 0)
    try:
        return os.open(file, flags, 0o600)
    except FileNotFoundError:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(file, flags, 0o600)
