"""What a commit keeps, changes and survives."""

import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from providers import linux, waiting
from providers.errors import Changed, Denied, InvalidPath, IsADirectory, NoSpace, NotFound
from providers.inode import stamp_ns
from providers.local import LocalOptions, LocalProvider

_TREE = Path(__file__).parents[2]
_MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalProvider]:
    store = LocalProvider(LocalOptions(root=tmp_path))
    yield store
    store.close()


@pytest.fixture
def full(tmp_path: Path) -> Iterator[LocalProvider]:
    """Yield a store on a disk of one mebibyte."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs of 1 MiB needs root")
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mounted)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"mounting a tmpfs failed: {result.stderr.strip()}")
    store = LocalProvider(LocalOptions(root=mounted))
    yield store
    store.close()
    subprocess.run(["umount", mounted], check=True)


def put(store: LocalProvider, path: str, data: bytes) -> str:
    with store.create(path) as writer:
        writer.write(data)
        return writer.commit().version


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_quick_rewrites_have_versions_of_their_own(store: LocalProvider) -> None:
    """A thousand rewrites of one size, as fast as possible, give a thousand versions."""
    assert len({put(store, "file", b"%03d" % number) for number in range(1000)}) == 1000


def test_commits_are_dated_by_a_clock_that_never_repeats(
    store: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads get times that all differ, and a commit takes such a time, not the kernel's tick."""
    with ThreadPoolExecutor(4) as pool:
        times = list(pool.map(lambda _: stamp_ns(), range(20_000)))
    assert len(set(times)) == 20_000
    assert abs(time.time_ns() - times[-1]) < 60_000_000_000
    monkeypatch.setattr("providers.replacement.stamp_ns", lambda: 1_000_000_123)
    put(store, "file", b"data")
    assert store.stat("file").mtime_ns == 1_000_000_123


def test_a_set_time_hides_no_rewrite(store: LocalProvider) -> None:
    """Contents of equal size that are given the same time have different versions."""
    versions = set()
    for number in range(200):
        put(store, "file", b"%03d" % number)
        entry = store.set_mtime("file", 1_000_000_007)
        assert entry.mtime_ns == 1_000_000_007
        versions.add(entry.version)
    assert len(versions) == 200


def test_a_rewrite_in_place_stops_readers(tmp_path: Path, store: LocalProvider) -> None:
    """A reader of a file that another program writes in place raises Changed, size kept or not."""
    file = tmp_path / "file"
    for change in (b"new", b"newer", b""):
        file.write_bytes(b"old")
        with store.open("file") as reader:
            assert reader.read_at(0, 3) == b"old"
            with file.open("r+b") as other:
                other.write(change)
                other.truncate()
            with pytest.raises(Changed):
                reader.read_at(0, 3)
            with pytest.raises(Changed):
                reader.check()


def test_replacing_keeps_rights_and_attributes(tmp_path: Path, store: LocalProvider) -> None:
    """A file keeps mode, owner and attributes when it is written anew; a new one has usual ones."""
    file = tmp_path / "file"
    file.write_bytes(b"old")
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 65534, 65534)
    owner = file.stat().st_uid
    if store.capabilities.xattrs:
        store.set_xattrs("file", {"kept": b"value"})
    with store.create("file") as writer:
        writer.write(b"secret")
        (temporary,) = tmp_path.glob(".headgate-*")
        assert mode(temporary) & 0o077 == 0, "half written, and open to others"
        writer.commit()
    with store.modify("file") as writer:
        writer.write(b"more")
        writer.commit()
    assert (mode(file), file.stat().st_uid, file.read_bytes()) == (0o640, owner, b"secretmore")
    if store.capabilities.xattrs:
        assert store.xattrs("file") == {"kept": b"value"}
    (tmp_path / "usual").write_bytes(b"")
    put(store, "new", b"data")
    assert mode(tmp_path / "new") == mode(tmp_path / "usual")


def test_a_copy_of_a_private_file_is_private(tmp_path: Path, store: LocalProvider) -> None:
    """A copy has the mode and attributes of its source."""
    put(store, "file", b"data")
    (tmp_path / "file").chmod(0o600)
    if store.capabilities.xattrs:
        store.set_xattrs("file", {"key": b"value"})
    store.copy("file", "copy")
    assert mode(tmp_path / "copy") == 0o600
    if store.capabilities.xattrs:
        assert store.xattrs("copy") == {"key": b"value"}


