"""The root itself: missing, replaced, made; and that no descriptor is lost on the way."""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers import waiting
from providers.errors import Denied, NotADirectory, NotFound, StorageError, Unavailable
from providers.local import LocalOptions, LocalProvider
from providers.waiting import WouldWait


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_making_one_touches_no_disk(tmp_path: Path) -> None:
    """A provider of a missing root can be made and closed; using it raises Unavailable."""
    store = LocalProvider(LocalOptions(root=tmp_path / "missing"))
    for work in (lambda: store.stat("file"), store.health, lambda: next(store.scandir(""))):
        with pytest.raises(Unavailable, match="folder does not exist"):
            work()
    assert not store.capabilities.xattrs
    (tmp_path / "missing").mkdir()
    store.health()
    with pytest.raises(NotFound):
        store.stat("file")
    store.close()
    store.close()


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    """A file in place of the root is named as the cause."""
    (tmp_path / "file").write_bytes(b"")
    store = LocalProvider(LocalOptions(root=tmp_path / "file"))
    with pytest.raises(NotADirectory, match="correct root"):
        store.health()


def test_create_root(tmp_path: Path) -> None:
    """With `create_root` a missing root is made at the first use, not before."""
    store = LocalProvider(LocalOptions(root=tmp_path / "a" / "b", create_root=True))
    assert not (tmp_path / "a").exists()
    store.mkdir("folder")
    assert (tmp_path / "a" / "b" / "folder").is_dir()
    store.close()


@pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])
def test_a_root_that_is_replaced(tmp_path: Path, *, walk: bool) -> None:
    """Files of a removed root are Unavailable, not gone; the new root serves from then on."""
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    store = LocalProvider(LocalOptions(root=root), walk=walk)
    assert store.stat("folder").is_folder
    for work in (
        lambda: store.stat("folder"),
        lambda: store.stat("folder/file"),
        lambda: store.create("file"),
        lambda: store.mkdir("new"),
        store.health,
    ):
        (root / "folder").rmdir()
        root.rmdir()
        with pytest.raises(Unavailable):
            work()
        (root / "folder").mkdir(parents=True)
        store.health()
        assert store.stat("folder").is_folder
    root.rename(tmp_path / "aside")
    root.mkdir()
    store.health()
    assert list(store.scandir("")) == []
    store.close()


@pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])
def test_no_descriptor_is_lost(tmp_path: Path, *, walk: bool) -> None:
    """A thousand operations, failing ones and half-read listings too, lose no descriptor."""
    store = LocalProvider(LocalOptions(root=tmp_path, symlinks="inside"), walk=walk)
    (tmp_path / "out").symlink_to("..")
    (tmp_path / "loop").symlink_to("loop")
    store.health()
    assert store.capabilities.create

    def write(path: str, *, commit: bool, overwrite: bool = True) -> None:
        with store.create(path, overwrite=overwrite) as writer:
            writer.write(b"data")
            if commit:
                writer.commit()

    def read(path: str) -> None:
        with store.open(path) as reader:
            reader.read_at(0, 10)

    def modify(path: str, expect: str | None = None) -> None:
        with store.modify(path, expect=expect) as writer:
            writer.write_at(2, b"x")
            writer.commit()

    def round_of_all() -> None:
        for path in ("file", "folder", "folder/file", "missing/file", "file/x", "out/x", "loop",
                     "n" * 300, "folder/" + "n" * 300, ".headgate-x", ""):  # fmt: skip
            for work in (
                lambda path: store.mkdir("folder"),
                store.stat,
                lambda path: write(path, commit=False),
                lambda path: write(path, commit=True),
                lambda path: write(path, commit=True, overwrite=False),
                lambda path: store.create(path, expect="wrong"),
                lambda path: store.create(path, size_hint=1 << 60),
                read,
                modify,
                lambda path: modify(path, "wrong"),
                lambda path: next(store.scandir(path)),
                lambda path: store.copy(path, "copy", overwrite=True),
                lambda path: store.copy("file", path),
                lambda path: store.rename(path, f"{path}2", overwrite=True),
                lambda path: store.rename(f"{path}2", path, overwrite=True),
                lambda path: store.set_mtime(path, 5),
                lambda path: store.set_mtime(path, 1 << 200),
                store.xattrs,
                lambda path: store.set_xattrs(path, {"": b""}),
                store.usage,
                store.remove,
                store.rmdir,
                lambda path: store.sweep(older_than_seconds=0),
            ):
                with contextlib.suppress(StorageError, StopIteration):
                    work(path)

    round_of_all()
    gc.collect()
    before = descriptors()
    for _ in range(5):
        round_of_all()
    assert descriptors() == before
    assert not list(tmp_path.rglob(".headgate-*"))
    store.close()
    assert descriptors() == before - 1


def test_forgotten_readers_and_writers_are_told(tmp_path: Path) -> None:
    """Who forgets to close is warned, and the descriptor comes back."""
    store = LocalProvider(LocalOptions(root=tmp_path))
    store.health()
    before = descriptors()
    with pytest.warns(ResourceWarning, match="unfinished writer of 'file'"):
        store.create("file")
    (tmp_path / "file").write_bytes(b"")
    with pytest.warns(ResourceWarning, match="unclosed reader of 'file'"):
        store.open("file")
    assert descriptors() == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    store.close()


@contextlib.contextmanager
def hurry() -> Iterator[None]:
    """Let this thread wait for nothing within a `with` block."""
    waiting.refuse()
    try:
        yield
    finally:
        waiting.allow()


def test_a_look_of_who_must_not_wait(tmp_path: Path) -> None:
    """It tells what any look tells, or that it would have to wait; and loses no descriptor."""
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "file").write_bytes(b"x")
    (root / "link").symlink_to("folder")
    store = LocalProvider(LocalOptions(root=root))
    store.health()
    wanted = {path: store.look(path) for path in ("", "folder", "folder/file", "new", "folder/new")}
    assert wanted["new"] is wanted["folder/new"] is None
    before = descriptors()
    with hurry():
        for _ in range(3):
            for path, entry in wanted.items():
                assert store.look(path) == entry
            # Kernels differ in whether they know this without a look.
            with pytest.raises((NotADirectory, WouldWait)):
                store.look("folder/file/new")
            with pytest.raises(Denied):
                store.look("link")
            with pytest.raises(WouldWait):
                store.look("cold/new")
    assert descriptors() == before
    store.close()


def test_a_look_at_a_root_that_is_replaced(tmp_path: Path) -> None:
    """Nothing is said to be free only because the root was taken away."""
    root = tmp_path / "root"
    root.mkdir()
    store = LocalProvider(LocalOptions(root=root))
    store.health()
    assert store.look("new") is None
    root.rmdir()
    root.mkdir()
    with hurry(), pytest.raises(WouldWait):
        store.look("new")
    with pytest.raises(Unavailable):
        store.look("new")
    assert store.look("new") is None
    store.close()
