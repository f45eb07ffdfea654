"""Listings: what was remembered is whole, and never hides a change of our own."""

import sqlite3
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.database import Database
from cache.listings import Listings

NOW = time.time()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "cache" / "index.sqlite")
    yield made
    made.close()


@pytest.fixture
def listings(database: Database) -> Listings:
    return Listings(database)


def entries(*names: str) -> list[tuple[str, bytes]]:
    return [(name, f"value of {name}".encode(errors="replace")) for name in names]


def names(listings: Listings, path: str) -> list[str] | None:
    with listings.listing("m", path) as found:
        return None if found is None else [name for name, _ in found.entries]


def stat(listings: Listings, path: str) -> bytes | str | None:
    found = listings.stat("m", path)
    return "unknown" if found is None else found.value


def test_a_listing_comes_back_in_order_also_after_a_restart(
    listings: Listings, database: Database
) -> None:
    assert names(listings, "a") is None
    assert listings.put_listing("m", "a", entries("z", "ä", "\udcff", "b"), NOW)
    database.close()
    other = Database(database.file)
    with Listings(other).listing("m", "a") as found:
        assert found is not None
        assert found.fetched_at == NOW
        assert list(found.entries) == entries("b", "z", "ä", "\udcff")
    other.close()


def test_a_stat_is_known_from_the_folder_s_listing(listings: Listings) -> None:
    listings.put_listing("m", "a", entries("b"), NOW)
    assert stat(listings, "a/b") == b"value of b"
    assert stat(listings, "a/c") is None
    assert stat(listings, "a") == "unknown"
    assert listings.stat("other", "a/b") is None
    listings.put_stat("m", "a/c", b"newer", NOW + 1)
    assert stat(listings, "a/c") == b"newer"
    listings.put_absent("m", "a/b", NOW + 1)
    assert stat(listings, "a/b") is None
    listings.put_stat("m", "a/b", b"older", NOW)
    assert stat(listings, "a/b") is None


def test_a_listing_being_replaced_stays_whole_for_its_readers(listings: Listings) -> None:
    old, new = [f"old {n:05}" for n in range(5000)], [f"new {n:05}" for n in range(5000)]
    listings.put_listing("m", "a", entries(*old), NOW)
    with listings.listing("m", "a") as found:
        assert found is not None
        seen = [next(found.entries)[0]]
        listings.put_listing("m", "a", entries(*new), NOW + 1)
        seen += [name for name, _ in found.entries]
    assert seen == old
    assert names(listings, "a") == new


def test_a_listing_that_breaks_off_leaves_the_old_one(
    listings: Listings, database: Database
) -> None:
    listings.put_listing("m", "a", entries("old"), NOW)

    def broken() -> Iterator[tuple[str, bytes]]:
        yield from entries(*(f"new {n}" for n in range(3000)))
        raise TimeoutError

    with pytest.raises(TimeoutError):
        listings.put_listing("m", "a", broken(), NOW + 1)
    assert names(listings, "a") == ["old"]
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == (1,)


def test_what_was_asked_for_before_a_change_is_not_remembered(listings: Listings) -> None:
    listings.put_own("m", "a/b", b"ours")
    assert not listings.put_listing("m", "a", entries("x"), NOW)
    listings.put_absent("m", "a/b", NOW)
    assert stat(listings, "a/b") == b"ours"
    listings.invalidate_tree("m", "t")
    assert not listings.put_listing("m", "t/deep/er", entries("x"), NOW)
    listings.put_stat("m", "t/deep/er/x", b"x", NOW)
    assert stat(listings, "t/deep/er/x") == "unknown"
    assert listings.put_listing("m", "t/deep", entries("x"), time.time() + 1)


def test_our_own_change_shows_in_the_folder_s_listing(listings: Listings) -> None:
    listings.put_listing("m", "a", entries("b", "c"), NOW - 1)
    listings.put_own("m", "a/d", b"ours")
    listings.put_own("m", "a/b", None)
    assert names(listings, "a") == ["c", "d"]
    assert stat(listings, "a/d") == b"ours"
    assert stat(listings, "a/b") is None


def test_invalidating_forgets_the_path_and_its_folder(listings: Listings) -> None:
    for path in ("", "a", "a/b", "a/b/c"):
        listings.put_listing("m", path, entries("x"), NOW - 1)
    listings.invalidate("m", "a/b")
    assert [names(listings, path) for path in ("", "a", "a/b", "a/b/c")] == [
        ["x"],
        None,
        None,
        ["x"],
    ]


