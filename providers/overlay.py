"""Overlay: what stands at a path, when what is pending counts as if it had arrived."""

import contextlib
import time

import msgspec
from msgspec.structs import replace

from cache.errors import JournalBusy
from cache.journal import Journal
from cache.pending import Look
from cache.spool import Spool
from providers.base import Entry, Provider
from providers.errors import (
    AlreadyExists,
    Changed,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
    TimedOut,
    Unavailable,
)
from providers.names import basename, check_path, parent
from providers.spooled import entry_of, journalled
from providers.uploader import Call

# How long a change of names waits for the uploads that it depends on, and a writer for it.
NAMES_SECONDS = 10.0
# So often something is looked at anew that others change just then.
TRIES = 1000
_PAUSE_SECONDS = 0.005


class Seen(msgspec.Struct, frozen=True):
    """What stands at a path, and what a new content would replace there.

    `base` is the origin's version, "" for nothing, None when it cannot be asked.
    """

    entry: Entry | None
    base: str | None
    look: Look

    @property
    def is_known(self) -> bool:
        """Tell whether the answer is certain."""
        return self.base is not None or self.look.pending is not None


class Overlay:
    """A store with what is pending for it. All attributes are fixed."""

    def __init__(self, origin: Provider, journal: Journal, call: Call) -> None:
        self._origin = origin
        self._journal = journal
        self._call = call

    def stat(self, path: str) -> Entry:
        """Return the entry at `path`; NotFound."""
        entry = self.see(check_path(path)).entry
        if entry is None:
            raise NotFound(path)
        return entry

    def see(self, path: str) -> Seen:
        """Return what stands at `path` now; raise what the origin says if it must be asked."""
        for _ in range(TRIES):
            with journalled(path):
                look = self._journal.look(path)
            if look.pending is not None:
                return Seen(entry_of(look.pending), look.pending.base, look)
            entry: Entry | None = None
            with contextlib.suppress(NotFound):
                entry = self._call(path, self._origin.stat, path)
            # Looked at again: what has arrived while the origin was asked is shown as before.
            with journalled(path):
                again = self._journal.look(path)
            if again.pending is None and again.settled == look.settled:
                if entry is None:
                    return Seen(None, "", look)
                return Seen(shown(entry, look), entry.version, look)
        raise Unavailable(path, detail="it is changed all the time")

    def target(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        before: Seen | None = None,
    ) -> Seen:
        """Return what a file put at `path` would replace; raise what forbids it.

        While the origin is down what is not pending is unknown: then `before` counts, if nothing
        happened since, and a condition that cannot be decided is refused.
        """
        if not check_path(path):
            raise IsADirectory(path)
        limit = self._origin.capabilities.name_max_bytes
        if len(basename(path).encode(errors="surrogateescape")) > limit:
            raise InvalidPath(path, detail=f"the name is longer than {limit} bytes")
        try:
            seen = self.see(path)
            if seen.entry is None:
                self._check_folder(path)
        except (Unavailable, TimedOut):
            with journalled(path):
                look = self._journal.look(path)
            if look.pending is not None:
                raise
            if before is not None and before.is_known and look == before.look:
                return before
            if expect is not None or not overwrite:
                raise
            return Seen(None, None, look)
        entry = seen.entry
        if entry is not None and entry.is_folder:
            raise IsADirectory(path)
        if entry is not None and not overwrite:
            raise AlreadyExists(path)
        if expect is not None and entry is None:
            raise NotFound(path)
        if expect is not None and entry is not None and entry.version != expect:
            raise Changed(path)
        return seen

    def accept(
        self,
        path: str,
        spool: Spool,
        seen: Seen,
        *,
        overwrite: bool,
        expect: str | None,
        mtime_ns: int | None = None,
    ) -> Entry:
        """Make a content the pending one, if the conditions hold; it survives a power cut then."""
        end = time.monotonic() + NAMES_SECONDS
        conditional = expect is not None or not overwrite
        if conditional:
            seen = self.target(path, overwrite=overwrite, expect=expect, before=seen)
        while True:
            try:
                accepted = self._journal.accept(
                    path, spool, base=seen.base, look=seen.look, mtime_ns=mtime_ns
                )
            except JournalBusy:
                if time.monotonic() > end:
                    raise
                time.sleep(_PAUSE_SECONDS)
                accepted = None
            if accepted is not None:
                return entry_of(accepted)
            seen = self.target(path, overwrite=overwrite, expect=expect, before=seen)

    def _check_folder(self, path: str) -> None:
        """Raise what keeps a file from being made in the folder of `path`."""
        folder = parent(path)
        if folder:
            with journalled(path):
                pending = self._journal.look(folder).pending
            if pending is not None or not self._call(path, self._origin.stat, folder).is_folder:
                raise NotADirectory(path)


def shown(entry: Entry, look: Look) -> Entry:
    """Return an entry of the origin as it was shown when it was accepted."""
    if look.pending is not None:
        return entry_of(look.pending)
    settled = look.settled
    if settled is None or settled.version != entry.version or entry.is_folder:
        return entry
    mtime_ns = settled.shown_ns if settled.mtime_ns == entry.mtime_ns else entry.mtime_ns
    return replace(entry, version=settled.token, mtime_ns=mtime_ns)
