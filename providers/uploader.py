"""Uploader: brings what is pending to its store, in order for each path, for as long as it takes.

Of all processes that share a journal one uploads at a time. What it had begun when it was killed
is begun again: content that has arrived already is recognised by its bytes.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from cache.errors import JournalError
from cache.journal import Journal
from cache.pending import Pending
from providers.base import Entry, Provider
from providers.beside import beside
from providers.errors import (
    AlreadyExists,
    BadCredentials,
    Changed,
    IsADirectory,
    NoSpace,
    NotFound,
    RateLimited,
    StorageError,
    TimedOut,
    Unavailable,
)

_LOG = logging.getLogger(__name__)

# So many files are uploaded at once while the store answers; one while it does not.
UPLOADS_AT_ONCE = 4
FIRST_RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 60.0
# How often a process looks for what others have accepted, and whether the one that uploads died.
_LOOK_SECONDS = 0.25
# How long `close` waits for uploads to let go.
_STOP_SECONDS = 5.0
_BLOCK_BYTES = 1 << 20
_TRIES = 20

_DOWN = (Unavailable, TimedOut, RateLimited, BadCredentials)

P = ParamSpec("P")
T = TypeVar("T")


class Call(Protocol):
    """Calls a method of the origin; the tree's `Replica.call` is one, with its breaker."""

    def __call__(
        self, path: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return what `function` returns."""


def call_directly(_path: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call without a breaker."""
    return function(*args, **kwargs)


class Uploader:
    """Uploads from one thread for each file, started by a thread of its own.

    `_origin`, `_journal`, `_call` and `_thread` are fixed. `_lock` guards `_running`, `_failures`
    and `_paused_until`; it is never held while the origin or the journal is asked.
    """

    def __init__(self, origin: Provider, journal: Journal, call: Call) -> None:
        self._origin = origin
        self._journal = journal
        self._call = call
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[int, threading.Thread] = {}
        self._failures = 0
        self._paused_until = 0.0
        self._thread = threading.Thread(target=self._run, name="uploader", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let go of what is on its way; it is begun anew later. Stopping twice is no error."""
        self._stopping.set()
        self._journal.changed.set()
        end = time.monotonic() + _STOP_SECONDS
        self._thread.join(_STOP_SECONDS)  # it starts no more of them then
        with self._lock:
            threads = list(self._running.values())
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def hurry(self) -> None:
        """Try at once, without waiting for the end of a pause."""
        with self._lock:
            self._paused_until = 0.0
        self._journal.changed.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            started = 0
            self._journal.changed.clear()
            try:
                if self._journal.uploads.lead():
                    started = self._start()
            except JournalError as error:
                if not self._stopping.is_set():
                    _LOG.warning("what is pending cannot be uploaded now: %s", error)
                    self._stopping.wait(1.0)
            except StorageError as error:
                _LOG.info("the origin does not answer yet: %s", error)
            if not started:
                self._journal.changed.wait(_LOOK_SECONDS)

    def _start(self) -> int:
        """Start as many uploads as may run; return how many."""
        with self._lock:
            if time.monotonic() < self._paused_until:
                return 0
            room = (1 if self._failures else UPLOADS_AT_ONCE) - len(self._running)
            known = set(self._running)
        if room <= 0:
            return 0
        self._recover()
        ready = self._journal.uploads.ready(UPLOADS_AT_ONCE * 2)
        fresh = [pending for pending in ready if pending.id not in known][:room]
        for pending in fresh:
            thread = threading.Thread(
                target=self._upload, args=(pending,), name="upload", daemon=True
            )
            with self._lock:
                self._running[pending.id] = thread
            thread.start()
        return len(fresh)

    def _recover(self) -> None:
        """Finish, or forget, the renaming of folders whose process died."""
        for hold in self._journal.holds.abandoned():
            assert hold.target is not None
            if not self._is_there(hold.path) and self._is_there(hold.target):
                self._journal.move_folder(hold.path, hold.target)
            self._journal.holds.release([hold.id])

    def _is_there(self, path: str) -> bool:
        try:
            return self._call(path, self._origin.stat, path).is_folder
        except NotFound:
            return False

    def _upload(self, pending: Pending) -> None:
        try:
            begun = self._journal.uploads.begin(pending)
            if begun is None:
                return
            try:
                self._bring(begun, lets_go=not pending.is_begun)
            except _LetGo:
                self._journal.uploads.put_back(begun, pending.state, tried=False)
            except _Unsure as error:
                self._failed(begun, error.cause, unsure=True)
            except StorageError as error:
                self._failed(begun, error, unsure=pending.is_begun)
            else:
                with self._lock:
                    self._failures = 0
        except JournalError as error:
            if not self._stopping.is_set():
                _LOG.warning("an upload of %r waits for the journal: %s", pending.path, error)
                self._stopping.wait(1.0)
        except Exception as error:  # noqa: BLE001 - a store is foreign code; it stops no other
            _LOG.exception("an upload of %r failed", pending.path)
            self._journal.uploads.put_back(pending, "stuck", cause=type(error).__name__)
        finally:
            with self._lock:
                del self._running[pending.id]
            self._journal.changed.set()

    def _failed(self, pending: Pending, error: StorageError, *, unsure: bool) -> None:
        if self._is_passing(pending, error):
            wait = min(FIRST_RETRY_SECONDS * 2 ** min(pending.attempts, 20), LONGEST_RETRY_SECONDS)
            if isinstance(error, _DOWN):
                with self._lock:
                    self._failures += 1
                    wait = min(
                        FIRST_RETRY_SECONDS * 2 ** min(self._failures, 20), LONGEST_RETRY_SECONDS
                    )
                    wait = error.retry_after_seconds or wait
                    self._paused_until = time.monotonic() + wait
                wait = 0.0
            state = "begun" if unsure else "waiting"
            self._journal.uploads.put_back(pending, state, cause=str(error), wait_seconds=wait)
            _LOG.info("an upload of %r is tried again: %s", pending.path, error)
            return
        self._journal.uploads.put_back(pending, "stuck", cause=str(error))
        _LOG.warning(
            "an upload is stuck, and kept: %r (number %d): %s", pending.path, pending.id, error
        )

    def _is_passing(self, pending: Pending, error: StorageError) -> bool:
        if isinstance(error, NoSpace):
            limit = self._origin.capabilities.size_max
            return limit is None or pending.size <= limit
        return error.temporary or isinstance(error, BadCredentials) or type(error) is StorageError

    def _bring(self, pending: Pending, *, lets_go: bool) -> None:
        """Upload one content and strike it off.

        Whoever wants to change its name has it let go, but not if some of it may have arrived.
        """
        descriptor = self._journal.open(pending)
        if descriptor is None:
            raise StorageError(pending.path, detail="its content is missing from the journal")
        try:
            if pending.beside is None:
                entry = self._replace(pending, descriptor, lets_go=lets_go)
                if entry is not None:
                    self._settle(pending, entry)
                    return
            self._put_beside(pending, descriptor, lets_go=lets_go)
        finally:
            os.close(descriptor)

    def _settle(self, pending: Pending, entry: Entry) -> None:
        now: Pending | None = pending
        while now is not None:
            pending = now
            if pending.sets_mtime and self._origin.capabilities.set_mtime:
                try:
                    entry = self._call(
                        pending.path, self._origin.set_mtime, pending.path, pending.mtime_ns
                    )
                except StorageError as error:
                    if error.temporary:
                        raise _Unsure(error) from error
                    _LOG.info("a time was refused, the bytes stand: %s", error)
            now = self._journal.uploads.settle(pending, entry.version, entry.mtime_ns)

    def _replace(self, pending: Pending, descriptor: int, *, lets_go: bool) -> Entry | None:
        """Put the content in its place; None when that was changed meanwhile."""
        base = pending.base
        for _ in range(_TRIES):
            if base is None:
                base = self._guess(pending)
            try:
                return self._send(pending.path, descriptor, base, lets_go=lets_go)
            except (AlreadyExists, Changed, IsADirectory):
                pass
            except NotFound:
                if not base:
                    raise  # its folder is gone
                base = ""  # nothing is there that could be lost
                continue
            try:
                there = self._same(pending.path, descriptor)
            except NotFound:
                base = ""
                continue
            except IsADirectory:
                return None
            if there is not None:
                return there
            if pending.base is not None or base == _NEWER:
                return None
            base = None
        raise Unavailable(pending.path, detail="it is changed all the time")

    def _guess(self, pending: Pending) -> str:
        """Return what a content replaces that was accepted while the store was out of reach."""
        try:
            entry = self._call(pending.path, self._origin.stat, pending.path)
        except NotFound:
            return ""
        settled = self._journal.look(pending.path).settled
        if settled is not None and settled.version == entry.version:
            return entry.version  # our own, whose time may run ahead of the clock
        # What is older stood there already when the writer asked to replace it.
        return entry.version if entry.mtime_ns <= pending.accepted_ns else _NEWER

    def _send(self, path: str, descriptor: int, base: str, *, lets_go: bool) -> Entry:
        if base == _NEWER:
            raise Changed(path)
        size = os.fstat(descriptor).st_size
        with self._call(
            path,
            self._origin.create,
            path,
            overwrite=bool(base),
            expect=base or None,
            size_hint=size,
        ) as writer:
            offset = 0
            while block := os.pread(descriptor, _BLOCK_BYTES, offset):
                if self._stopping.is_set() or (lets_go and self._journal.holds.is_held(path)):
                    raise _LetGo
                self._call(path, writer.write, block)
                offset += len(block)
            try:
                return self._call(path, writer.commit)
            except StorageError as error:
                if error.temporary or type(error) is StorageError:
                    raise _Unsure(error) from error
                raise

    def _same(self, path: str, descriptor: int) -> Entry | None:
        """Return the entry at `path` if it has just these bytes."""
        with self._call(path, self._origin.open, path) as reader:
            size = os.fstat(descriptor).st_size
            if reader.entry.size != size:
                return None
            for offset in range(0, size, _BLOCK_BYTES):
                block = self._call(path, reader.read_at, offset, _BLOCK_BYTES)
                if self._stopping.is_set():
                    raise _LetGo
                if block != os.pread(descriptor, _BLOCK_BYTES, offset):
                    return None
            return reader.entry

    def _put_beside(self, pending: Pending, descriptor: int, *, lets_go: bool) -> None:
        name, number = pending.beside, 1
        limit = self._origin.capabilities.name_max_bytes
        for _ in range(_TRIES):
            if name is None:
                name = beside(pending.path, pending.accepted_ns, number, max_bytes=limit)
                number += 1
                self._journal.uploads.set_beside(pending, name)
            try:
                self._send(name, descriptor, "", lets_go=lets_go)
            except AlreadyExists:
                if self._same(name, descriptor) is None:
                    name = None
                    continue
            self._journal.uploads.set_aside(pending, name)
            _LOG.warning(
                "%r was changed at its store before an accepted write arrived; that is kept as %r",
                pending.path,
                name,
            )
            return
        raise Unavailable(pending.path, detail="no name is free beside it")


# A version that no store gives: what is there is newer than what is to replace it.
_NEWER = "\x00newer"


class _LetGo(Exception):
    """Somebody else needs the path, or the process ends."""


class _Unsure(Exception):
    """The store did not say whether the content has arrived."""

    def __init__(self, cause: StorageError) -> None:
        super().__init__(str(cause))
        self.cause = cause
