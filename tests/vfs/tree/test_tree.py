"""The tree's operations inside one store: each promise of its docstrings."""

from collections.abc import Callable
from pathlib import Path

import pytest

from providers.base import Kind, Provider
from providers.errors import (
    AlreadyExists,
    Changed,
    Denied,
    InvalidPath,
    IsADirectory,
    NotFound,
    ReadOnly,
)
from providers.local import LocalOptions, LocalProvider
from providers.memory import MemoryOptions, MemoryProvider
from vfs.auth.caller import ANONYMOUS
from vfs.auth.right import Right
from vfs.auth.rights import Rights, Rule
from vfs.tree.events import Event, Happening
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree

Put = Callable[[Tree, str, bytes], str]
Get = Callable[[Tree, str], bytes]


def _names(tree: Tree, path: str) -> set[str]:
    return {entry.name for entry in tree.scandir(ANONYMOUS, path)}


def test_a_file_is_there_after_commit_and_not_before(tree: Tree, put: Put, get: Get) -> None:
    with tree.create(ANONYMOUS, "/a/f") as writer:
        assert writer.created
        writer.write(b"new")
        with pytest.raises(NotFound):
            tree.stat(ANONYMOUS, "/a/f")
        entry = writer.commit()
    assert tree.stat(ANONYMOUS, "/a/f") == entry
    assert get(tree, "/a/f") == b"new"
    assert not tree.create(ANONYMOUS, "/a/f").created


def test_a_writer_that_is_left_changes_nothing(tree: Tree, put: Put, get: Get) -> None:
    put(tree, "/a/f", b"old")
    with tree.create(ANONYMOUS, "/a/f") as writer:
        writer.write(b"new")
    assert get(tree, "/a/f") == b"old"


def test_expect_refuses_another_version(tree: Tree, put: Put) -> None:
    first = put(tree, "/a/f", b"1")
    put(tree, "/a/f", b"2")
    with pytest.raises(Changed):
        tree.create(ANONYMOUS, "/a/f", expect=first)
    with pytest.raises(Changed):
        tree.remove(ANONYMOUS, "/a/f", expect=first)
    with pytest.raises(NotFound):
        tree.create(ANONYMOUS, "/a/none", expect=first)
    with pytest.raises(AlreadyExists):
        tree.create(ANONYMOUS, "/a/f", overwrite=False)


def test_modify_starts_with_the_present_content(tree: Tree, put: Put, get: Get) -> None:
    put(tree, "/a/f", b"0123456789")
    with tree.modify(ANONYMOUS, "/a/f") as writer:
        writer.write_at(2, b"xx")
        writer.truncate(5)
        writer.commit()
    assert get(tree, "/a/f") == b"01xx4"


def test_the_root_lists_the_mounts_and_cannot_be_changed(tree: Tree) -> None:
    assert _names(tree, "/") == {"a", "b"}
    assert tree.stat(ANONYMOUS, "/").is_folder
    assert tree.stat(ANONYMOUS, "/a").name == "a"
    with pytest.raises(ReadOnly):
        tree.create(ANONYMOUS, "/f")
    with pytest.raises(Denied, match="configuration"):
        tree.remove(ANONYMOUS, "/a")
    with pytest.raises(AlreadyExists):
        tree.mkdir(ANONYMOUS, "/a")
    with pytest.raises(NotFound):
        tree.stat(ANONYMOUS, "/c")
    with pytest.raises(NotFound):
        list(tree.scandir(ANONYMOUS, "/c"))


def test_a_folder_is_no_file(tree: Tree) -> None:
    tree.mkdir(ANONYMOUS, "/a/d")
    for path in ("/a/d", "/a", "/"):
        with pytest.raises(IsADirectory):
            tree.open(ANONYMOUS, path)
    with pytest.raises(IsADirectory):
        tree.create(ANONYMOUS, "/a/d")


def test_remove_takes_a_folder_with_all_it_holds(tree: Tree, put: Put) -> None:
    tree.mkdir(ANONYMOUS, "/a/d")
    tree.mkdir(ANONYMOUS, "/a/d/e")
    put(tree, "/a/d/e/f", b"1")
    assert tree.remove(ANONYMOUS, "/a/d") == []
    assert _names(tree, "/a") == set()