def test_holes_stay_holes(tmp_path: Path, store: LocalProvider) -> None:
    """Copy and modify of a file of 1 GiB with two small islands take little space."""
    with (tmp_path / "file").open("wb") as file:
        file.seek(500 * _MIB)
        file.write(b"island")
        file.seek(1024 * _MIB - 4)
        file.write(b"tail")
        file.truncate(1024 * _MIB + 4096)
    store.copy("file", "copy")
    with store.modify("file") as writer:
        writer.write_at(10, b"start")
        writer.commit()
    for name in ("copy", "file"):
        status = (tmp_path / name).stat()
        assert (status.st_size, status.st_blocks < 200) == (1024 * _MIB + 4096, True)
        with store.open(name) as reader:
            assert reader.read_at(500 * _MIB - 2, 10) == b"\0\0island\0\0"
            assert reader.read_at(1024 * _MIB - 4, 5) == b"tail\0"
            assert reader.read_at(10, 5) == (b"start" if name == "file" else b"\0" * 5)


def test_clone_between_disks(tmp_path: Path) -> None:
    """Where the kernel cannot copy, the bytes are read and written, holes left out."""
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own")
    with tempfile.TemporaryFile(dir="/dev/shm") as source, (tmp_path / "t").open("w+b") as target:
        source.seek(50 * _MIB)
        source.write(b"data" * 1_000_000)
        source.flush()
        size = os.fstat(source.fileno()).st_size
        linux.clone(source.fileno(), target.fileno(), size)
        status = os.fstat(target.fileno())
        assert (status.st_size, status.st_blocks * 512 < 8 * _MIB) == (size, True)
        target.seek(50 * _MIB)
        assert target.read() == b"data" * 1_000_000


@pytest.mark.parametrize("rename", [linux.rename_new, linux.rename_new_portably])
def test_rename_new_replaces_nothing(
    tmp_path: Path, rename: Callable[[int, str, int, str], None]
) -> None:
    """With RENAME_NOREPLACE or without, a file or folder moves only where nothing stands."""
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        for make in (Path.touch, Path.mkdir):
            make(tmp_path / "source")
            (tmp_path / "taken").mkdir()
            with pytest.raises(FileExistsError):
                rename(folder, "source", folder, "taken")
            (tmp_path / "taken").rmdir()
            rename(folder, "source", folder, "target")
            assert names(tmp_path) == ["target"]
            if make is Path.mkdir:
                with pytest.raises(OSError, match="Invalid argument"):
                    rename(folder, "target", folder, "target/below")
                assert names(tmp_path / "target") == []
            else:
                (tmp_path / "target").unlink()
    finally:
        os.close(folder)


def test_a_rename_between_two_links_of_a_file(tmp_path: Path, store: LocalProvider) -> None:
    """The old name goes although both names are one file, which Linux takes for done."""
    put(store, "file", b"data")
    (tmp_path / "link").hardlink_to(tmp_path / "file")
    store.rename("file", "link", overwrite=True)
    assert names(tmp_path) == ["link"]


