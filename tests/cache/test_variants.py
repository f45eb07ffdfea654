"""Results in other codings: made once, right, gone with what they were made of."""

import gzip
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from cache import variants as module
from cache.errors import ResultsFull
from cache.results import Results
from cache.variants import Variants
from tests.cache.test_results import make, name, put  # noqa: F401 - a fixture

Make = Callable[..., Results]
TEXT = b"one line of many\n" * 20_000


def gzipped(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Code as a server does."""
    yield gzip.compress(b"".join(blocks), mtime=0)


def never(_blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Fail when a variant is made that should be there."""
    raise AssertionError


def coded(results: Results, encode: module.Encode, *, now: bool = False) -> bytes | None:
    """Return the variant of the first result, as it is kept."""
    file = results.get(name(1))
    assert file is not None
    with file:
        found = Variants(results).get(file, "gzip", encode, now=now)
    if found is None:
        return None
    with found:
        return found.read_at(0, found.record.size)


def test_it_is_made_once_and_opened_at_once(make: Make) -> None:  # noqa: F811
    results = make()
    put(results, name(1), TEXT)
    assert coded(results, never, now=True) is None
    data = coded(results, gzipped)
    assert data is not None
    assert gzip.decompress(data) == TEXT
    assert coded(results, never) == data
    assert coded(results, never, now=True) == data
    assert coded(make(results._folder), never) == data


@pytest.mark.parametrize("how", ["purge", "purge_under", "replace"])
def test_it_goes_with_what_it_was_made_of(make: Make, how: str) -> None:  # noqa: F811
    results = make()
    put(results, name(1), TEXT)
    assert coded(results, gzipped)
    if how == "purge":
        assert results.purge(name(1))
    elif how == "purge_under":
        assert results.purge_under("g", "p") == 1
    put(results, name(1), b"other" * 1000)
    assert not results.has(results.variant(name(1), "gzip"))
    data = coded(results, gzipped)
    assert data is not None
    assert gzip.decompress(data) == b"other" * 1000


def test_one_made_of_a_result_that_is_replaced_meanwhile_is_never_given_for_the_new_one(
    make: Make,  # noqa: F811
) -> None:
    results = make()
    put(results, name(1), TEXT)

    def late(blocks: Iterable[bytes]) -> Iterator[bytes]:
        put(results, name(1), b"other" * 1000)
        yield from gzipped(blocks)

    data = coded(results, late)
    assert data is not None
    assert gzip.decompress(data) == TEXT  # it is of the file that was asked about
    assert coded(results, gzipped, now=True) is None
    data = coded(results, gzipped)
    assert data is not None
    assert gzip.decompress(data) == b"other" * 1000


def test_many_who_ask_at_once_have_it_made_once(make: Make) -> None:  # noqa: F811
    results = make()
    put(results, name(1), TEXT)
    made: list[int] = []
    found: list[bytes | None] = []
    shared = Variants(results)

    def slowly(blocks: Iterable[bytes]) -> Iterator[bytes]:
        made.append(1)
        time.sleep(0.2)
        yield from gzipped(blocks)

    def ask() -> None:
        file = results.get(name(1))
        assert file is not None
        with file:
            got = shared.get(file, "gzip", slowly)
        assert got is not None
        with got:
            found.append(got.read_at(0, got.record.size))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(found)) == 1
    assert len(found) == 8


def test_what_cannot_be_kept_is_none_and_leaves_nothing(
    make: Make,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = make()
    put(results, name(1), TEXT)

    def broken(_blocks: Iterable[bytes]) -> Iterator[bytes]:
        yield b"begun"
        raise OSError(28, "No space left on device")

    assert coded(results, broken) is None
    assert [file.name for file in results.budget.files()] == [name(1)]

    def full(_size: int) -> None:
        raise ResultsFull("full")

    with monkeypatch.context() as patched:
        patched.setattr(results, "make_room", full)
        assert coded(results, gzipped) is None
    monkeypatch.setattr(module, "VARIANT_BYTES", 1000)
    assert coded(results, gzipped) is None


def test_it_is_evicted_like_any_result(make: Make) -> None:  # noqa: F811
    results = make(max_age_seconds=100)
    put(results, name(1), TEXT)
    assert coded(results, gzipped)
    place = results.place(results.variant(name(1), "gzip"))
    os.utime(place, (1000, 1000))
    assert results.sweep().removed_files == 1
    assert not place.exists()
    assert coded(results, gzipped)
