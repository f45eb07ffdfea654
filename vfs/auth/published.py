"""PublishedKeys: the keys of one issuer, kept fresh without holding anybody up.

They are fetched by a thread of their own, one at a time, when a token first needs them, in the
background before they are too old, and when a token is signed with a key that is not among them.
An issuer that is down keeps its last keys for a day. After a failure it is left alone for a while.
So a dead or slow one never holds more than `WAITERS_MAX` threads, each for `WAIT_SECONDS`.
"""

import logging
import threading
import time
from collections.abc import Callable

from vfs.auth.download import Unavailable
from vfs.auth.errors import Throttled
from vfs.auth.keyset import KeySet

LIFETIME_SECONDS_DEFAULT = 600.0
LIFETIME_SECONDS_MIN = 60.0
LIFETIME_SECONDS_MAX = 3600.0
GRACE_SECONDS = 86_400.0
UNKNOWN_KEY_SECONDS = 10.0
WAIT_SECONDS = 5.0
WAITERS_MAX = 8
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0

_REFRESH_AT = 0.75

_log = logging.getLogger(__name__)

Fetch = Callable[[], tuple[KeySet, int | None]]


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
        self._keys: KeySet | None = None
        self._fetched_at = 0.0
        self._lifetime = LIFETIME_SECONDS_DEFAULT
        self._fetching = False
        self._waiting = 0
        self._failures = 0
        self._rests_until = 0.0

    def current(self) -> KeySet:
        """Return the keys. Raises Throttled (503) while there are none.

        Keys past their lifetime are given while newer ones cannot be had.
        """
        with self._turn:
            age = time.monotonic() - self._fetched_at
            if self._keys is not None and age > GRACE_SECONDS:
                self._keys = None
            if self._keys is None or (age > self._lifetime and not self._failures):
                self._renew()
            elif age > self._lifetime * _REFRESH_AT:
                self._start()
            return self._keys or self._refuse()

    def newer(self, than: KeySet) -> KeySet | None:
        """Return keys that were fetched after `than`; None when `than` was fetched just now.

        Raises Throttled (503) when the issuer does not give them: nobody can tell then whether a
        token signed with an unknown key is good.
        """
        with self._turn:
            if self._keys is not than:
                return self._keys
            age = time.monotonic() - self._fetched_at
            if age < UNKNOWN_KEY_SECONDS and not self._fetching:
                return None
            self._renew()
            return self._refuse() if self._keys is than else self._keys

    def _renew(self) -> None:
        """Start a fetch unless one is under way, and wait for its end, within bounds."""
        self._start()
        if self._fetching and self._waiting < WAITERS_MAX:
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
        self._keys, lifetime = got
        self._fetched_at = now
        self._failures = 0
        if lifetime is None:
            self._lifetime = LIFETIME_SECONDS_DEFAULT
        else:
            self._lifetime = min(max(lifetime, LIFETIME_SECONDS_MIN), LIFETIME_SECONDS_MAX)

    def _refuse(self) -> KeySet:
        left = max(self._rests_until - time.monotonic(), 1.0)
        raise Throttled(
            f"the keys of the issuer {self._name!r} cannot be had now; try again in a while",
            retry_after_seconds=left,
            status=503,
        )