def test_commit_follows_its_folder(tmp_path: Path, store: LocalProvider) -> None:
    """Another folder that takes the parent's name meanwhile gets nothing; the parent does."""
    store.mkdir("folder")
    with store.create("folder/file") as writer:
        writer.write(b"data")
        (tmp_path / "folder").rename(tmp_path / "moved")
        (tmp_path / "folder").mkdir()
        writer.commit()
    assert (names(tmp_path / "folder"), names(tmp_path / "moved")) == ([], ["file"])


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_parent_that_is_removed(tmp_path: Path, store: LocalProvider, *, overwrite: bool) -> None:
    """A commit whose folder is gone raises NotFound and leaves nothing, no descriptor either."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    store.mkdir("folder")
    with store.create("folder/file", overwrite=overwrite) as writer:
        writer.write(b"data")
        (temporary,) = (tmp_path / "folder").iterdir()
        temporary.unlink()
        (tmp_path / "folder").rmdir()
        with pytest.raises(NotFound, match="its folder was removed"):
            writer.commit()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1  # the root's own
    assert names(tmp_path) == []


def test_a_full_disk(full: LocalProvider, tmp_path: Path) -> None:
    """A write that does not fit raises NoSpace; the old file stays and the space comes back."""
    put(full, "file", b"old")
    with full.create("file") as writer:
        writer.write(bytes(500_000))
        with pytest.raises(NoSpace):
            writer.write(bytes(2_000_000))
    assert names(tmp_path / "small") == ["file"]
    assert (tmp_path / "small" / "file").read_bytes() == b"old"
    with pytest.raises(NoSpace, match="2000000 bytes are announced"):
        full.create("other", size_hint=2_000_000)
    assert names(tmp_path / "small") == ["file"]
    assert put(full, "file", bytes(900_000))
    with pytest.raises(NoSpace):
        full.copy("file", "copy")
    assert names(tmp_path / "small") == ["file"]


def test_long_names(store: LocalProvider) -> None:
    """A name over 255 bytes, and a path over 4096, are told at once, by every operation."""
    for path in ("n" * 256, "\u00e4" * 128, "folder/" + "n" * 256, "f/" * 3000 + "f"):
        for operation in (store.stat, store.open, store.create, store.mkdir, store.remove):
            with pytest.raises((InvalidPath, NotFound)) as caught:
                operation(path)
            assert caught.type is InvalidPath or path.startswith("folder")
    assert put(store, "n" * 255, b"data")


def test_a_folder_without_rights() -> None:
    """Where the account has no right, every operation raises Denied and health names the cure."""
    if os.geteuid() != 0:
        pytest.skip("giving up rights in a child process needs root")
    code = """if True:
        import os, sys
        from pathlib import Path
        from providers.errors import Denied
        from providers.local import LocalOptions, LocalProvider
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        store = LocalProvider(LocalOptions(root=Path(sys.argv[1])))
        def denied(work):
            try:
                work()
            except Denied as error:
                return str(error)
            raise SystemExit("not denied")
        denied(lambda: store.open("private"))
        denied(lambda: store.create("new"))
        denied(lambda: store.create("private"))
        denied(lambda: store.mkdir("new"))
        denied(lambda: store.remove("private"))
        denied(lambda: store.rename("private", "new"))
        denied(lambda: store.set_mtime("private", 0))
        denied(lambda: store.stat("locked/file"))
        denied(lambda: next(store.scandir("locked")))
        print(denied(store.health))
        LocalProvider(LocalOptions(root=Path(sys.argv[1]), writable=False)).health()
        locked = LocalProvider(LocalOptions(root=Path(sys.argv[1]) / "locked"))
        print(denied(locked.health))
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "private").write_bytes(b"data")
        (root / "private").chmod(0o600)
        (root / "locked").mkdir(mode=0o700)
        result = subprocess.run(
            [sys.executable, "-c", code, name],
            env={**os.environ, "PYTHONPATH": str(_TREE)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert "may not write" in result.stdout
        assert "may not read" in result.stdout
        assert names(root) == ["locked", "private"]


def test_an_attribute_name_that_cannot_be(store: LocalProvider) -> None:
    """A wrong attribute name raises InvalidPath that names it; those before it are set."""
    if not store.capabilities.xattrs:
        pytest.skip("the file system below the test's folder has no extended attributes")
    put(store, "file", b"data")
    for name in ("", "n" * 300, "a\0b", "\ud800"):
        with pytest.raises(InvalidPath, match="attribute name"):
            store.set_xattrs("file", {"first": b"1", name: b"2"})
    assert store.xattrs("file") == {"first": b"1"}
    with pytest.raises((NoSpace, InvalidPath)):
        store.set_xattrs("file", {"large": bytes(1 << 20)})


def test_durable_commits(tmp_path: Path) -> None:
    """With `durable` every change works as without."""
    store = LocalProvider(LocalOptions(root=tmp_path, durable=True))
    put(store, "file", b"data")
    store.mkdir("folder")
    store.rename("file", "folder/file")
    store.copy("folder/file", "folder/copy")
    store.remove("folder/copy")
    assert names(tmp_path / "folder") == ["file"]
    store.close()


def test_what_stays_out_of_reach(store: LocalProvider) -> None:
    """A name of the gateway's own is no path, and the root cannot be removed."""
    with pytest.raises(InvalidPath):
        store.create(".headgate-tmp-mine")
    with pytest.raises(Denied):
        store.rmdir("")


@pytest.mark.usefixtures("full")
def test_who_must_not_wait_asks_no_other_file_system(store: LocalProvider, tmp_path: Path) -> None:
    """One that is mounted below the root may be of another machine, which does not answer."""
    store.health()
    (tmp_path / "small" / "file").write_bytes(b"")
    for path, leaf in (("small", IsADirectory), ("small/new", None), ("small/file", None)):
        waiting.refuse()
        try:
            with pytest.raises(waiting.WouldWait):
                store.create(path)
        finally:
            waiting.allow()
        if leaf is None:
            store.create(path).abort()
        else:
            with pytest.raises(leaf):
                store.create(path)
    assert names(tmp_path / "small") == ["file"]
