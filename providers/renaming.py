"""Renaming: changes of names while something is pending there.

Each holds the paths that it changes: nothing is accepted there meanwhile, and what is on its way
is let go. Names change at the origin first and in the journal then. Whatever fails or dies in
between leaves every accepted content pending, under its old name or its new one.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping

from cache.journal import Journal
from cache.pending import Pending
from providers.base import Entry, Provider
from providers.errors import (
    AlreadyExists,
    Changed,
    Denied,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotEmpty,
    NotFound,
    Unavailable,
)
from providers.names import check_path, parent
from providers.overlay import NAMES_SECONDS, Overlay
from providers.spooled import entry_of, journalled
from providers.uploader import Call


class Renaming:
    """The changes of names of one write-back. All attributes are fixed."""

    def __init__(
        self,
        overlay: Overlay,
        origin: Provider,
        journal: Journal,
        call: Call,
    ) -> None:
        self._overlay = overlay
        self._origin = origin
        self._journal = journal
        self._call = call

    def mkdir(self, path: str) -> Entry:
        """Make a folder at the origin, at once."""
        with self._holding(path):
            if self._pending(path):
                raise AlreadyExists(path)
            if self._pending(parent(path)):
                raise NotADirectory(path)
            return self._call(path, self._origin.mkdir, path)

    def rmdir(self, path: str) -> None:
        """Remove a folder at the origin, unless something in it is pending."""
        with self._holding(path):
            if self._pending(path):
                raise NotADirectory(path)
            if path and self._origin.capabilities.remove and self._journal.any_beneath(path):
                raise NotEmpty(path)
            self._call(path, self._origin.rmdir, path)

    def remove(self, path: str, *, expect: str | None = None) -> None:
        """Remove a file at the origin, then what is pending for it."""
        if not self._origin.capabilities.remove:
            self._origin.remove(path)
        with self._holding(path):
            pending = self._pending(path)
            if pending is None:
                if expect is not None:
                    expect = self._inner_version(path, expect)
                self._call(path, self._origin.remove, path, expect=expect)
            else:
                if expect is not None and expect != pending.token:
                    raise Changed(path)
                self._remove_old(pending)
            self._journal.drop(path)

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        """Rename at the origin what is there, and in the journal what is pending."""
        if not self._origin.capabilities.rename:
            return self._origin.rename(source, target, overwrite=overwrite)
        check_path(source)
        check_path(target)
        if not source:
            raise Denied(source, detail="the root of a store stays")
        if source == target or target.startswith(f"{source}/") or source.startswith(f"{target}/"):
            return self._rename_refused(source, target, overwrite=overwrite)
        with self._holding(source, target) as numbers:
            pending = self._pending(source)
            if pending is not None:
                seen = self._overlay.target(target, overwrite=overwrite)
                self._remove_old(pending)
                self._journal.move(source, target, base=seen.base)
                moved = self._pending(target)
                assert moved is not None
                return entry_of(moved)
            if self._pending(target):
                entry = self._call(source, self._origin.stat, source)
                if entry.is_folder:
                    raise NotADirectory(target)
                if not overwrite:
                    raise AlreadyExists(target)
            carries = self._journal.any_beneath(source)
            if carries:
                self._journal.holds.intend(numbers[0], target)
            entry = self._call(source, self._origin.rename, source, target, overwrite=overwrite)
            if entry.is_folder:
                self._journal.move_folder(source, target)
            else:
                self._journal.drop(source)
                self._journal.drop(target)
            return entry

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        """Copy at the origin, or within the journal what is pending."""
        if not self._origin.capabilities.copy:
            return self._origin.copy(source, target, overwrite=overwrite)
        check_path(source)
        with journalled(source):
            copied = self._copy_pending(source, target, overwrite=overwrite)
        if copied is not None:
            return copied
        with self._holding(target):
            there = self._pending(target)
            if there is not None and not overwrite:
                raise AlreadyExists(target)
            entry = self._call(source, self._origin.copy, source, target, overwrite=overwrite)
            self._journal.drop(target)
            return entry

    def _copy_pending(self, source: str, target: str, *, overwrite: bool) -> Entry | None:
        while (pending := self._pending(source)) is not None:
            seen = self._overlay.target(target, overwrite=overwrite)
            descriptor = self._journal.open(pending)
            if descriptor is None:
                continue
            spool = self._journal.spool()
            try:
                spool.take_from(descriptor)
                return self._overlay.accept(target, spool, seen, overwrite=overwrite, expect=None)
            finally:
                os.close(descriptor)
                spool.discard()
        return None

    def set_mtime(self, path: str, mtime_ns: int) -> Entry:
        """Set the time at the origin, or have what is pending arrive with it."""
        if not self._origin.capabilities.set_mtime:
            return self._origin.set_mtime(path, mtime_ns)
        check_path(path)
        with journalled(path):
            while (pending := self._pending(path)) is not None:
                if self._journal.set_mtime(pending, mtime_ns):
                    return self._overlay.stat(path)
        with self._holding(path):
            if self._pending(path) is None:
                entry = self._call(path, self._origin.set_mtime, path, mtime_ns)
                self._journal.renew(path, entry.version, entry.mtime_ns)
                return self._overlay.stat(path)
        return self.set_mtime(path, mtime_ns)

    def set_xattrs(self, path: str, changes: Mapping[str, bytes | None]) -> None:
        """Set attributes at the origin."""
        with self._holding(path):
            if self._pending(path) is not None:
                raise Unavailable(path, detail="it is still to be uploaded", retry_after_seconds=5)
            try:
                self._call(path, self._origin.set_xattrs, path, changes)
            finally:
                # Many stores count this as another version; the bytes are the same.
                with contextlib.suppress(NotFound):
                    entry = self._call(path, self._origin.stat, path)
                    self._journal.renew(path, entry.version, entry.mtime_ns)

    @contextlib.contextmanager
    def _holding(self, *paths: str) -> Iterator[list[int]]:
        for path in paths:
            check_path(path)
        with (
            journalled(paths[0]),
            self._journal.holds.take(*paths, wait_seconds=NAMES_SECONDS) as numbers,
        ):
            yield numbers

    def _pending(self, path: str) -> Pending | None:
        with journalled(path):
            return self._journal.look(path).pending

    def _inner_version(self, path: str, expect: str) -> str:
        entry = self._overlay.see(path)
        if entry.entry is None:
            raise NotFound(path)
        if entry.entry.is_folder:
            raise IsADirectory(path)
        if entry.entry.version != expect or entry.base is None:
            raise Changed(path)
        return entry.base

    def _remove_old(self, pending: Pending) -> None:
        """Remove at the origin what a pending content was to replace.

        What somebody else has put there stays: Changed.
        """
        if pending.base == "":
            return
        with contextlib.suppress(NotFound):
            self._call(pending.path, self._origin.remove, pending.path, expect=pending.base)

    def _rename_refused(self, source: str, target: str, *, overwrite: bool) -> Entry:
        """Answer for paths of which one is the other, or lies beneath it: nothing moves."""
        entry = self._overlay.stat(source)
        if entry.is_folder and target.startswith(f"{source}/"):
            raise InvalidPath(target, detail="a folder cannot move into itself")
        there = self._overlay.stat(target) if target else None
        if there is None or there.is_folder:
            raise AlreadyExists(target) if entry.is_folder else IsADirectory(target)
        if entry.is_folder:
            raise NotADirectory(target)
        if source != target or not overwrite:
            raise AlreadyExists(target)
        return entry
