"""Every operation of the tree needs its right, at both ends; listings hide the rest."""

from collections.abc import Callable

import pytest

from providers.errors import AlreadyExists, Denied, NotFound
from providers.memory import MemoryOptions, MemoryProvider
from vfs.auth.caller import ANONYMOUS, Caller
from vfs.auth.right import Right
from vfs.auth.rights import Rights, Rule
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree

ALICE = Caller(name="alice")

Operation = Callable[[Tree], object]

# What each operation needs, as (path, right): with just these it works, without one not.
NEEDS: dict[str, tuple[Operation, set[tuple[str, Right]]]] = {
    "stat": (lambda t: t.stat(ALICE, "/a/f"), {("/a/f", Right.READ)}),
    "list": (lambda t: list(t.scandir(ALICE, "/a/d")), {("/a/d", Right.LIST)}),
    "open": (lambda t: t.open(ALICE, "/a/f").close(), {("/a/f", Right.READ)}),
    "checksum": (lambda t: t.checksum(ALICE, "/a/f", "md5"), {("/a/f", Right.READ)}),
    "create": (lambda t: t.create(ALICE, "/a/n").commit(), {("/a/n", Right.CREATE)}),
    "overwrite": (lambda t: t.create(ALICE, "/a/f").commit(), {("/a/f", Right.MODIFY)}),
    "modify": (lambda t: t.modify(ALICE, "/a/f").commit(), {("/a/f", Right.MODIFY)}),
    "mkdir": (lambda t: t.mkdir(ALICE, "/a/n"), {("/a/n", Right.CREATE)}),
    "remove": (lambda t: t.remove(ALICE, "/a/d"), {("/a/d", Right.DELETE)}),
    "set_mtime": (lambda t: t.set_mtime(ALICE, "/a/f", 0), {("/a/f", Right.MODIFY)}),
    "copy": (
        lambda t: t.copy(ALICE, "/a/f", "/b/n"),
        {("/a/f", Right.READ), ("/b/n", Right.CREATE)},
    ),
    "copy over": (
        lambda t: t.copy(ALICE, "/a/f", "/b/g", overwrite=True),
        {("/a/f", Right.READ), ("/b/g", Right.MODIFY)},
    ),
    "copy over a folder": (
        lambda t: t.copy(ALICE, "/a/f", "/b/e", overwrite=True),
        {("/a/f", Right.READ), ("/b/e", Right.MODIFY), ("/b/e", Right.DELETE)},
    ),
    "copy of a folder": (
        lambda t: t.copy(ALICE, "/a/d", "/b/n"),
        {("/a/d", Right.READ), ("/a/d", Right.LIST), ("/b/n", Right.CREATE)},
    ),
    "rename of a folder": (
        lambda t: t.rename(ALICE, "/a/d", "/b/n"),
        {
            ("/a/d", Right.READ),
            ("/a/d", Right.LIST),
            ("/a/d", Right.DELETE),
            ("/b/n", Right.CREATE),
        },
    ),
    "rename": (
        lambda t: t.rename(ALICE, "/a/f", "/b/n"),
        {("/a/f", Right.READ), ("/a/f", Right.DELETE), ("/b/n", Right.CREATE)},
    ),
}


def _tree(given: set[tuple[str, Right]]) -> Tree:
    table = MountTable(Mount(path, [MemoryProvider(MemoryOptions())]) for path in ("/a", "/b"))
    tree = Tree(table)
    for folder in ("/a/d", "/b/e"):
        tree.mkdir(ANONYMOUS, folder)
    for file in ("/a/f", "/a/d/x", "/b/g"):
        tree.create(ANONYMOUS, file).commit()
    rules = [
        Rule(path=path, who=frozenset({"user:alice"}), rights=frozenset({right}))
        for path, right in given
    ]
    nobody = Rule(path="/", who=frozenset({"user:nobody"}), rights=frozenset(Right))
    tree.remount(table, Rights([*rules, nobody]))
    return tree


@pytest.mark.parametrize("name", NEEDS)
def test_an_operation_works_with_just_its_rights(name: str) -> None:
    operation, needs = NEEDS[name]
    operation(_tree(needs))


@pytest.mark.parametrize("name", NEEDS)
def test_an_operation_is_denied_without_any_one_of_them(name: str) -> None:
    """All other rights everywhere do not make up for the one that is missing."""
    operation, needs = NEEDS[name]
    looks = {Right.LIST, Right.READ} if name == "stat" else set()
    for path, right in needs:
        missing = looks or {right}
        others = {(path, other) for other in Right if other not in missing}
        with pytest.raises(Denied):
            operation(_tree({*(need for need in needs if need[1] not in missing), *others}))


def test_absent_and_forbidden_look_the_same() -> None:
    tree = _tree({("/a/d", Right.READ)})
    with pytest.raises(Denied):
        tree.open(ALICE, "/a/f")
    with pytest.raises(Denied):
        tree.open(ALICE, "/a/none")
    with pytest.raises(NotFound):
        tree.open(ALICE, "/a/d/none")


def test_a_listing_shows_only_what_its_reader_may_see() -> None:
    tree = _tree({("/a/d", Right.READ)})
    assert [entry.name for entry in tree.scandir(ALICE, "/")] == ["a"]
    assert [entry.name for entry in tree.scandir(ALICE, "/a")] == ["d"]
    with pytest.raises(Denied):
        tree.scandir(ALICE, "/b")
    with pytest.raises(Denied):
        tree.scandir(ANONYMOUS, "/")


def test_who_may_only_create_never_replaces_also_in_a_race() -> None:
    tree = _tree({("/a", Right.CREATE)})
    with tree.create(ALICE, "/a/n") as writer:
        writer.write(b"mine")
        raw = tree.table.mounts["/a"].primary.provider
        with raw.create("n") as other:
            other.write(b"theirs")
            other.commit()
        with pytest.raises(AlreadyExists):
            writer.commit()
    with raw.open("n") as reader:
        assert reader.read_at(0, 10) == b"theirs"


def test_who_may_only_modify_never_creates_also_in_a_race() -> None:
    tree = _tree({("/a", Right.MODIFY)})
    with pytest.raises(Denied):
        tree.create(ALICE, "/a/n")
    with tree.create(ALICE, "/a/f") as writer:
        raw = tree.table.mounts["/a"].primary.provider
        raw.remove("f")
        with pytest.raises(NotFound):
            writer.commit()
    with pytest.raises(NotFound):
        raw.stat("f")
