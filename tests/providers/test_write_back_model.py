"""Whatever is done in whatever order, with faults and restarts: it is as a dict would be."""

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cache.journal import Journal
from providers.errors import NotEmpty, NotFound, Unavailable
from providers.memory import MemoryOptions, MemoryProvider
from providers.testing.harness import get, names, put
from providers.wrap import FaultProvider
from providers.write_back import WriteBackProvider

_FOLDERS = ("d", "e")
_NAMES = st.sampled_from(("a", "b", "d/a", "d/b", "e/a"))
_DATA = st.binary(max_size=20)
_UPLOADS = st.sampled_from(("create", "write"))


class Model(RuleBasedStateMachine):
    """Compares a write-back with a dict of its files and a set of its folders."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="headgate-test-"))
        self.memory = MemoryProvider(MemoryOptions())
        self.fault = FaultProvider(self.memory)
        self.files: dict[str, bytes] = {}
        self.folders: set[str] = set()
        self.is_faulty = False
        self.open()

    def open(self) -> None:
        self.store = WriteBackProvider(self.fault, Journal(self.folder / "journal"))

    def has_parent(self, path: str) -> bool:
        folder = path.rpartition("/")[0]
        return not folder or folder in self.folders

    @rule(path=_NAMES, data=_DATA)
    def put(self, path: str, data: bytes) -> None:
        if not self.has_parent(path):
            with pytest.raises(NotFound):
                put(self.store, path, data)
            return
        put(self.store, path, data)
        self.files[path] = data

    @rule(path=_NAMES, data=_DATA, offset=st.integers(0, 30))
    def modify(self, path: str, data: bytes, offset: int) -> None:
        if path not in self.files:
            with pytest.raises(NotFound):
                self.store.modify(path)
            return
        with self.store.modify(path) as writer:
            writer.write_at(offset, data)
            writer.commit()
        if data:
            old = self.files[path].ljust(offset, b"\0")
            self.files[path] = old[:offset] + data + old[offset + len(data) :]

    @rule(path=_NAMES)
    def remove(self, path: str) -> None:
        if path not in self.files:
            with pytest.raises(NotFound):
                self.store.remove(path)
            return
        self.store.remove(path)
        del self.files[path]

    @rule(source=_NAMES, goal=_NAMES)
    def rename(self, source: str, goal: str) -> None:
        if source == goal:
            return
        if source not in self.files or not self.has_parent(goal):
            with pytest.raises(NotFound):
                self.store.rename(source, goal, overwrite=True)
            return
        self.store.rename(source, goal, overwrite=True)
        self.files[goal] = self.files.pop(source)

    @rule(source=_NAMES, goal=_NAMES)
    def copy(self, source: str, goal: str) -> None:
        if source == goal:
            return
        if source not in self.files or not self.has_parent(goal):
            with pytest.raises(NotFound):
                self.store.copy(source, goal, overwrite=True)
            return
        self.store.copy(source, goal, overwrite=True)
        self.files[goal] = self.files[source]

    @rule(path=st.sampled_from(_FOLDERS))
    def mkdir(self, path: str) -> None:
        if path not in self.folders:
            self.store.mkdir(path)
            self.folders.add(path)

    @rule(path=st.sampled_from(_FOLDERS))
    def rmdir(self, path: str) -> None:
        if path not in self.folders:
            return
        if any(file.startswith(f"{path}/") for file in self.files):
            with pytest.raises(NotEmpty):
                self.store.rmdir(path)
            return
        self.store.rmdir(path)
        self.folders.remove(path)

    @rule()
    def swap(self) -> None:
        """Rename the one folder that is there to the other's name."""
        if len(self.folders) != 1:
            return
        (source,) = self.folders
        (target,) = set(_FOLDERS) - self.folders
        self.store.rename(source, target)
        self.folders = {target}
        for path in [path for path in self.files if path.startswith(f"{source}/")]:
            self.files[target + path[len(source) :]] = self.files.pop(path)

    @rule(path=_NAMES, mtime=st.integers(0, 10**9))
    def set_mtime(self, path: str, mtime: int) -> None:
        if path in self.files:
            assert self.store.set_mtime(path, mtime).mtime_ns == mtime
            assert self.store.stat(path).mtime_ns == mtime

    @rule(call=_UPLOADS)
    def break_uploads(self, call: str) -> None:
        self.fault.fail(call, Unavailable)
        self.is_faulty = True

    @rule()
    def heal(self) -> None:
        self.fault.heal()
        self.is_faulty = False

    @precondition(lambda self: not self.is_faulty)
    @rule()
    def flush(self) -> None:
        assert self.store.flush(seconds=10)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.open()

    @invariant()
    def shows_the_model(self) -> None:
        if not hasattr(self, "store"):
            return
        shown = {
            f"{folder}/{name}" if folder else name
            for folder in ("", *self.folders)
            for name in names(self.store, folder)
        }
        assert shown == set(self.files) | self.folders
        for path, data in self.files.items():
            assert get(self.store, path) == data

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        try:
            self.fault.heal()
            assert self.store.flush(seconds=10)
            assert self.store.journal.conflicts() == []
            for path, data in self.files.items():
                assert get(self.memory, path) == data
            assert names(self.memory) == self.folders | {p for p in self.files if "/" not in p}
            self.store.close()
            assert list((self.folder / "journal" / "data").iterdir()) == []
        finally:
            self.store.close()
            with contextlib.suppress(OSError):
                shutil.rmtree(self.folder)


@pytest.mark.timeout(120)
def test_model() -> None:
    run_state_machine_as_test(Model, settings=settings(max_examples=15, stateful_step_count=30))
