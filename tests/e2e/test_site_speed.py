"""What the gateway takes of the speed of an SFTP site."""

import contextlib
import http.client
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from providers.sftp import SftpProvider
from tests.servers import headgate, sshd
from tests.servers.target import Target

pytestmark = [
    pytest.mark.server("sshd"),
    pytest.mark.server("ssh"),
    pytest.mark.bench,
    pytest.mark.timeout(600),
]

MIB = 1 << 20
SIZE = 64 * MIB
ROUNDS = 7
# What takes 50 ms varies by a fifth from round to round.
CACHED_ROUNDS = 31
# What a shared machine may take by chance; a gateway that is slower by design fails every time.
TRIES = 3
# What is wanted is 0.8, of a cached file 0.95: the medians that are printed tell it. These guards
# are on the quickest rounds, and leave room for a machine that does other things beside.
LEAST = 0.6
# Below what is wanted: a cold read also sums every byte and writes it to the cache. This notices
# when it gets worse; by the quickest rounds 0.53 to 0.94 was seen, by medians 0.47 to 0.87.
LEAST_COLD = 0.45
# A local file of 64 MiB takes 12 ms now that loopback is not paced, so that the 0.5 ms to find a
# cached one count, and how the kernel lays the pages of either: 0.77 to 0.92 was seen by the best.
LEAST_CACHED = 0.65
OLD_SECOND = 1_600_000_000


class Bench:
    """One provider of a site, and a gateway with the same site raw and cached. All is fixed."""

    def __init__(self, folder: Path, server: sshd.Sshd) -> None:
        self.root = server.directory / "files"
        self.kept = folder / "files"
        self.block = os.urandom(MIB)
        options: dict[str, object] = {
            "host": "127.0.0.1",
            "port": server.target.port,
            "user": server.target.user,
            "root": str(self.root),
            "known_hosts": str(server.known_hosts),
            "key_file": str(server.key),
        }
        self.provider = SftpProvider(server.options())
        table: dict[str, object] = {"provider": "sftp", **options}
        mounts: dict[str, dict[str, object]] = {
            "raw": {**table, "cache": "off"},
            "cached": table,
            "local": {"provider": "local", "root": str(self.kept)},
        }
        self.gateway = headgate.launch(folder, mounts=mounts)

    def close(self) -> None:
        """End all."""
        self.gateway.stop()
        self.provider.close()

    def target(self, mount: str) -> Target:
        """Return a mount at the gateway."""
        return self.gateway.target.beneath(mount)

    def make(self, file: Path) -> None:
        """Make a file that the cache may keep."""
        with file.open("wb") as opened:
            for _ in range(SIZE // MIB):
                opened.write(self.block)
        os.utime(file, (OLD_SECOND, OLD_SECOND))

    def read(self, name: str) -> None:
        """Read a file by the provider."""
        count = 0
        with self.provider.open(name) as reader:
            while block := reader.read_at(count, MIB):
                count += len(block)
        assert count == SIZE

    def write(self, name: str) -> None:
        """Write a file by the provider."""
        with self.provider.create(name) as writer:
            for _ in range(SIZE // MIB):
                writer.write(self.block)
            writer.commit()

    def get(self, mount: str, name: str) -> None:
        """Read a file through the gateway."""
        target, buffer, count = self.target(mount), bytearray(MIB), 0
        with self._connection(target) as connection:
            connection.request("GET", target.path(name))
            answer = connection.getresponse()
            while size := answer.readinto(buffer):
                count += size
        assert count == SIZE

    def put(self, mount: str, name: str) -> None:
        """Write a file through the gateway."""
        target = self.target(mount)
        with self._connection(target) as connection:
            blocks = (self.block for _ in range(SIZE // MIB))
            connection.request("PUT", target.path(name), blocks, {"Content-Length": str(SIZE)})
            assert connection.getresponse().status in {201, 204}

    def _connection(self, target: Target) -> contextlib.closing[http.client.HTTPConnection]:
        return contextlib.closing(http.client.HTTPConnection(target.host, target.port, timeout=30))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with (
        sshd.launch(tmp_path / "sshd") as server,
        contextlib.closing(Bench(tmp_path, server)) as bench,
    ):
        yield bench


Ways = dict[str, Callable[[str], None]]


def _seconds(ways: Ways, name: str, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round of each way; they take turns. The first does not count."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    turns = list(ways)
    for number in range(rounds + 1):
        turns.append(turns.pop(0))  # none is always behind the same one
        for way in turns:
            began = time.perf_counter()
            ways[way](f"{name}{number}")
            if number:
                taken[way].append(time.perf_counter() - began)
    return taken


def _at_least(
    ways: Ways,
    base: str,
    least: dict[str, float],
    before: Callable[[str], None],
    rounds: int = ROUNDS,
) -> None:
    """Each way reaches its part of the speed of `base`, by the quickest rounds of TRIES runs."""
    best: dict[str, float] = {}
    for attempt in range(TRIES):
        before(f"try{attempt}-")
        taken = _seconds(ways, f"try{attempt}-", rounds)
        for way, seconds in taken.items():
            median = statistics.median(seconds)
            ratio = statistics.median(taken[base]) / median
            quickest = min(taken[base]) / min(seconds)
            best[way] = max(best.get(way, 0), ratio, quickest)
            rate = SIZE / MIB / median
            print(f"{way}: median {rate:.0f} MiB/s ({ratio:.2f}); quickest {quickest:.2f}")
        if all(best[way] >= wanted for way, wanted in least.items()):
            return
    pytest.fail(f"not {least} of the speed of {base}, but {best}")


def test_get_is_nearly_as_fast_as_the_provider(bench: Bench) -> None:
    """Raw, and with a cache that has nothing of the file."""

    def make(name: str) -> None:
        first = bench.root / f"{name}0"
        bench.make(first)
        for number in range(1, ROUNDS + 1):
            (bench.root / f"{name}{number}").hardlink_to(first)

    ways = {
        "provider": bench.read,
        "raw": lambda name: bench.get("raw", name),
        "cached": lambda name: bench.get("cached", name),
    }
    _at_least(ways, "provider", {"raw": LEAST, "cached": LEAST_COLD}, make)


def test_put_is_nearly_as_fast_as_the_provider(bench: Bench) -> None:
    ways = {
        "provider": lambda name: bench.write(f"provider-{name}"),
        "raw": lambda name: bench.put("raw", f"raw-{name}"),
        "cached": lambda name: bench.put("cached", f"cached-{name}"),
    }

    def forget(_: str) -> None:
        for file in bench.root.iterdir():
            file.unlink()

    _at_least(ways, "provider", {"raw": LEAST, "cached": LEAST}, forget)


def test_a_cached_get_is_as_fast_as_a_local_one(bench: Bench) -> None:
    """A file that is all in the cache."""
    for folder in (bench.root, bench.kept):
        bench.make(folder / "f")
    ways: Ways = {
        "cached": lambda _: bench.get("cached", "f"),
        "local": lambda _: bench.get("local", "f"),
    }
    _at_least(ways, "local", {"cached": LEAST_CACHED}, lambda _: None, CACHED_ROUNDS)
