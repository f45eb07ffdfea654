"""Races: many threads at once, and no wrong byte."""

import random
import threading
import time

import pytest

from providers.base import Provider
from providers.errors import AlreadyExists, Changed, NotFound
from providers.testing.content import is_whole, signed
from providers.testing.harness import Harness, get, names, needs, put, together

_ROUNDS = 15


class Races(Harness):
    """Proves the promises between threads."""

    def test_one_reader_serves_many_threads(self, provider: Provider) -> None:
        """Threads read one reader at once, each what it asked for."""
        data = signed(1_000_000)
        self.put_raw("file", data)
        with provider.open("file") as reader:

            def work(seed: int) -> bool:
                chance = random.Random(seed)
                for _ in range(50):
                    offset, size = chance.randrange(1_000_000), chance.randrange(100_000)
                    assert reader.read_at(offset, size) == data[offset : offset + size]
                return True

            assert together(self.threads, work) == [True] * self.threads

    def test_the_last_of_many_writers_wins_wholly(self, provider: Provider) -> None:
        """Writers of one path at once leave the content of just one of them."""
        needs(provider, "create")
        contents = [signed(200_000 + seed, seed) for seed in range(self.threads)]

        def work(number: int) -> str:
            data = contents[number]
            with provider.create("file") as writer:
                for offset in range(0, len(data), 50_000):
                    writer.write(data[offset : offset + 50_000])
                return writer.commit().version

        versions = together(self.threads, work)
        assert len(set(versions)) == self.threads
        assert provider.stat("file").version in versions
        assert self.get_raw("file") in contents
        assert get(provider, "file") in contents
        assert names(provider) == {"file"}

    @pytest.mark.parametrize("late", [False, True], ids=["from-create", "at-commit"])
    def test_exclusive_create(self, provider: Provider, *, late: bool) -> None:
        """Of many writers with overwrite=False exactly one wins, each round."""
        needs(provider, "create", "exclusive_create")
        for turn in range(_ROUNDS):
            path = f"file{turn}"
            gate = threading.Barrier(self.threads)

            def work(number: int, path: str = path, gate: threading.Barrier = gate) -> int:
                with provider.create(path, overwrite=False) as writer:
                    writer.write(b"%d" % number)
                    if late:
                        gate.wait(timeout=30)
                    writer.commit()
                    return number

            results = together(self.threads, work)
            winners = [result for result in results if isinstance(result, int)]
            losers = [result for result in results if not isinstance(result, int)]
            assert len(winners) == 1
            assert all(isinstance(loser, AlreadyExists) for loser in losers)
            assert self.get_raw(path) == b"%d" % winners[0]

    @pytest.mark.parametrize("late", [False, True], ids=["from-create", "at-commit"])
    def test_conditional_create(self, provider: Provider, *, late: bool) -> None:
        """Of many writers that expect one version exactly one wins, each round."""
        needs(provider, "create", "conditional_create")
        version = put(provider, "file", b"start")
        for _ in range(_ROUNDS):
            gate = threading.Barrier(self.threads)

            def work(number: int, version: str = version, gate: threading.Barrier = gate) -> int:
                with provider.create("file", expect=version) as writer:
                    writer.write(b"%d" % number)
                    if late:
                        gate.wait(timeout=30)
                    writer.commit()
                    return number

            results = together(self.threads, work)
            winners = [result for result in results if isinstance(result, int)]
            losers = [result for result in results if not isinstance(result, int)]
            assert len(winners) == 1
            assert all(isinstance(loser, Changed) for loser in losers)
            assert self.get_raw("file") == b"%d" % winners[0]
            version = provider.stat("file").version

    def test_no_update_is_lost(self, provider: Provider) -> None:
        """Threads that count up by `expect`, again after Changed, lose no step."""
        needs(provider, "create", "conditional_create")
        put(provider, "counter", b"0")

        def work(_number: int) -> int:
            done = 0
            while done < _ROUNDS:
                try:
                    with provider.open("counter") as reader:
                        value = int(reader.read_at(0, 100))
                        put(provider, "counter", b"%d" % (value + 1), expect=reader.entry.version)
                    done += 1
                except Changed:
                    continue
            return done

        assert together(4, work) == [_ROUNDS] * 4
        assert self.get_raw("counter") == b"%d" % (4 * _ROUNDS)

    def test_readers_while_a_file_is_replaced(self, provider: Provider) -> None:
        """Every read of a file that is replaced all the time is of one version or Changed."""
        needs(provider, "create")
        contents = [signed(300_000, seed) for seed in range(5)]
        put(provider, "file", contents[0])
        finished: list[int] = []

        def replace_until_all_have_read() -> None:
            deadline = time.monotonic() + 60
            while len(finished) < 3 and time.monotonic() < deadline:
                for data in contents:
                    put(provider, "file", data)

        def read() -> None:
            for _ in range(_ROUNDS):
                with provider.open("file") as reader:
                    pieces = []
                    try:
                        for offset in range(0, 300_000, 50_000):
                            pieces.append(reader.read_at(offset, 50_000))
                            time.sleep(0.001)  # lets the other thread come in between
                    except Changed:
                        continue
                assert is_whole(b"".join(pieces)), "a read mixed two versions"

        def work(number: int) -> bool:
            if number == 0:
                replace_until_all_have_read()
                return True
            try:
                read()
            finally:
                finished.append(number)
            return True

        assert together(4, work) == [True] * 4

    def test_everything_at_once(self, provider: Provider) -> None:
        """Mixed operations of many threads on few names never give a wrong byte."""
        needs(provider, "create", "remove")
        capabilities = provider.capabilities
        self.mkdir_raw("folder")
        paths = [f"folder/{number}" for number in range(4)]

        def work(seed: int) -> bool:
            chance = random.Random(seed)
            for step in range(40):
                path, other = chance.sample(paths, 2)
                try:
                    match chance.randrange(6):
                        case 0 | 1:
                            put(provider, path, signed(40_000, seed * 1000 + step))
                        case 2:
                            provider.remove(path)
                        case 3 if capabilities.rename:
                            provider.rename(path, other, overwrite=True)
                        case 4 if capabilities.copy:
                            provider.copy(path, other, overwrite=True)
                        case _:
                            assert names(provider, "folder") <= set("0123")
                            assert is_whole(get(provider, path))
                except (NotFound, Changed):
                    continue
            return True

        assert together(self.threads, work) == [True] * self.threads
        for name in names(provider, "folder"):
            data = self.get_raw(f"folder/{name}")
            assert data is not None
            assert is_whole(data)
            assert get(provider, f"folder/{name}") == data
