"""Running: the mark that a serving process leaves in its state directory.

The mark is a file named by host and process and locked while the process lives, so a mark that
outlived its process is known by its missing lock. Several processes may share one state directory,
also from several hosts or containers.
"""

import contextlib
import fcntl
import os
import re
import socket
import time
from pathlib import Path
from typing import Self

import msgspec

_FOLDER = "running"
_LOCK_SECONDS = 2.0


class Outcome(msgspec.Struct, frozen=True):
    """How the last reload ended. `count` grows by one with each, so that a new one is told."""

    count: int = 0
    taken: bool = True
    text: str = ""


class Running:
    """The mark of this process. Raises OSError when the state directory cannot be written.

    `_path` and `_descriptor` are fixed; `outcome` is changed by the one thread that reloads.
    """

    def __init__(self, state_dir: Path) -> None:
        folder = state_dir / _FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / _name(os.getpid())
        self._descriptor = self._lock()
        self.outcome = Outcome()
        self._write()

    def report(self, text: str, *, taken: bool) -> None:
        """Leave the outcome of a reload for whoever asked for it."""
        self.outcome = Outcome(self.outcome.count + 1, taken, text)
        self._write()

    def leave(self) -> None:
        """Let go of the mark in a process that was forked, so that it ends with its parent."""
        os.close(self._descriptor)

    def close(self) -> None:
        """Remove the mark."""
        for path in (_outcome_path(self._path), self._path):
            with contextlib.suppress(OSError):
                path.unlink()
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _lock(self) -> int:
        end = time.monotonic() + _LOCK_SECONDS
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:
                    return descriptor
                # Somebody swept the file away as a stale mark between the open and the lock.
            except BlockingIOError:
                if time.monotonic() > end:
                    os.close(descriptor)
                    raise
            os.close(descriptor)
            time.sleep(0.01)

    def _write(self) -> None:
        whole = _outcome_path(self._path)
        partial = whole.with_suffix(".new")
        partial.write_bytes(msgspec.json.encode(self.outcome))
        partial.replace(whole)


def processes(state_dir: Path) -> list[int]:
    """Return which processes of this host serve with this state directory; sweep old marks."""
    found = []
    for path in sorted((state_dir / _FOLDER).glob(_name("*"))):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(int(path.stem.rpartition("-")[2]))
            else:
                _outcome_path(path).unlink(missing_ok=True)
                path.unlink(missing_ok=True)
    return found


def outcome(state_dir: Path, process: int) -> Outcome | None:
    """Return how the last reload of `process` ended; None when it is gone."""
    path = _outcome_path(state_dir / _FOLDER / _name(process))
    try:
        return msgspec.json.decode(path.read_bytes(), type=Outcome)
    except FileNotFoundError:
        return None


def _name(process: int | str) -> str:
    host = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())
    return f"{host}-{process}.lock"


def _outcome_path(mark: Path) -> Path:
    return mark.with_suffix(".reload")
