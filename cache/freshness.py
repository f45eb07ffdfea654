"""Freshness: whether what is remembered may be served. A pure decision."""

from enum import Enum

import msgspec


class Verdict(Enum):
    """What to do with a request."""

    SERVE = "serve"  # from the cache, without asking the origin
    REVALIDATE = "revalidate"  # ask the origin for its version; serve what is remembered if equal
    FETCH = "fetch"  # nothing usable is remembered, or the origin gives no version to compare
    STALE = "stale"  # from the cache though it is old, since the origin is down; say so
    FAIL = "fail"  # the origin is down and nothing may stand in for it


class Stored(msgspec.Struct, frozen=True):
    """What is remembered: when the origin said so, its version ("" if it has none), its ttl."""

    fetched_at: float
    ttl_seconds: float
    version: str = ""


class Wish(msgspec.Struct, frozen=True):
    """What a client asks for: no-cache, and the age it accepts."""

    no_cache: bool = False
    max_age_seconds: float | None = None


class Origin(msgspec.Struct, frozen=True):
    """Whether the origin can be asked, and how old an answer may be while it cannot."""

    is_up: bool = True
    stale_if_error_seconds: float = 0.0


def decide(now: float, stored: Stored | None, wish: Wish, origin: Origin) -> Verdict:
    """Return what to do. An entry from the future, after a step of the clock, counts as old.

    When REVALIDATE or FETCH meets an error of the origin, ask again with `is_up` False.
    """
    if stored is None:
        return Verdict.FETCH if origin.is_up else Verdict.FAIL
    age = now - stored.fetched_at
    fresh_for = stored.ttl_seconds
    if wish.max_age_seconds is not None:
        fresh_for = min(fresh_for, wish.max_age_seconds)
    is_fresh = 0 <= age < fresh_for and not wish.no_cache
    if is_fresh:
        return Verdict.SERVE
    if origin.is_up:
        return Verdict.REVALIDATE if stored.version else Verdict.FETCH
    # Whoever forbids the cache wants an error rather than an old answer.
    if wish.no_cache or abs(age) > stored.ttl_seconds + origin.stale_if_error_seconds:
        return Verdict.FAIL
    return Verdict.STALE
