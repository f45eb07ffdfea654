"""Kill -9 of a gateway that reads and writes back: no wrong byte, no lost write, a quick start."""

import http.client
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.uploader import LONGEST_RETRY_SECONDS
from tests.e2e import wire
from tests.e2e.site_load import SIZE, Worker, content
from tests.e2e.sites import CACHED, WRITE, Site
from tests.servers.target import Target

pytestmark = [
    pytest.mark.server("sshd"),
    pytest.mark.server("ssh"),
    pytest.mark.xdist_group("sites"),
]

OLD_SECOND = 1_600_000_000
START_SECONDS = 2.0
TRIES = 3
FILES = 60
SPARSE_FILES = 400
SPARSE_BYTES = 256 << 20


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


class Reader(threading.Thread):
    """Reads files that nobody changes, whole and in part. Read the attributes after the end."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.read = 0
        self.wrong: list[str] = []
        self._target = target
        self._chance = random.Random(7)
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            name = f"still{self._chance.randrange(FILES)}"
            offset = self._chance.choice((0, self._chance.randrange(SIZE)))
            try:
                answer = wire.ask(self._target, "GET", name, Range=f"bytes={offset}-")
            except (OSError, http.client.HTTPException, wire.Fault):
                time.sleep(0.02)  # killed under it, which is the point
                continue
            if answer.status == 206:
                self.read += 1
                if answer.body != content(name, 0)[offset:]:
                    self.wrong.append(f"{name} from {offset}")

    def end(self) -> None:
        """Stop after the read under way."""
        self._ended.set()
        self.join(60)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_during_reads_and_write_back(site: Site, kills: int) -> None:
    for number in range(FILES):
        file = site.root(CACHED) / f"still{number}"
        file.write_bytes(content(file.name, 0))
        os.utime(file, (OLD_SECOND, OLD_SECOND))
    writers = [Worker(site.target(WRITE), f"f{number}") for number in range(3)]
    readers = [Reader(site.target(CACHED)) for _ in range(2)]
    chance = random.Random(kills)
    starts = []
    for thread in (*writers, *readers):
        thread.start()
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0.2, 0.8))
            starts.append(site.kill_gateway())
        time.sleep(0.5)
    finally:
        for worker in writers:
            worker.end()
        for reader in readers:
            reader.end()
    # A site whose logins took too long is left alone for longer and longer: on a busy machine.
    end = time.monotonic() + 4 * LONGEST_RETRY_SECONDS
    for worker in writers:
        assert worker.look()
        assert not worker.wrong
        file = site.root(WRITE) / worker.file
        wanted = [content(worker.file, one) for one in worker.possible]
        while not file.exists() or file.read_bytes() not in wanted:
            assert time.monotonic() < end, f"{worker.file} has not arrived"
            time.sleep(0.1)
    # Whatever was on its way has arrived under its own name alone.
    names = {file.name for file in site.root(WRITE).iterdir() if not file.name.startswith(".")}
    assert names == {worker.file for worker in writers}
    for reader in readers:
        assert not reader.wrong
    told = sum(worker.acknowledged for worker in writers), sum(reader.read for reader in readers)
    assert min(told) > kills
    print(
        f"{kills} kills: {told[0]} writes acknowledged, {told[1]} reads, none wrong;"
        f" the slowest start took {max(starts):.2f} s"
    )


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_start_with_a_large_cache(site: Site) -> None:
    """100 GB of sparse files in the cache do not hold up a start after a kill."""
    target = site.target(CACHED)
    plain = min(site.kill_gateway() for _ in range(TRIES))
    for number in range(SPARSE_FILES):
        file = site.root(CACHED) / f"sparse{number}"
        with file.open("wb") as opened:
            opened.truncate(SPARSE_BYTES)
        os.utime(file, (OLD_SECOND, OLD_SECOND))
    with wire.keep(target) as connection:
        for number in range(SPARSE_FILES):
            middle = f"bytes={SPARSE_BYTES // 2}-{SPARSE_BYTES // 2 + 99}"
            answer = wire.send(connection, target, "GET", f"sparse{number}", Range=middle)
            assert answer.body == bytes(100)
    kept = [file for file in (site.folder / "cache").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in kept) > 100_000_000_000
    seconds = min(site.kill_gateway() for _ in range(TRIES))
    print(f"started in {seconds:.2f} s with {len(kept)} files in the cache, {plain:.2f} s without")
    # A machine that is busy with other things starts nothing in time, with a cache or without.
    assert seconds < max(START_SECONDS, 1.5 * plain)
    assert wire.ask(target, "GET", "sparse7", Range="bytes=5-9").body == bytes(5)
