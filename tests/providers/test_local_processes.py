"""What holds when several processes share a folder, and when one of them dies."""

import fcntl
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from providers.errors import TimedOut
from providers.local import LocalOptions, LocalProvider

_HERE = Path(__file__).parent
_KILLS = 150
_RACES = 40


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalProvider]:
    store = LocalProvider(LocalOptions(root=tmp_path))
    yield store
    store.close()


@contextmanager
def program(name: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, _HERE / name, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_HERE.parents[1])},
    )
    with process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=20)


def ask(process: "subprocess.Popen[str]", line: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def temporaries(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".headgate-*")]


def test_kill_leaves_old_or_new(tmp_path: Path, store: LocalProvider) -> None:
    """A writer killed at any moment leaves one whole content and no visible temporary."""
    file = tmp_path / "file"
    file.write_bytes(hashlib.sha256(b"").digest())
    chance = random.Random(7)
    seen = set()
    with program("rewriter.py", tmp_path) as nursery:
        for seed in range(_KILLS):
            child = int(ask(nursery, str(seed)))
            time.sleep(chance.uniform(0, 0.02))
            os.kill(child, signal.SIGKILL)
            data = file.read_bytes()
            assert hashlib.sha256(data[32:]).digest() == data[:32]
            assert [entry.name for entry in store.scandir("")] == ["file"]
            seen.add(data[:32])
    left = temporaries(tmp_path)
    assert len(seen) > _KILLS // 4, "the kills came too early to prove anything"
    assert len(left) > _KILLS // 15, "the kills hit too few writers in the midst of their work"
    assert store.sweep(older_than_seconds=3600) == 0
    assert store.sweep(older_than_seconds=0) == len(left)
    assert temporaries(tmp_path) == []


def test_expect_has_one_winner_among_processes(tmp_path: Path, store: LocalProvider) -> None:
    """Of processes that commit over the same version just one succeeds, each time."""
    (tmp_path / "file").write_bytes(b"start")
    with ExitStack() as running:
        rivals = [
            running.enter_context(program("contender.py", tmp_path, number)) for number in range(3)
        ]
        winners = set()
        for _ in range(_RACES):
            version = store.stat("file").version
            for rival in rivals:
                assert ask(rival, version) == "ready"
            for rival in rivals:
                assert rival.stdin is not None
                rival.stdin.write("\n")
                rival.stdin.flush()
            answers = [rival.stdout.readline().strip() for rival in rivals if rival.stdout]
            assert sorted(answers)[-2:] == ["changed", "changed"]
            (winner,) = (index for index, answer in enumerate(answers) if answer != "changed")
            assert answers[winner] == store.stat("file").version
            assert (tmp_path / "file").read_bytes() == str(winner).encode()
            winners.add(winner)
    assert len(winners) > 1, "there was no race"


def test_sweep_spares_a_living_writer(tmp_path: Path, store: LocalProvider) -> None:
    """A temporary stays while its writer lives, in this process or another, however old."""
    (tmp_path / "file").write_bytes(b"start")
    with program("contender.py", tmp_path, 1) as other, store.create("mine") as writer:
        assert ask(other, store.stat("file").version) == "ready"
        assert len(temporaries(tmp_path)) == 2
        for name in temporaries(tmp_path):
            os.utime(tmp_path / name, (0, 0))
        assert store.sweep(older_than_seconds=0) == 0
        writer.write(b"data")
        writer.commit()
        assert ask(other, "") == store.stat("file").version
    assert temporaries(tmp_path) == []


def test_sweep_reaches_below(tmp_path: Path, store: LocalProvider) -> None:
    """Dead temporaries go in every folder; other reserved names, links and files stay."""
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a" / "link").symlink_to(tmp_path / "elsewhere")
    for folder in (tmp_path, deep, tmp_path / "elsewhere"):
        (folder / ".headgate-tmp-dead").write_bytes(b"half")
        (folder / ".headgate-journal").write_bytes(b"kept")
        (folder / "file").write_bytes(b"kept")
    os.mkfifo(deep / ".headgate-tmp-fifo")
    assert store.sweep(older_than_seconds=-1) == 3
    assert sorted(path.name for path in deep.iterdir()) == [
        ".headgate-journal",
        ".headgate-tmp-fifo",
        "file",
    ]


def test_rmdir_sweeps_the_dead_only(tmp_path: Path, store: LocalProvider) -> None:
    """What a dead writer left does not keep a folder; a living writer does."""
    store.mkdir("folder")
    (tmp_path / "folder" / ".headgate-tmp-dead").write_bytes(b"half")
    store.rmdir("folder")
    assert not (tmp_path / "folder").exists()
    store.mkdir("folder")
    with store.create("folder/file") as writer:
        with pytest.raises(OSError, match=r"not empty.*hidden"):
            store.rmdir("folder")
        writer.write(b"data")
        writer.commit()
    assert (tmp_path / "folder" / "file").read_bytes() == b"data"


def test_a_foreign_lock_is_not_waited_for_without_end(
    tmp_path: Path, store: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that keeps the folder locked delays a commit, then fails it; nothing is lost."""
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        monkeypatch.setattr("providers.folderlock._PATIENCE_SECONDS", 0.1)
        with store.create("file") as writer, pytest.raises(TimedOut, match="another program"):
            writer.commit()
        assert list(tmp_path.iterdir()) == []
        monkeypatch.setattr("providers.folderlock._PATIENCE_SECONDS", 20)
        ending = threading.Timer(0.2, fcntl.flock, (folder, fcntl.LOCK_UN))
        ending.start()
        with store.create("file") as writer:
            writer.commit()
        ending.join()
        assert (tmp_path / "file").exists()
    finally:
        os.close(folder)
