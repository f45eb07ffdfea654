"""Throttle: who guesses passwords has to wait, longer and longer.

Three things are counted. Failures of one address on one name: some tries are free, then each has
to wait for the one before. Failures of one address on all names: the same, with more free tries,
against one password tried on many names. Failures on one name from all addresses: they never make
anybody wait, for then a stranger could keep a user out; they only leave a new address fewer
free tries. So the first try from a fresh address is never refused.

An address that a user logged in from lately is known for this user. Then only the user's own
count holds there, so a user behind a shared address does not wait for the failures of others.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from vfs.auth.errors import Throttled
from vfs.auth.network import network_of
from vfs.auth.recent import Recent

FREE_TRIES_MAX = 5
"""Failures of one address on one name that cost no waiting."""

FREE_TRIES_ATTACKED_MAX = 1
"""The same for a name that is under attack, from an address that is not known for it."""

ATTACKED_LIMIT = 20
"""Failures on one name, from all addresses, that count as an attack."""

ADDRESS_TRIES_MAX = 20
"""Failures of one address on all names that cost no waiting."""

FIRST_WAIT_SECONDS = 1.0
"""It doubles with each further failure."""

LONGEST_WAIT_SECONDS = 60.0

FORGET_SECONDS = 900.0
"""Without a failure, after which a count starts anew."""

KNOWN_SECONDS = 86_400.0
"""How long after a login an address is known for its user."""

COUNTS_MAX = 10_000
"""Counts of each kind; beyond it the oldest is forgotten."""

_NAME_CHARACTERS = 255

Pair = tuple[str, str]
K = TypeVar("K")


class _Count:
    """Failures, the last of them, and until when the next try has to wait."""

    __slots__ = ("failures", "last", "until")

    def __init__(self, now: float) -> None:
        self.failures = 0
        self.last = now
        self.until = now


class Throttle:
    """Counts failed logins and refuses the next try while it has to wait.

    A refused try is not counted and must not be verified, so it costs no hash. A try that waited
    is let through alone: others at the same moment are refused. Every process counts by itself: a
    host with four has four times the free tries. When a table is full, the count that changed
    least recently is forgotten. Who can bring that about has thousands of addresses, and with
    each of them its free tries anyway.

    `_lock` guards all but the clock.
    """

    def __init__(
        self, *, most: int = COUNTS_MAX, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._pairs: Recent[Pair, _Count] = Recent(most)
        self._addresses: Recent[str, _Count] = Recent(most)
        self._names: Recent[str, _Count] = Recent(most)
        self._known: Recent[Pair, float] = Recent(most)

    def check(self, address: str, name: str) -> bool:
        """Raise Throttled when a try to log in as `name` from `address` has to wait.

        Returns whether `name` has logged in from there lately.

        Call it before anything is verified or looked up, and for names that do not exist too, so
        that the answer tells nothing about them.
        """
        key, now = pair(address, name), self._now()
        with self._lock:
            known = self._is_known(key, now)
            bounds = [(_live(self._pairs, key, now), self._free_tries(key, now, known=known))]
            if not known:
                bounds.append((_live(self._addresses, key[0], now), ADDRESS_TRIES_MAX))
            waiting = [(count, free) for count, free in bounds if count and count.failures >= free]
            wait = max((count.until - now for count, _ in waiting), default=0.0)
            if wait <= 0:
                for count, free in waiting:
                    count.until = now + _wait(count.failures, free)
                return known
        raise Throttled(
            f"Too many logins failed from this address. Try again in {math.ceil(wait)} s.",
            retry_after_seconds=wait,
        )

    def failed(self, address: str, name: str) -> None:
        """Count a login that was verified and is wrong."""
        key, now = pair(address, name), self._now()
        with self._lock:
            known = self._is_known(key, now)
            tries = _add(self._pairs, key, now, self._free_tries(key, now, known=known))
            # A program that goes on with one wrong password must not count against all others
            # behind its address.
            if tries <= FREE_TRIES_MAX:
                _add(self._addresses, key[0], now, ADDRESS_TRIES_MAX)
            _add(self._names, key[1], now, ATTACKED_LIMIT)

    def succeeded(self, address: str, name: str) -> None:
        """Count a right login: `address` is known for `name`, which has a free try there again.

        It changes nothing for other names, or an attacker's own account would set them free.
        """
        key, now = pair(address, name), self._now()
        with self._lock:
            self._known.put(key, now + KNOWN_SECONDS)
            count = self._pairs.get(key)
            if count is not None:
                count.failures = min(count.failures, FREE_TRIES_MAX - 1)

    def _is_known(self, key: Pair, now: float) -> bool:
        until = self._known.get(key)
        return until is not None and now < until

    def _free_tries(self, key: Pair, now: float, *, known: bool) -> int:
        count = _live(self._names, key[1], now)
        attacked = count is not None and count.failures >= ATTACKED_LIMIT
        return FREE_TRIES_ATTACKED_MAX if attacked and not known else FREE_TRIES_MAX


def pair(address: str, name: str) -> Pair:
    """Return what is counted of a try: the network that it comes from, and the name."""
    return network_of(address), name[:_NAME_CHARACTERS]


def _live(table: Recent[K, _Count], key: K, now: float) -> _Count | None:
    count = table.get(key)
    return count if count is not None and now - count.last < FORGET_SECONDS else None


def _add(table: Recent[K, _Count], key: K, now: float, free: int) -> int:
    """Count one more failure and return how many there are."""
    count = _live(table, key, now) or _Count(now)
    count.failures += 1
    count.last = now
    if count.failures >= free:
        count.until = now + _wait(count.failures, free)
    table.put(key, count)
    return count.failures


def _wait(failures: int, free: int) -> float:
    return min(FIRST_WAIT_SECONDS * 2.0 ** min(failures - free, 32), LONGEST_WAIT_SECONDS)