def test_remove_keeps_a_guarded_member_and_the_way_to_it(tree: Tree, put: Put) -> None:
    for folder in ("/a/d", "/a/d/e", "/a/d/g", "/a/d/g/h"):
        tree.mkdir(ANONYMOUS, folder)
    for file in ("/a/d/1", "/a/d/e/2", "/a/d/e/3", "/a/d/g/h/4"):
        put(tree, file, b"x")

    def guard(path: str) -> None:
        if path == "/a/d/e/2":
            raise Denied(path, detail="it is locked")

    failures = tree.remove(ANONYMOUS, "/a/d", guard=guard)
    assert [(failure.path, type(failure.error)) for failure in failures] == [("/a/d/e/2", Denied)]
    assert _names(tree, "/a/d") == {"e"}
    assert _names(tree, "/a/d/e") == {"2"}


def test_copy_keeps_the_source_and_is_new_or_replaces(tree: Tree, put: Put, get: Get) -> None:
    put(tree, "/a/f", b"1")
    assert tree.copy(ANONYMOUS, "/a/f", "/a/g").created
    put(tree, "/a/f", b"2")
    with pytest.raises(AlreadyExists):
        tree.copy(ANONYMOUS, "/a/f", "/a/g")
    assert not tree.copy(ANONYMOUS, "/a/f", "/a/g", overwrite=True).created
    assert get(tree, "/a/f") == get(tree, "/a/g") == b"2"


def test_copy_of_a_folder_replaces_what_is_there(tree: Tree, put: Put, get: Get) -> None:
    tree.mkdir(ANONYMOUS, "/a/d")
    put(tree, "/a/d/f", b"1")
    tree.mkdir(ANONYMOUS, "/a/e")
    put(tree, "/a/e/old", b"x")
    assert tree.copy(ANONYMOUS, "/a/d", "/a/e", overwrite=True).failures == []
    assert _names(tree, "/a/e") == {"f"}
    assert get(tree, "/a/e/f") == b"1"
    tree.copy(ANONYMOUS, "/a/d", "/a/s", shallow=True)
    assert _names(tree, "/a/s") == set()


@pytest.mark.parametrize("target", ["/a/d", "/a/d/e", "/a"])
def test_copy_and_rename_refuse_what_overlaps(tree: Tree, target: str) -> None:
    tree.mkdir(ANONYMOUS, "/a/d")
    for operation in (tree.copy, tree.rename):
        with pytest.raises((InvalidPath, Denied)):
            operation(ANONYMOUS, "/a/d", target, overwrite=True)
    assert _names(tree, "/a") == {"d"}


def test_rename_replaces_a_file_in_one_step_and_a_folder_after_removal(
    tree: Tree, put: Put, get: Get
) -> None:
    version = put(tree, "/a/f", b"1")
    put(tree, "/a/g", b"2")
    assert not tree.rename(ANONYMOUS, "/a/f", "/a/g", overwrite=True).created
    assert get(tree, "/a/g") == b"1"
    assert version
    tree.mkdir(ANONYMOUS, "/a/d")
    put(tree, "/a/d/x", b"3")
    tree.mkdir(ANONYMOUS, "/a/e")
    put(tree, "/a/e/y", b"4")
    tree.rename(ANONYMOUS, "/a/d", "/a/e", overwrite=True)
    assert _names(tree, "/a") == {"g", "e"}
    assert _names(tree, "/a/e") == {"x"}


def test_nested_mounts_hide_what_lies_beneath_them(put: Put) -> None:
    outer, inner = MemoryProvider(MemoryOptions()), MemoryProvider(MemoryOptions())
    tree = Tree(MountTable([Mount("/", [outer]), Mount("/x/y", [inner])]))
    put(tree, "/f", b"1")
    put(tree, "/x/y/g", b"2")
    assert _names(tree, "/") == {"f", "x"}
    assert _names(tree, "/x") == {"y"}
    assert [entry.name for entry in outer.scandir("")] == ["f"]
    outer.mkdir("x")
    with outer.create("x/y") as writer:
        writer.commit()
    with outer.create("x/z") as writer:
        writer.commit()
    assert tree.stat(ANONYMOUS, "/x/y").kind is Kind.FOLDER
    assert _names(tree, "/x") == {"y", "z"}
    for operation in (tree.rename, tree.copy):
        with pytest.raises(Denied):
            operation(ANONYMOUS, "/f", "/x", overwrite=True)
    with pytest.raises(Denied):
        tree.remove(ANONYMOUS, "/x")


