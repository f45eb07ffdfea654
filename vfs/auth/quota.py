"""Quota: how many requests one caller may make, in time and at once."""

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

from vfs.auth.caller import Caller
from vfs.auth.errors import Throttled
from vfs.auth.network import network_of
from vfs.auth.settings import LimitsConfig
from vfs.auth.slots import Slot, Slots

BURST_SECONDS = 20.0
"""Worth of requests that may come at once."""

CALLERS_MAX = 10_000
"""Users, and addresses without a login, whose rate is known; one not seen lately goes."""

RATES_FILE = "rates.map"
"""What the file is called in a state directory."""

_RETRY_SECONDS = 1.0
_USERS, _ADDRESSES = range(2)

Key = tuple[bool, str]


class Quota:
    """Counts the requests of each user, and of each address for callers without a login.

    What bearers of a user's shares ask for is counted apart from the user's own, all together. The
    rates are those of all processes that have one `file`; what runs, each counts by itself. When
    there is no place for a rate, who was not seen lately starts anew with a whole burst; users and
    addresses have a table each, so strangers displace no user. What runs is counted exactly, and
    there is never more of it than there are threads.

    `_lock` guards `_running`; `_slots` guards itself; the rest is fixed. A reload makes a new one:
    `leave` the one that was entered.
    """

    def __init__(
        self,
        limits: LimitsConfig,
        file: Path | None = None,
        *,
        most: int = CALLERS_MAX,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        rate = limits.requests_per_second
        self._rate = rate
        self._interval = 1 / rate if rate > 0 else 0.0
        self._burst = max(BURST_SECONDS, self._interval)
        self._at_once = limits.requests_at_once
        self._limited = rate > 0 or self._at_once > 0
        self._now = now
        self._lock = threading.Lock()
        # Until the moment at which all that was asked for so far is within the rate.
        self._slots = Slots(file, tables=2, most=most) if self._interval else None
        self._running: dict[Key, int] = {}

    def enter(self, caller: Caller) -> None:
        """Count a request that begins; raise Throttled, 503 or 429, and count nothing.

        Each call that returns needs one `leave`, when the last byte of the answer is out.
        """
        if not self._limited:
            return
        key = _key(caller)
        # Refused for what runs, it is not charged; refused for its rate, it does not run.
        with self._lock:
            running = self._running.get(key, 0)
            if 0 < self._at_once <= running:
                raise Throttled(
                    f"{running} requests of yours are being answered, as many as may be."
                    " Try again when one has ended.",
                    retry_after_seconds=_RETRY_SECONDS,
                    status=503,
                )
            if self._slots is not None:
                self._charge(key, self._slots)
            if self._at_once > 0:
                self._running[key] = running + 1

    def leave(self, caller: Caller) -> None:
        """Count a request that ended."""
        if self._at_once <= 0:
            return
        key = _key(caller)
        with self._lock:
            running = self._running.pop(key, 0)
            if running > 1:
                self._running[key] = running - 1

    def close(self) -> None:
        """Let go of the file. From then on this process counts by itself."""
        if self._slots is not None:
            self._slots.close()

    def _charge(self, key: Key, slots: Slots) -> None:
        is_user, name = key
        table = _USERS if is_user else _ADDRESSES
        with slots.turn():
            now = self._now()
            known = slots.get(table, name)
            even_at = max(known.until if known else now, now) + self._interval
            over = even_at - now - self._burst
            # A hair over is the rounding of the clock.
            if over <= self._interval * 1e-6:
                slots.put(table, name, Slot(0, now, even_at))
                return
        raise Throttled(
            f"More than {self._rate:g} requests a second. Try again in {math.ceil(over)} s.",
            retry_after_seconds=over,
        )


def _key(caller: Caller) -> Key:
    if caller.name is None:
        return False, network_of(caller.address)
    if caller.credential.startswith("share:"):
        # Whoever got hold of a link must not use up what its maker may ask for.
        return True, f"{caller.name}\nshares"
    return True, caller.name
