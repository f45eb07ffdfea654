"""Nothing outside the root is read, listed or written, while folders turn into links and back."""

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from providers import linux
from providers.errors import Denied, NotADirectory, StorageError
from providers.local import LocalOptions, LocalProvider

_ROUNDS = 10_000
_SECRET = b"the secret"
_EXCHANGE = 2
_AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(params=["openat2", "walk"])
def walk(request: pytest.FixtureRequest) -> bool:
    if request.param == "openat2" and not linux.has_openat2():
        pytest.skip("the kernel has no openat2 (Linux 5.6), or a sandbox forbids it")
    return bool(request.param == "walk")


@pytest.fixture(params=["refuse", "inside"])
def symlinks(request: pytest.FixtureRequest) -> Literal["refuse", "inside"]:
    return "refuse" if request.param == "refuse" else "inside"


@pytest.fixture(params=["absolute", "relative"])
def swapped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Yield a root in which "folder/inner" leads out, every other moment."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    inner = root / "folder" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"public")
    outside.mkdir()
    (outside / "file").write_bytes(_SECRET)
    (outside / "hidden").write_bytes(_SECRET)
    dated = (outside / "file").stat().st_mtime_ns
    link = root / "folder" / ".headgate-link"
    link.symlink_to(outside if request.param == "absolute" else "../../outside")
    paths = os.fsencode(inner), os.fsencode(link)
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            _libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _EXCHANGE)

    attacker = threading.Thread(target=swap)
    attacker.start()
    yield root
    ended.set()
    attacker.join()
    assert (outside / "file").stat().st_mtime_ns == dated, "touched outside"
    assert {path.name for path in outside.iterdir()} == {"file", "hidden"}, "written outside"
    assert (outside / "file").read_bytes() == _SECRET, "overwritten outside"


def count(work: Callable[[], None]) -> tuple[int, int]:
    """Return how often `work` went through and how often it was refused."""
    done = refused = 0
    for _ in range(_ROUNDS):
        try:
            work()
        # A folder that turns into a link between two steps of the walk is no folder any more.
        except (Denied, NotADirectory):
            refused += 1
        else:
            done += 1
    return done, refused


@pytest.fixture
def store(
    swapped: Path, symlinks: Literal["refuse", "inside"], *, walk: bool
) -> Iterator[LocalProvider]:
    store = LocalProvider(LocalOptions(root=swapped, symlinks=symlinks), walk=walk)
    yield store
    store.close()


def test_the_attack_works_on_a_plain_path(swapped: Path) -> None:
    """Opening by the plain path does read the secret, so that the other tests can fail."""
    seen = set()
    for _ in range(_ROUNDS):
        with contextlib.suppress(OSError):
            seen.add((swapped / "folder/inner/file").read_bytes())
    assert seen == {b"public", _SECRET}


def test_stat_stays_inside(store: LocalProvider) -> None:
    """Ten thousand looks never tell of a file outside."""

    def stat() -> None:
        assert store.stat("folder/inner/file").size == 6, "told of the public file alone"
        assert store.stat("folder/inner").is_folder

    assert all(count(stat))


def test_open_stays_inside(store: LocalProvider) -> None:
    """Ten thousand readers never read the secret."""

    def read() -> None:
        with store.open("folder/inner/file") as reader:
            assert reader.read_at(0, 100) == b"public", "the secret was read"

    assert all(count(read))


def test_listing_stays_inside(store: LocalProvider) -> None:
    """Ten thousand listings never name what lies outside."""

    def listing() -> None:
        assert [entry.name for entry in store.scandir("folder/inner")] == ["file"]

    assert all(count(listing))


def test_create_stays_inside(store: LocalProvider) -> None:
    """Ten thousand writers never put a file outside."""

    def create() -> None:
        with store.create("folder/inner/new") as writer:
            writer.write(b"new")
            writer.commit()

    assert all(count(create))


def test_changes_stay_inside(store: LocalProvider) -> None:
    """Operations of several steps never change anything outside, whatever they come to."""
    steps: list[Callable[[], object]] = [
        lambda: store.copy("folder/inner/file", "folder/inner/copy", overwrite=True),
        lambda: store.rename("folder/inner/copy", "folder/inner/renamed", overwrite=True),
        lambda: store.set_mtime("folder/inner/renamed", 5),
        lambda: store.set_xattrs("folder/inner/renamed", {"key": b"value"}),
        lambda: store.remove("folder/inner/renamed"),
        lambda: store.remove("folder/inner/hidden"),
        lambda: store.mkdir("folder/inner/made"),
        lambda: store.rmdir("folder/inner/made"),
    ]
    done = 0
    for _ in range(_ROUNDS // 10):
        for step in steps:
            with contextlib.suppress(StorageError):
                step()
                done += 1
    assert done
