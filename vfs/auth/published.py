"""PublishedKeys: the keys of one issuer, kept fresh without holding anybody up.

They are fetched by a thread of their own, one at a time, when a token first needs them, in the
background before they are too old, and when a token is signed with a key that is not among them.
An issuer that is down keeps its last keys for a day. After a failure it is left alone for a while.
A dead or slow one never holds more than `WAITERS_MAX` threads, each for `WAIT_SECONDS`, and once it
has failed no more than `WAITERS_AFTER_FAILURE_MAX`.
"""

import logging
import threading
import time
from collections.abc import Callable

import msgspec

from vfs.auth.download import Unavailable
from vfs.auth.errors import Throttled
from vfs.auth.keyset import KeySet

LIFETIME_SECONDS_DEFAULT = 600.0
LIFETIME_SECONDS_MIN = 60.0
LIFETIME_SECONDS_MAX = 3600.0
GRACE_SECONDS = 86_400.0
UNKNOWN_KEY_SECONDS = 10.0
WAIT_SECONDS = 5.0
WAITERS_MAX = 24
WAITERS_AFTER_FAILURE_MAX = 4
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0

_REFRESH_AT = 0.75

_log = logging.getLogger(__name__)

Fetch = Callable[[], tuple[KeySet, int | None]]


class Held(msgspec.Struct, frozen=True):
    """Keys with when they were fetched, by the monotonic clock, and for how long they hold."""

    keys: KeySet
    fetched_at: float
    lifetime: float


class PublishedKeys:
    """Gives the keys of one issuer. Used by any number of threads.

    `_name` and `_fetch` are fixed; `_turn`, a condition, guards the rest. It is never held during
    a fetch.
    """

    def __init__(self, name: str, fetch: Fetch) -> None:
        """Keep what `fetch` returns: keys, and for how many seconds they hold, if it says."""
        self._name = name
        self._fetch = fetch
        self._turn = threading.Condition()
        self._held: Held | None = None
        self._fetching = False
        self._waiting = 0
        self._failures = 0
        self._rests_until = 0.0

    def current(self) -> KeySet:
        """Return the keys. Raises Throttled (503) while there are none.

        Keys past their lifetime are given while newer ones cannot be had.
        """
        with self._turn:
            held = self._held
            age = 0.0 if held is None else time.monotonic() - held.fetched_at
            if held is None or age > GRACE_SECONDS:
                self._held = None
                self._renew()
            elif age > held.lifetime and not self._failures:
                self._renew()
            elif age > held.lifetime * _REFRESH_AT:
                self._start()
            if self._held is None:
                raise self._refusal()
            return self._held.keys

    def newer(self, than: KeySet) -> KeySet | None:
        """Return keys that were fetched after `than`; None when `than` was fetched just now.

        Raises Throttled (503) when the issuer does not give them: nobody can tell then whether a
        token signed with an unknown key is good.
        """
        with self._turn:
            held = self._held
            if held is None or held.keys is not than:
                return None if held is None else held.keys
            age = time.monotonic() - held.fetched_at
            if age < UNKNOWN_KEY_SECONDS and not self._fetching:
                return None
            self._renew()
            if self._held is None or self._held is held:
                raise self._refusal()
            return self._held.keys

    def held(self) -> Held | None:
        """Return the keys as they are, for another to start with."""
        return self._held

    def hold(self, held: Held | None) -> None:
        """Start with keys that another had of the same issuer."""
        with self._turn:
            self._held = held

    def prefetch(self) -> None:
        """Start to fetch, so that the first token need not wait. Raises nothing."""
        with self._turn:
            self._start()

    def _renew(self) -> None:
        """Start a fetch unless one is under way, and wait for its end, within bounds."""
        self._start()
        most = WAITERS_AFTER_FAILURE_MAX if self._failures else WAITERS_MAX
        if self._fetching and self._waiting < most:
            self._waiting += 1
            try:
                self._turn.wait_for(lambda: not self._fetching, WAIT_SECONDS)
            finally:
                self._waiting -= 1

    def _start(self) -> None:
        if self._fetching or time.monotonic() < self._rests_until:
            return
        thread = threading.Thread(target=self._run, name=f"keys of {self._name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads: the next one asks again
            return
        self._fetching = True

    def _run(self) -> None:
        got = None
        try:
            got = self._fetch()
        except Unavailable as error:
            _log.warning("keys of issuer %r cannot be had: %s", self._name, error)
        finally:
            with self._turn:
                self._note(got)
                self._fetching = False
                self._turn.notify_all()

    def _note(self, got: tuple[KeySet, int | None] | None) -> None:
        now = time.monotonic()
        if got is None:
            pause = min(FIRST_PAUSE_SECONDS * 2.0**self._failures, LONGEST_PAUSE_SECONDS)
            self._failures = min(self._failures + 1, 10)
            self._rests_until = now + pause
            return
        keys, lifetime = got
        if lifetime is None:
            bounded = LIFETIME_SECONDS_DEFAULT
        else:
            bounded = min(max(lifetime, LIFETIME_SECONDS_MIN), LIFETIME_SECONDS_MAX)
        self._held = Held(keys, now, bounded)
        self._failures = 0

    def _refusal(self) -> Throttled:
        left = max(self._rests_until - time.monotonic(), 1.0)
        return Throttled(
            f"the keys of the issuer {self._name!r} cannot be had now; try again in a while",
            retry_after_seconds=left,
            status=503,
        )
