"""Back ends for the contract's tests: a further one is a further `Backend` here."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vfs.state.base import StateStore
from vfs.state.sqlite import SqliteStore

_SQLITE_CHILD = """
import sys
from pathlib import Path
from vfs.state.sqlite import SqliteStore
store = SqliteStore(Path({file!r}))
"""


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.ns = 1_700_000_000_000_000_000

    def __call__(self) -> int:
        return self.ns

    def advance(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


class Backend:
    """Opens any number of stores on the same state, here and in child processes."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "state.sqlite"
        self._children: list[subprocess.Popen[str]] = []

    def open(self, now_ns: Callable[[], int] | None = None) -> StateStore:
        if now_ns is None:
            return SqliteStore(self.file)
        return SqliteStore(self.file, now_ns=now_ns)

    def start(self, code: str) -> subprocess.Popen[str]:
        """Run `code` in a process of its own, with `store` opened on the same state."""
        child = subprocess.Popen(
            [sys.executable, "-c", _SQLITE_CHILD.format(file=str(self.file)) + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self._children.append(child)
        return child

    def stop(self) -> None:
        for child in self._children:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None and not pipe.closed:
                    pipe.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite"])
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = Backend(tmp_path)
    yield backend
    backend.stop()


@pytest.fixture
def store(backend: Backend, clock: Clock) -> Iterator[StateStore]:
    with backend.open(clock) as store:
        yield store


@pytest.fixture
def other(backend: Backend, clock: Clock) -> Iterator[StateStore]:
    """Open a second store on the same state, as another process would."""
    with backend.open(clock) as store:
        yield store
