"""Results that stay open: never another's bytes, never more than a few, in nobody's way."""

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cache import kept_results
from cache.results import Results
from tests.cache.test_results import make, name, put  # noqa: F401 - a fixture

Make = Callable[..., Results]


def read(results: Results, key: str, *, now: bool = False) -> bytes | None:
    """Return a result's bytes."""
    file = results.get(key, now=now)
    if file is None:
        return None
    with file:
        return file.read_at(0, file.record.size)


def descriptors(results: Results) -> int:
    """Return how many descriptors of results this process has."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(link.readlink()).startswith(results._top)
    return count


def test_only_what_is_open_is_there_at_once(make: Make) -> None:  # noqa: F811
    results = make()
    put(make(results._folder), name(1), b"one")
    assert read(results, name(1), now=True) is None
    assert read(results, name(1)) == b"one"
    assert read(results, name(1), now=True) == b"one"


def test_what_was_just_made_is_open_and_may_be_evicted(make: Make) -> None:  # noqa: F811
    results = make(max_age_seconds=100)
    for number in (1, 2):
        put(results, name(number), b"made")
    assert read(results, name(1), now=True) == b"made"
    assert descriptors(results) == 2
    with contextlib.closing(results.get(name(1))) as file:  # type: ignore[type-var]
        for number in (1, 2):
            os.utime(results.place(name(number)), (1000, 1000))
        assert results.sweep().removed_files == 1
        assert file is not None
        assert file.read_at(0, 4) == b"made"
    assert read(results, name(2), now=True) is None
    assert descriptors(results) == 1


def test_what_is_large_is_not_kept_open_when_it_is_made(make: Make) -> None:  # noqa: F811
    results = make()
    put(results, name(1), bytes(kept_results.KEPT_BYTES + 1))
    assert descriptors(results) == 0
    assert read(results, name(1)) == bytes(kept_results.KEPT_BYTES + 1)
    for number in range(2, 80):
        put(results, name(number), b"small")
    assert descriptors(results) == 64


@pytest.mark.parametrize("who", ["this process", "another"])
def test_what_is_purged_or_replaced_is_so_at_once(make: Make, who: str) -> None:  # noqa: F811
    results = make()
    other = results if who == "this process" else make(results._folder)
    put(results, name(1), b"one")
    assert read(results, name(1)) == b"one"
    put(other, name(1), b"two")
    # Who made it has it open.
    assert read(results, name(1), now=True) == (b"two" if other is results else None)
    assert read(results, name(1)) == b"two"
    assert other.purge(name(1))
    assert read(results, name(1)) is None


def test_what_was_cut_is_no_result(make: Make) -> None:  # noqa: F811
    results = make()
    put(results, name(1), b"x" * 5000)
    assert read(results, name(1)) == b"x" * 5000
    os.truncate(results.place(name(1)), 3000)
    assert read(results, name(1)) is None


def test_nobody_who_reads_is_evicted_and_what_only_stays_open_is(make: Make) -> None:  # noqa: F811
    results = make(max_age_seconds=100)
    for number in (1, 2):
        put(results, name(number), b"data")
        assert read(results, name(number)) == b"data"
    file = results.get(name(1))
    assert file is not None
    for number in (1, 2):
        os.utime(results.place(name(number)), (1000, 1000))
    assert results.sweep().removed_files == 1
    assert results.place(name(1)).exists()
    assert read(results, name(2)) is None
    with file:
        assert file.read_at(0, 4) == b"data"
    assert results.sweep().removed_files == 1
    assert read(results, name(1)) is None


def test_few_stay_open_and_none_in_the_end(
    make: Make,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_results, "_KEPT_MAX", 5)
    results = make()
    held = []
    for number in range(20):
        put(results, name(number), b"data")
        for _ in range(3):
            file = results.get(name(number))
            assert file is not None
            held.append(file)
    assert descriptors(results) == 20
    for file in held:
        file.close()
        file.close()
    assert descriptors(results) == 5
    results.purge(name(19))
    results._kept.tidy()
    assert descriptors(results) == 4
    results._kept.close()
    assert descriptors(results) == 0


def test_many_threads_share_one_and_close_it_once(make: Make) -> None:  # noqa: F811
    results = make()
    put(results, name(1), b"a" * 1000)
    wrong: list[bytes | None] = []

    def use() -> None:
        for turn in range(300):
            if turn % 50 == 0:
                put(results, name(1), bytes([97 + turn // 50]) * 1000)
            data = read(results, name(1))
            if data is None or len(set(data)) != 1 or len(data) != 1000:
                wrong.append(data)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    results._kept.close()
    assert descriptors(results) == 0
