"""Links, FIFOs, sockets and devices: what is followed, hidden, refused."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from providers.errors import AlreadyExists, Denied, NotFound, StorageError, Unsupported
from providers.local import LocalOptions, LocalProvider

Make = Callable[[Literal["refuse", "inside"]], LocalProvider]


@pytest.fixture(params=[False, True], ids=["openat2", "walk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Yield a maker of stores whose root holds one link of each kind."""
    root = tmp_path / "root"
    (root / "folder" / "deep").mkdir(parents=True)
    (root / "folder" / "deep" / "file").write_bytes(b"inside")
    (root / "empty").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    links: dict[str, str | Path] = {
        "to-file": "folder/deep/file",
        "to-folder": "folder/deep",
        "absolute": root / "folder",
        "twice": "to-folder/../deep/file",
        "to-empty": "empty",
        "to-root": ".",
        "broken": "nothing",
        "out": "../secret",
        "out-absolute": tmp_path / "secret",
        "out-folder": "..",
        "there-and-back": "../root/folder",
        "beside": f"{root}-not",
        "loop": "loop",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    made = []

    def maker(symlinks: Literal["refuse", "inside"]) -> LocalProvider:
        made.append(LocalProvider(LocalOptions(root=root, symlinks=symlinks), walk=request.param))
        return made[-1]

    yield maker
    for store in made:
        store.close()
    assert (tmp_path / "secret").read_bytes() == b"secret"


def read(store: LocalProvider, path: str) -> bytes:
    with store.open(path) as reader:
        return reader.read_at(0, 100)


def test_refused_links(make: Make) -> None:
    """With "refuse" no link is listed, and each operation on one names the cure."""
    store = make("refuse")
    assert {entry.name for entry in store.scandir("")} == {"folder", "empty"}
    for path in ("to-file", "to-folder/file", "out", "broken", "loop"):
        for operation in (
            store.stat,
            store.open,
            store.create,
            store.modify,
            lambda path: next(store.scandir(path)),
            store.xattrs,
            store.usage,
            lambda path: store.set_mtime(path, 0),
            store.remove,
            lambda path: store.rename("folder/deep/file", path, overwrite=True),
            lambda path: store.copy(path, "copy"),
        ):
            with pytest.raises(Denied, match='symlinks = "inside"'):
                operation(path)


def test_followed_links(make: Make) -> None:
    """With "inside" links that stay below the root are what they lead to, absolute ones too."""
    store = make("inside")
    listed = {entry.name: entry for entry in store.scandir("")}
    assert set(listed) == {
        "folder",
        "empty",
        "to-file",
        "to-folder",
        "absolute",
        "twice",
        "to-empty",
        "to-root",
    }
    for name, entry in listed.items():
        assert store.stat(name) == entry
    for path in ("to-file", "to-folder/file", "absolute/deep/file", "twice", "to-root/to-file"):
        assert read(store, path) == b"inside"
    assert listed["to-file"].version == store.stat("folder/deep/file").version
    for path in ("out", "out-absolute", "out-folder/secret", "there-and-back", "beside", "loop"):
        for operation in (store.stat, store.open, store.create, store.remove):
            with pytest.raises(Denied, match="link"):
                operation(path)
    for operation in (store.stat, store.open, store.remove):
        with pytest.raises(NotFound):
            operation("broken")


def test_writing_through_a_followed_link(tmp_path: Path, make: Make) -> None:
    """New content goes to where the link leads; the link stays."""
    store = make("inside")
    for number, path in enumerate(("to-file", "twice", "to-folder/file", "absolute/deep/file")):
        data = b"%d" % number
        with store.create(path, expect=store.stat(path).version) as writer:
            writer.write(data)
            assert writer.commit().version == store.stat(path).version
        assert (tmp_path / "root/folder/deep/file").read_bytes() == data
    with pytest.raises(AlreadyExists):
        store.create("to-file", overwrite=False)
    with store.modify("to-file") as writer:
        writer.write(b"!")
        writer.commit()
    assert (tmp_path / "root/folder/deep/file").read_bytes() == b"3!"
    assert (tmp_path / "root/to-file").is_symlink()
    with store.create("broken") as writer:
        writer.write(b"mended")
        writer.commit()
    assert (tmp_path / "root/nothing").read_bytes() == b"mended"


def test_removing_a_followed_link(tmp_path: Path, make: Make) -> None:
    """A removal takes the link, never what it leads to, empty or not."""
    store = make("inside")
    store.remove("to-file")
    store.rmdir("to-folder")
    store.rmdir("to-empty")
    assert not (tmp_path / "root/to-file").is_symlink()
    assert not (tmp_path / "root/to-empty").is_symlink()
    assert (tmp_path / "root/empty").is_dir()
    assert (tmp_path / "root/folder/deep/file").read_bytes() == b"inside"


def test_renaming_a_followed_link(tmp_path: Path, make: Make) -> None:
    """A link gets another name in its folder; elsewhere it would lead astray, so it stays."""
    store = make("inside")
    assert store.rename("to-file", "renamed").size == 6
    assert (tmp_path / "root/renamed").is_symlink()
    with pytest.raises(Unsupported):
        store.rename("renamed", "folder/renamed")


def test_what_is_no_file(tmp_path: Path, make: Make) -> None:
    """FIFOs, sockets and devices are not listed, and refused at once by every operation."""
    store = make("refuse")
    root = tmp_path / "root"
    os.mkfifo(root / "fifo")
    special = ["fifo", "socket"]
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(root)  # the path of a socket must be short
        try:
            bound.bind("socket")
        finally:
            os.chdir(here)
        if os.geteuid() == 0:
            os.mknod(root / "device", 0o020666, os.makedev(1, 3))
            special.append("device")
        assert {entry.name for entry in store.scandir("")} == {"folder", "empty"}
        for path in special:
            for operation in (
                store.stat,
                store.open,
                store.create,
                store.modify,
                store.remove,
                store.xattrs,
                lambda path: store.set_mtime(path, 0),
                lambda path: store.rename("folder/deep/file", path, overwrite=True),
            ):
                with pytest.raises(Denied):
                    operation(path)
            with pytest.raises(StorageError):
                next(store.scandir(path))


def test_names_that_are_no_utf8(tmp_path: Path, make: Make) -> None:
    """A file whose name is any bytes is listed, read, renamed and removed."""
    store = make("refuse")
    (tmp_path / "root" / os.fsdecode(b"\xff\xfe")).write_bytes(b"odd")
    (name,) = {entry.name for entry in store.scandir("")} - {"folder", "empty"}
    assert read(store, name) == b"odd"
    store.rename(name, f"empty/{name}")
    store.remove(f"empty/{name}")
    assert list(store.scandir("empty")) == []
