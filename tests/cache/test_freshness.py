"""Freshness: the whole table of decisions."""

import itertools

import pytest

from cache.freshness import Origin, Stored, Verdict, Wish, decide

NOW = 1000.0
FRESH = Stored(fetched_at=NOW - 5, ttl_seconds=10, version="v")
OLD = Stored(fetched_at=NOW - 15, ttl_seconds=10, version="v")
ANCIENT = Stored(fetched_at=NOW - 500, ttl_seconds=10, version="v")
FUTURE = Stored(fetched_at=NOW + 5, ttl_seconds=10, version="v")
NAMELESS = Stored(fetched_at=NOW - 15, ttl_seconds=10)

ANY = Wish()
NO_CACHE = Wish(no_cache=True)
YOUNG = Wish(max_age_seconds=2)
LENIENT = Wish(max_age_seconds=3600)

UP = Origin()
DOWN = Origin(is_up=False)
DOWN_STALE = Origin(is_up=False, stale_if_error_seconds=60)

S, R, F, T, X = Verdict.SERVE, Verdict.REVALIDATE, Verdict.FETCH, Verdict.STALE, Verdict.FAIL

STORED = {"none": None, "fresh": FRESH, "old": OLD, "ancient": ANCIENT, "future": FUTURE,
          "nameless": NAMELESS}  # fmt: skip
WISHES = {"any": ANY, "no-cache": NO_CACHE, "young": YOUNG, "lenient": LENIENT}
ORIGINS = {"up": UP, "down": DOWN, "down, stale allowed": DOWN_STALE}

# For each entry, the verdicts for any, no-cache, young, lenient.
TABLE = {
    ("none", "up"): (F, F, F, F),
    ("none", "down"): (X, X, X, X),
    ("none", "down, stale allowed"): (X, X, X, X),
    ("fresh", "up"): (S, R, R, S),
    ("fresh", "down"): (S, X, T, S),
    ("fresh", "down, stale allowed"): (S, X, T, S),
    ("old", "up"): (R, R, R, R),
    ("old", "down"): (X, X, X, X),
    ("old", "down, stale allowed"): (T, X, T, T),
    ("ancient", "up"): (R, R, R, R),
    ("ancient", "down"): (X, X, X, X),
    ("ancient", "down, stale allowed"): (X, X, X, X),
    ("future", "up"): (R, R, R, R),
    ("future", "down"): (T, X, T, T),
    ("future", "down, stale allowed"): (T, X, T, T),
    ("nameless", "up"): (F, F, F, F),
    ("nameless", "down"): (X, X, X, X),
    ("nameless", "down, stale allowed"): (T, X, T, T),
}


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(itertools.product(STORED, ORIGINS))


@pytest.mark.parametrize(("stored", "origin"), TABLE)
def test_the_decision_is_the_table_s(stored: str, origin: str) -> None:
    found = tuple(decide(NOW, STORED[stored], wish, ORIGINS[origin]) for wish in WISHES.values())
    assert found == TABLE[stored, origin]


def test_the_borders() -> None:
    assert decide(NOW, Stored(NOW - 10, 10, "v"), ANY, UP) is R
    assert decide(NOW, Stored(NOW - 9.9, 10, "v"), ANY, UP) is S
    assert decide(NOW, Stored(NOW, 0, "v"), ANY, UP) is R
    assert decide(NOW, Stored(NOW, 10, "v"), Wish(max_age_seconds=0), UP) is R
