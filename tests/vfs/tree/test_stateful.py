"""Thousands of random operations on two mounts, compared with a model after each."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from providers.base import Provider
from providers.errors import StorageError
from providers.local import LocalOptions, LocalProvider
from providers.memory import MemoryOptions, MemoryProvider
from vfs.auth.caller import ANONYMOUS
from vfs.tree import paths
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree

NAMES = ["f", "g", "d", "e ", "é", "e\u0301", "%2F", "#?", ".x", "a\nb"]
Model = dict[str, bytes | None]

path_of = st.builds(
    lambda mount, names: f"/{mount}/{'/'.join(names)}",
    st.sampled_from(["one", "two"]),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
)
content = st.binary(max_size=40)
# Where an operation goes: mostly to what is there, else most of them would only be refused.
aim = st.tuples(st.integers(0, 999), path_of)


class TreeMachine(RuleBasedStateMachine):
    """Runs each operation on the tree and on the model; both succeed or both refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.model: Model = {"/": None, "/one": None, "/two": None}
        self.versions: dict[str, str] = {}
        self.tree = Tree(MountTable(Mount(path, [store]) for path, store in self.stores()))

    def stores(self) -> list[tuple[str, Provider]]:
        raise NotImplementedError

    def attempt(self, allowed: bool, operation: Any, *args: Any, **kwargs: Any) -> Any:
        """Run one operation that the model allows or refuses."""
        try:
            result = operation(ANONYMOUS, *args, **kwargs)
        except StorageError:
            assert not allowed, (operation.__name__, args)
            return None
        assert allowed, (operation.__name__, args)
        return result

    def beneath(self, folder: str) -> list[str]:
        return [path for path in self.model if paths.is_within(path, folder)]

    def there(self, aimed: tuple[int, str]) -> str:
        """Return something that exists, or now and then whatever path was drawn."""
        number, path = aimed
        known = sorted(self.model.keys() - {"/", "/one", "/two"})
        return path if number % 5 == 0 or not known else known[number % len(known)]

    def place(self, aimed: tuple[int, str]) -> str:
        """Return a name in a folder that exists, or now and then whatever path was drawn."""
        number, path = aimed
        folders = sorted(f for f, data in self.model.items() if data is None and f.count("/") < 4)
        folders.remove("/")
        if number % 5 == 0:
            return path
        return paths.join(folders[number % len(folders)], paths.basename(path))

    def is_folder(self, path: str) -> bool:
        return path in self.model and self.model[path] is None

    def may_hold(self, path: str) -> bool:
        return self.is_folder(paths.parent(path)) and paths.parent(path) != "/"

    @rule(aimed=aim, data=content, overwrite=st.booleans(), finish=st.booleans())
    def write(self, aimed: tuple[int, str], data: bytes, overwrite: bool, finish: bool) -> None:
        path = self.place(aimed)
        allowed = (
            self.may_hold(path)
            and not self.is_folder(path)
            and (overwrite or path not in self.model)
        )
        writer = self.attempt(allowed, self.tree.create, path, overwrite=overwrite)
        if writer is None:
            return
        with writer:
            writer.write(data[:7])
            writer.write(data[7:])
            if finish:
                entry = writer.commit()
                assert entry.version != self.versions.get(path)
                self.versions[path] = entry.version
                self.model[path] = data

    @rule(aimed=aim, data=content, offset=st.integers(0, 60), size=st.integers(0, 60))
    def modify(self, aimed: tuple[int, str], data: bytes, offset: int, size: int) -> None:
        path = self.there(aimed)
        old = self.model.get(path)
        writer = self.attempt(old is not None, self.tree.modify, path)
        if writer is None or old is None:
            return
        with writer:
            writer.write_at(offset, data)
            writer.truncate(size)
            writer.commit()
        if data:
            old = old.ljust(offset, b"\0")
            old = old[:offset] + data + old[offset + len(data) :]
        self.model[path] = old[:size].ljust(size, b"\0")
        self.versions.pop(path, None)

    @rule(aimed=aim)
    def mkdir(self, aimed: tuple[int, str]) -> None:
        path = self.place(aimed)
        allowed = self.may_hold(path) and path not in self.model
        if self.attempt(allowed, self.tree.mkdir, path):
            self.model[path] = None

    @rule(aimed=aim)
    def remove(self, aimed: tuple[int, str]) -> None:
        path = self.there(aimed)
        failures = self.attempt(path in self.model, self.tree.remove, path)
        if failures is not None:
            assert failures == []
            for gone in self.beneath(path):
                del self.model[gone]

    def transfer_allowed(self, source: str, target: str, overwrite: bool) -> bool:
        return (
            source in self.model
            and self.may_hold(target)
            and not paths.is_within(target, source)
            and not paths.is_within(source, target)
            and (overwrite or target not in self.model)
        )

    def transfer(self, source: str, target: str, moves: bool) -> None:
        """Put in the model at `target` what is at `source`."""
        taken = {path: self.model[path] for path in self.beneath(source)}
        for gone in self.beneath(target) + (list(taken) if moves else []):
            self.model.pop(gone, None)
        for path, data in taken.items():
            self.model[paths.rebase(path, source, target)] = data
        self.versions.clear()

    @rule(origin=aim, target_place=aim, overwrite=st.booleans())
    def copy(self, origin: tuple[int, str], target_place: tuple[int, str], overwrite: bool) -> None:
        source, goal = self.there(origin), self.place(target_place)
        allowed = self.transfer_allowed(source, goal, overwrite)
        created = goal not in self.model
        outcome = self.attempt(allowed, self.tree.copy, source, goal, overwrite=overwrite)
        if outcome:
            assert outcome.created == created
            assert outcome.failures == []
            self.transfer(source, goal, moves=False)

    @rule(origin=aim, target_place=aim, overwrite=st.booleans())
    def rename(
        self, origin: tuple[int, str], target_place: tuple[int, str], overwrite: bool
    ) -> None:
        source, goal = self.there(origin), self.place(target_place)
        allowed = self.transfer_allowed(source, goal, overwrite)
        outcome = self.attempt(allowed, self.tree.rename, source, goal, overwrite=overwrite)
        if outcome:
            assert outcome.failures == []
            self.transfer(source, goal, moves=True)

    @invariant()
    def tree_equals_model(self) -> None:
        """Every folder lists just what the model has, with size, and every file reads back."""
        for path, data in self.model.items():
            if data is None:
                listed = {e.name: e.is_folder for e in self.tree.scandir(ANONYMOUS, path)}
                wanted = {
                    paths.basename(member): self.model[member] is None
                    for member in self.model
                    if member != "/" and paths.parent(member) == path
                }
                assert listed == wanted, path
            else:
                with self.tree.open(ANONYMOUS, path) as reader:
                    assert reader.read_at(0, 1000) == data
                    assert reader.entry == self.tree.stat(ANONYMOUS, path)