def test_a_tree_is_forgotten_and_nothing_beside_it(listings: Listings) -> None:
    for path in ("a", "a/b", "a/b/c", "a/b0", "a/b-"):
        listings.put_listing("m", path, entries("x"), NOW - 1)
        listings.put_stat("m", f"{path}/s", b"s", NOW - 1)
    listings.invalidate_tree("m", "a/b")
    assert [names(listings, path) is None for path in ("a", "a/b", "a/b/c", "a/b0", "a/b-")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert stat(listings, "a/b/c/s") == "unknown"
    assert stat(listings, "a/b0/s") == b"s"
    listings.invalidate_tree("m", "")
    assert names(listings, "a/b0") is None


def test_a_renamed_tree_takes_what_is_known_along(listings: Listings) -> None:
    listings.put_listing("m", "", entries("old", "other"), NOW - 1)
    listings.put_listing("m", "old", entries("x"), NOW - 1)
    listings.put_listing("m", "old/d", entries("y"), NOW - 1)
    listings.put_stat("m", "old/d/s", b"s", NOW - 1)
    listings.put_listing("m", "new/gone", entries("z"), NOW - 1)
    listings.rename_tree("m", "old", "new")
    listings.put_own("m", "new", b"folder")
    assert names(listings, "") == ["new", "other"]
    assert names(listings, "new") == ["x"]
    assert names(listings, "new/d") == ["y"]
    assert names(listings, "new/gone") is None
    assert stat(listings, "new/d/s") == b"s"
    assert names(listings, "old") is None
    assert stat(listings, "old/d/s") == "unknown"


NAME = st.sampled_from(["a", "b", "a0", "a-"])
PATH = st.lists(NAME, min_size=1, max_size=3).map("/".join)
VERB = st.sampled_from(["put_own", "remove", "invalidate", "invalidate_tree", "put_stat"])


@given(st.lists(st.tuples(VERB, PATH), max_size=12))
def test_what_is_remembered_is_never_wrong(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    database = Database(tmp_path_factory.mktemp("db") / "index.sqlite")
    listings = Listings(database)
    truth: dict[str, bytes] = {}
    for number, (verb, path) in enumerate(steps):
        value = str(number).encode()
        if verb == "put_own":
            truth[path] = value
            listings.put_own("m", path, value)
        elif verb == "remove":
            truth.pop(path, None)
            listings.put_own("m", path, None)
        elif verb == "put_stat":
            if path in truth:
                listings.put_stat("m", path, truth[path], time.time() + 1)
        else:
            truth[path] = value  # somebody changed it, and tells
            getattr(listings, verb)("m", path)
    for path in {path for _, path in steps}:
        assert stat(listings, path) in ("unknown", truth.get(path))
    database.close()


def test_a_long_listing_takes_constant_memory(listings: Listings) -> None:
    def many(count: int) -> Iterator[tuple[str, bytes]]:
        return ((f"name of a file {n:07}", b"v" * 60) for n in range(count))

    listings.put_listing("m", "warm", many(10_000), NOW)
    tracemalloc.start()
    began = time.monotonic()
    assert listings.put_listing("m", "a", many(100_000), NOW)
    put = time.monotonic() - began
    with listings.listing("m", "a") as found:
        assert found is not None
        assert sum(1 for _ in found.entries) == 100_000
    took = time.monotonic() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"100,000 entries: put {put:.2f} s, read {took - put:.2f} s, peak {peak >> 10} KiB")
    assert peak < 4 << 20


def test_the_oldest_go_when_it_is_too_much(database: Database) -> None:
    listings = Listings(database, max_bytes=3000, stats_max=10)
    for n in range(5):
        listings.put_listing("m", f"f{n}", [("x", bytes(1000))], NOW + n)
    for n in range(30):
        listings.put_stat("m", f"s/{n}", b"s", NOW + n)
    listings.trim()
    assert [n for n in range(5) if names(listings, f"f{n}")] == [3, 4]
    assert [n for n in range(30) if stat(listings, f"s/{n}") == b"s"] == list(range(20, 30))


def test_what_a_killed_process_left_goes(listings: Listings, database: Database) -> None:
    with database.write() as connection:
        connection.execute(
            "INSERT INTO listings (mount, path, fetched_at, complete, bytes) VALUES (?,?,?,0,0)",
            (b"m", b"a", NOW - 7200),
        )
    listings.trim()
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM listings").fetchone() == (0,)


@pytest.mark.parametrize(
    "damage", [b"no database at all" * 1000, b"SQLite format 3\0" + b"x" * 5000]
)
def test_a_damaged_file_is_replaced(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "index.sqlite"
    file.write_bytes(damage)
    database = Database(file)
    listings = Listings(database)
    for _ in range(3):
        listings.put_listing("m", "a", entries("x"), NOW)
    assert names(listings, "a") == ["x"]
    database.close()


def test_a_file_of_another_schema_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "index.sqlite"
    with sqlite3.connect(file) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    database = Database(file)
    listings = Listings(database)
    for _ in range(2):
        listings.put_listing("m", "a", entries("x"), NOW)
    assert names(listings, "a") == ["x"]
    database.close()


def test_a_disk_that_refuses_costs_the_memory_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    database = Database(tmp_path / "file" / "index.sqlite")
    listings = Listings(database)
    assert not listings.put_listing("m", "a", entries("x"), NOW)
    listings.put_stat("m", "a", b"a", NOW)
    listings.put_own("m", "a", b"a")
    listings.invalidate_tree("m", "a")
    assert stat(listings, "a") == "unknown"
    assert names(listings, "a") is None


def test_a_change_that_cannot_be_written_voids_what_was_known(
    listings: Listings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings.put_listing("m", "a", entries("x"), NOW)
    listings.put_stat("m", "s", b"s", NOW)
    with monkeypatch.context() as broken:
        broken.setattr(database, "write", lambda: database.file.joinpath("none").open())
        listings.invalidate("m", "a/x")
    assert names(listings, "a") is None
    assert stat(listings, "s") == "unknown"
