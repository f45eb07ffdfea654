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
import time
from collections.abc import Callable
from pathlib import Path

from vfs.auth.errors import Throttled
from vfs.auth.network import network_of
from vfs.auth.slots import Slot, Slots

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
"""Counts of each kind; beyond it one that did not change lately is forgotten."""

THROTTLE_FILE = "logins.map"
"""What the file is called in a state directory."""

_NAME_CHARACTERS = 255
_PAIRS, _ADDRESSES, _NAMES, _KNOWN = range(4)

Pair = tuple[str, str]


class Throttle:
    """Counts failed logins and refuses the next try while it has to wait.

    A refused try is not counted and must not be verified, so it costs no hash. A try that waited
    is let through alone: others at the same moment are refused, also in other processes, which
    count together if they have one `file`. When there is no place for a count, one that did not
    change lately is forgotten. Who can bring that about has thousands of addresses, and with each
    of them its free tries anyway.

    All is fixed; `_slots` guards itself.
    """

    def __init__(
        self,
        file: Path | None = None,
        *,
        most: int = COUNTS_MAX,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._slots = Slots(file, tables=4, most=most)

    def check(self, address: str, name: str) -> bool:
        """Raise Throttled when a try to log in as `name` from `address` has to wait.

        Returns whether `name` has logged in from there lately.

        Call it before anything is verified or looked up, and for names that do not exist too, so
        that the answer tells nothing about them.
        """
        key, now = pair(address, name), self._now()
        # Nearly always there is nothing to change, and a flood of tries needs no turn.
        known, waiting, wait = self._waiting(key, now)
        if waiting and wait <= 0:
            with self._slots.turn():
                known, waiting, wait = self._waiting(key, now)
                if wait <= 0:
                    for table, text, free, count in waiting:
                        count.until = now + _wait(count.number, free)
                        self._slots.put(table, text, count)
        if wait <= 0:
            return known
        raise Throttled(
            f"Too many logins failed from this address. Try again in {math.ceil(wait)} s.",
            retry_after_seconds=wait,
        )

    def failed(self, address: str, name: str) -> None:
        """Count a login that was verified and is wrong."""
        key, now = pair(address, name), self._now()
        with self._slots.turn():
            known = self._is_known(key, now)
            tries = self._add(_PAIRS, _text(key), now, self._free_tries(key, now, known=known))
            # A program that goes on with one wrong password must not count against all others
            # behind its address.
            if tries <= FREE_TRIES_MAX:
                self._add(_ADDRESSES, key[0], now, ADDRESS_TRIES_MAX)
            self._add(_NAMES, key[1], now, ATTACKED_LIMIT)

    def succeeded(self, address: str, name: str) -> None:
        """Count a right login: `address` is known for `name`, which has a free try there again.

        It changes nothing for other names, or an attacker's own account would set them free.
        """
        key, now = pair(address, name), self._now()
        text = _text(key)
        with self._slots.turn():
            self._slots.put(_KNOWN, text, Slot(0, now, now + KNOWN_SECONDS))
            count = self._slots.get(_PAIRS, text)
            if count is not None:
                count.number = min(count.number, FREE_TRIES_MAX - 1)
                self._slots.put(_PAIRS, text, count)

    def close(self) -> None:
        """Let go of the file. From then on this process counts by itself."""
        self._slots.close()

    def _waiting(
        self, key: Pair, now: float
    ) -> tuple[bool, list[tuple[int, str, int, Slot]], float]:
        """Return whether the name is known, which counts have no free tries, and their wait."""
        known = self._is_known(key, now)
        bounds = [(_PAIRS, _text(key), self._free_tries(key, now, known=known))]
        if not known:
            bounds.append((_ADDRESSES, key[0], ADDRESS_TRIES_MAX))
        wait = 0.0
        waiting = []
        for table, text, free in bounds:
            count = self._live(table, text, now)
            if count is not None and count.number >= free:
                waiting.append((table, text, free, count))
                wait = max(wait, count.until - now)
        return known, waiting, wait

    def _is_known(self, key: Pair, now: float) -> bool:
        found = self._slots.get(_KNOWN, _text(key))
        return found is not None and now < found.until

    def _free_tries(self, key: Pair, now: float, *, known: bool) -> int:
        count = self._live(_NAMES, key[1], now)
        attacked = count is not None and count.number >= ATTACKED_LIMIT
        return FREE_TRIES_ATTACKED_MAX if attacked and not known else FREE_TRIES_MAX

    def _live(self, table: int, text: str, now: float) -> Slot | None:
        count = self._slots.get(table, text)
        return count if count is not None and now - count.last < FORGET_SECONDS else None

    def _add(self, table: int, text: str, now: float, free: int) -> int:
        """Count one more failure and return how many there are."""
        count = self._live(table, text, now) or Slot(0, now, now)
        count.number += 1
        count.last = now
        if count.number >= free:
            count.until = now + _wait(count.number, free)
        self._slots.put(table, text, count)
        return count.number


def pair(address: str, name: str) -> Pair:
    """Return what is counted of a try: the network that it comes from, and the name."""
    return network_of(address), name[:_NAME_CHARACTERS]


def _text(key: Pair) -> str:
    return "\0".join(key)


def _wait(failures: int, free: int) -> float:
    return min(FIRST_WAIT_SECONDS * 2.0 ** min(failures - free, 32), LONGEST_WAIT_SECONDS)