class MemoryMachine(TreeMachine):
    def stores(self) -> list[tuple[str, Provider]]:
        return [(path, MemoryProvider(MemoryOptions())) for path in ("/one", "/two")]


class MixedMachine(TreeMachine):
    """One mount in memory, one on disk, so that half of the transfers cross stores."""

    def stores(self) -> list[tuple[str, Provider]]:
        self.folder = tempfile.TemporaryDirectory()
        self.local = LocalProvider(LocalOptions(root=Path(self.folder.name)))
        return [("/one", MemoryProvider(MemoryOptions())), ("/two", self.local)]

    def teardown(self) -> None:
        self.local.close()
        left = [name for _, _, names in os.walk(self.folder.name) for name in names]
        assert not [name for name in left if name.startswith(".headgate-")]
        self.folder.cleanup()


def _run(machine: type[TreeMachine], runs: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("machine", [MemoryMachine, MixedMachine])
def test_the_tree_equals_a_model(machine: type[TreeMachine]) -> None:
    """About two thousand steps."""
    _run(machine, 40, 50)


@pytest.mark.stateful
@pytest.mark.timeout(900)
@pytest.mark.parametrize("machine", [MemoryMachine, MixedMachine])
def test_the_tree_equals_a_model_for_long(machine: type[TreeMachine]) -> None:
    """Steps by HEADGATE_STEPS; 20,000 unless told."""
    steps = int(os.environ.get("HEADGATE_STEPS", "20000"))
    _run(machine, max(1, steps // 100), 100)
