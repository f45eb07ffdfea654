"""Remembered: credentials that were verified, so that not every request pays for it.

It knows them by a keyed hash. The credential itself is not kept.
"""

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable

from vfs.auth.caller import Caller
from vfs.auth.recent import Recent
from vfs.state.errors import StateError

REMEMBERED_MAX = 10_000
"""Credentials; beyond it the oldest has to be verified again."""

LOOK_SECONDS = 1.0
"""Between two looks at whether an account, an app password or a token changed."""

SHARE_SECONDS = 2.0
"""How long a share is not verified anew, so how long it outlives its end at most."""

BLIND_SECONDS = 4.0
"""How long memory is believed while nobody can tell whether something changed."""

_log = logging.getLogger(__name__)


class Remembered:
    """Remembers who showed which credential, for `seconds` and never beyond its own end.

    `generation` returns a number that changes with the accounts; when it did, everything is
    forgotten, so a revocation holds within LOOK_SECONDS in every process. While it cannot be read
    (StateError) memory is believed for BLIND_SECONDS since the last good look, and then no more.

    `now` is a steady clock, `wall` gives Unix seconds. These are fixed. `_lock` guards the rest;
    what `get` reads without it is set in one atomic step. `_looking` is held during a look.
    """

    def __init__(
        self,
        seconds: float,
        generation: Callable[[], int],
        *,
        most: int = REMEMBERED_MAX,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._seconds = seconds
        self._generation = generation
        self._now = now
        self._wall = wall
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._entries: Recent[bytes, tuple[Caller, float]] = Recent(most)
        self._known: int | None = None
        self._look_at = self._blind_at = now()
        self.epoch = 0

    def get(self, text: str) -> Caller | None:
        """Return who showed this Authorization header, or None when it must be verified."""
        now = self._now()
        if now >= self._look_at and not self._look(now):
            return None
        digest = self._digest(text)
        entry = self._entries.get(digest)
        if entry is None:
            return None
        caller, until = entry
        if now < until and (caller.expires_at is None or self._wall() < caller.expires_at):
            return caller
        with self._lock:
            self._entries.pop(digest)
        return None

    def put(self, text: str, caller: Caller, *, epoch: int) -> None:
        """Remember who showed `text`.

        `epoch` is what the attribute was before the credential was verified: when everything was
        forgotten since then, the verdict may be older than a revocation, and is dropped.
        """
        now = self._now()
        digest = self._digest(text)
        with self._lock:
            if epoch == self.epoch and now < self._blind_at and self._seconds > 0:
                seconds = self._seconds
                if caller.credential.startswith("share:"):
                    # The end of a share makes no generation grow.
                    seconds = min(seconds, SHARE_SECONDS)
                self._entries.put(digest, (caller, now + seconds))

    def clear(self) -> None:
        """Forget everything, and what is being verified now."""
        with self._lock:
            self.epoch += 1
            self._entries.clear()

    def _digest(self, text: str) -> bytes:
        data = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, digest_size=16, key=self._key).digest()

    def _look(self, now: float) -> bool:
        """Learn whether the accounts changed; tell whether memory may be believed."""
        if not self._looking.acquire(blocking=False):
            return now < self._blind_at
        try:
            try:
                generation = self._generation()
            except StateError as error:
                if now < self._blind_at:
                    return True
                if len(self._entries):
                    _log.warning("logins are verified anew each time: %s", error)
                    self.clear()
                return False
            if generation != self._known:
                self.clear()
                self._known = generation
            self._blind_at = now + BLIND_SECONDS
            self._look_at = now + LOOK_SECONDS
            return True
        finally:
            self._looking.release()
