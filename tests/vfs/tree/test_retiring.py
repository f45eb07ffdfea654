"""A store that a reload drops is closed after its last use, whenever the reload comes."""

from collections.abc import Callable
from typing import Any

import pytest

from providers.base import Entry, Reader, Writer
from providers.memory import MemoryOptions, MemoryProvider
from vfs.auth.caller import ANONYMOUS
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree


class _Reloaded(MemoryProvider):
    """Is retired just before it returns a reader or a writer."""

    retire: Callable[[], None] | None = None
    closed = False

    def _retire(self) -> None:
        retire, self.retire = self.retire, None
        if retire is not None:
            retire()

    def open(self, path: str) -> Reader:
        reader = super().open(path)
        self._retire()
        return reader

    def create(self, path: str, **wish: Any) -> Writer:
        writer = super().create(path, **wish)
        self._retire()
        return writer

    def modify(self, path: str, *, expect: str | None = None) -> Writer:
        writer = super().modify(path, expect=expect)
        self._retire()
        return writer

    def stat(self, path: str) -> Entry:
        assert not self.closed
        return super().stat(path)

    def set_mtime(self, path: str, mtime_ns: int) -> Entry:
        assert not self.closed
        return super().set_mtime(path, mtime_ns)

    def remove(self, path: str, *, expect: str | None = None) -> None:
        assert not self.closed
        super().remove(path, expect=expect)
        self._retire()

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("verb", ["open", "create", "modify"])
def test_a_reload_in_the_middle_of_a_call_closes_nothing_in_use(verb: str) -> None:
    store = _Reloaded(MemoryOptions())
    with store.create("f") as writer:
        writer.commit()
    mount = Mount("/m", [store])
    tree = Tree(MountTable([mount]))
    store.retire = mount.primary.retire
    with getattr(tree, verb)(ANONYMOUS, "/m/f"):
        assert not store.closed
    assert store.closed


def test_a_reload_in_the_middle_of_a_copy_closes_nothing_in_use() -> None:
    source, target = MemoryProvider(MemoryOptions()), _Reloaded(MemoryOptions())
    with source.create("f") as writer:
        writer.write(b"bytes")
        writer.commit()
    mount = Mount("/b", [target])
    tree = Tree(MountTable([Mount("/a", [source]), mount]))
    target.retire = mount.primary.retire
    tree.copy(ANONYMOUS, "/a/f", "/b/f")
    assert target.closed


def test_a_reload_in_the_middle_of_a_removal_closes_nothing_in_use() -> None:
    store = _Reloaded(MemoryOptions())
    store.mkdir("d")
    for name in "123":
        with store.create(f"d/{name}") as writer:
            writer.commit()
    mount = Mount("/m", [store])
    tree = Tree(MountTable([mount]))
    store.retire = mount.primary.retire
    assert tree.remove(ANONYMOUS, "/m/d") == []
    assert store.closed
