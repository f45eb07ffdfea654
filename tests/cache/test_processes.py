"""Processes: several share a folder; each may be killed at any moment."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cache.blocks import BlockCache
from tests.cache.origin import never
from tests.cache.reader import BLOCK_BYTES, DATA, KEY, SIZE, quiet


@contextmanager
def program(folder: Path, mode: str, seed: int, threads: int) -> Iterator[subprocess.Popen[str]]:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "tests.cache.reader", str(folder), mode, str(seed)]
    with subprocess.Popen(
        [*command, str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_sixteen_threads_of_two_processes_fetch_each_block_once(tmp_path: Path) -> None:
    with program(tmp_path, "once", 0, 16) as one, program(tmp_path, "once", 16, 16) as two:
        go(one)
        go(two)
        lines = [process.communicate(timeout=60)[0].split("\n") for process in (one, two)]
        assert (one.returncode, two.returncode) == (0, 0)
    fetched = [tuple(map(int, line.split())) for answer in lines for line in answer if line]
    assert all(len(answer) > 1 for answer in lines), "both took part"
    blocks = [
        block
        for offset, size in fetched
        for block in range(offset // BLOCK_BYTES, -(-(offset + size) // BLOCK_BYTES))
    ]
    assert sorted(blocks) == list(range(-(-SIZE // BLOCK_BYTES)))


def test_a_fetcher_that_is_killed_holds_nobody_up(
    tmp_path: Path, make: Callable[..., BlockCache]
) -> None:
    """Its locks die with it: the next reader has the block at once."""
    with program(tmp_path, "once", 0, 16) as one:
        go(one)
        assert one.stdout is not None
        one.stdout.readline()
        one.kill()
        one.wait()
    began = time.monotonic()
    cache = make(folder=tmp_path, block_bytes=BLOCK_BYTES)
    with cache.open(KEY, SIZE) as file:
        assert file.read_at(0, SIZE, quiet) == DATA
    assert time.monotonic() - began < 3


def test_every_byte_is_right_after_fifty_kills(
    tmp_path: Path, make: Callable[..., BlockCache]
) -> None:
    """Two programs read and write the same file; one is killed with -9 again and again."""
    chance = random.Random(7)
    found = []
    with program(tmp_path, "forever", 1000, 1) as steady:
        go(steady)
        for number in range(50):
            # Begin with nothing, so that each kill meets writes.
            for place in (tmp_path / "blocks").rglob("*-*"):
                place.unlink()
            with program(tmp_path, "forever", number, 2) as process:
                go(process)
                time.sleep(chance.random() * 0.03)
                process.send_signal(signal.SIGKILL)
                assert process.stdout is not None
                assert "WRONG" not in process.stdout.read()
            # Now as in the same run of the machine, now as after a restart of it.
            boot = f"boot {number}" if number % 2 else None
            judge = make(folder=tmp_path, block_bytes=BLOCK_BYTES, boot=boot)
            found.append(check(judge))
            assert judge.stat().mounts["m"].get("torn_blocks", 0) == 0
            judge.close()
        assert steady.poll() is None, "the other process reads right bytes all the time"
    assert len(set(found)) > 5, "the kills met files in different states"


def check(cache: BlockCache) -> int:
    """Compare every byte that is said to be present; return how many there were."""
    right = 0
    with cache.open(KEY, SIZE) as file:
        for offset in range(0, SIZE, BLOCK_BYTES):
            size = min(BLOCK_BYTES, SIZE - offset)
            if file.span(offset, size) == size:
                assert file.read_at(offset, size, never) == DATA[offset : offset + size]
                right += size
        assert file.read_at(0, SIZE, quiet) == DATA
    return right


def test_a_stopped_fetcher_is_waited_for_only_so_long(
    tmp_path: Path, make: Callable[..., BlockCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.single._PATIENCE_SECONDS", 0.3)
    with program(tmp_path, "once", 0, 16) as one:
        go(one)
        assert one.stdout is not None
        one.stdout.readline()
        one.send_signal(signal.SIGSTOP)
        cache = make(folder=tmp_path, block_bytes=BLOCK_BYTES)
        began = time.monotonic()
        with cache.open(KEY, SIZE) as file:
            assert b"".join(file.stream(0, SIZE, quiet)) == DATA
        assert time.monotonic() - began < 60