def test_a_read_only_mount_takes_no_change(put: Put, get: Get) -> None:
    store = MemoryProvider(MemoryOptions())
    put(Tree(MountTable([Mount("/a", [store])])), "/a/f", b"1")
    tree = Tree(MountTable([Mount("/a", [store], read_only=True)]))
    assert get(tree, "/a/f") == b"1"
    changes: list[Callable[[], object]] = [
        lambda: tree.create(ANONYMOUS, "/a/g"),
        lambda: tree.modify(ANONYMOUS, "/a/f"),
        lambda: tree.mkdir(ANONYMOUS, "/a/d"),
        lambda: tree.remove(ANONYMOUS, "/a/f"),
        lambda: tree.rename(ANONYMOUS, "/a/f", "/a/g"),
        lambda: tree.copy(ANONYMOUS, "/a/f", "/a/g"),
        lambda: tree.set_mtime(ANONYMOUS, "/a/f", 0),
    ]
    for change in changes:
        with pytest.raises(ReadOnly):
            change()
    assert _names(tree, "/a") == {"f"}


def test_every_change_is_told_once(tree: Tree, put: Put) -> None:
    seen: list[Event] = []
    tree.events.follow(seen.append)
    put(tree, "/a/f", b"1")
    put(tree, "/a/f", b"2")
    tree.mkdir(ANONYMOUS, "/a/d")
    tree.copy(ANONYMOUS, "/a/f", "/b/f")
    tree.rename(ANONYMOUS, "/a/f", "/a/g")
    tree.set_mtime(ANONYMOUS, "/a/g", 10**9)
    tree.remove(ANONYMOUS, "/a/d")
    with pytest.raises(NotFound):
        tree.remove(ANONYMOUS, "/a/d")
    assert [(str(event.happening), event.path, event.target) for event in seen] == [
        ("created", "/a/f", None),
        ("changed", "/a/f", None),
        ("created", "/a/d", None),
        ("copied", "/a/f", "/b/f"),
        ("moved", "/a/f", "/a/g"),
        ("changed", "/a/g", None),
        ("removed", "/a/d", None),
    ]


@pytest.mark.logs("a follower failed on created '/a/f'")
def test_a_failing_follower_hinders_nobody(
    tree: Tree, put: Put, get: Get, caplog: pytest.LogCaptureFixture
) -> None:

    def follower(event: Event) -> None:
        raise RuntimeError(event.path)

    tree.events.follow(follower)
    put(tree, "/a/f", b"1")
    assert get(tree, "/a/f") == b"1"
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_an_error_says_where_it_happened(tree: Tree) -> None:
    with pytest.raises(NotFound) as caught:
        tree.stat(ANONYMOUS, "/a/x/y")
    assert str(caught.value).startswith("'/a/x/y': ")
    assert str(caught.value).endswith("[memory stat]")


@pytest.mark.parametrize("is_telling", [False, True])
def test_a_file_may_be_put_unasked(tmp_path: Path, *, is_telling: bool) -> None:
    """Whether it is new is found out by its writer, or asked once that is made; never guessed."""
    store: Provider = MemoryProvider(MemoryOptions())
    if is_telling:
        store = LocalProvider(LocalOptions(root=tmp_path))
        store.health()
    told: list[Happening] = []
    tree = Tree(MountTable([Mount("/", [store])]))
    tree.events.follow(lambda event: told.append(event.happening))
    if not tree.takes_unasked(ANONYMOUS, "/f"):
        assert is_telling  # the disk of this test is none of the machine's own
        return
    for created in (True, False):
        with tree.create(ANONYMOUS, "/f", unasked=True) as writer:
            assert writer.created is created
            writer.write(b"x")
            writer.commit()
        assert writer.created is created
    assert told == [Happening.CREATED, Happening.CHANGED]
    tree.mkdir(ANONYMOUS, "/d")
    with pytest.raises(IsADirectory):
        tree.create(ANONYMOUS, "/d", unasked=True)
    assert not tree.takes_unasked(ANONYMOUS, "/\udcff")


@pytest.mark.parametrize("rights", [{Right.CREATE}, {Right.MODIFY}, set(Right) - {Right.MODIFY}])
def test_who_may_not_do_both_does_not_put_unasked(rights: set[Right]) -> None:
    rule = Rule(path="/", who=frozenset({"anyone"}), rights=frozenset(rights))
    tree = Tree(MountTable([Mount("/", [MemoryProvider(MemoryOptions())])]), Rights([rule]))
    assert not tree.takes_unasked(ANONYMOUS, "/f")
    with pytest.raises(Denied):
        tree.create(ANONYMOUS, "/f", unasked=True)
