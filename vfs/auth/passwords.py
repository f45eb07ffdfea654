"""Passwords: slow hashes of them, and how one is verified.

argon2id, in the form that begins with "$argon2id$". A hash of the configuration may have been made
with other costs, within `check_hash`.
"""

import base64
import os
import re
import threading
import unicodedata
from binascii import Error as Base64Error

import argon2
from argon2.exceptions import HashingError, InvalidHashError, VerificationError

from vfs.auth.errors import Throttled

# One of the choices of OWASP's Password Storage Cheat Sheet for argon2id: as hard to guess as its
# choices with more memory and fewer passes. A process of the gateway has 64 MiB, of which the
# verifications at one moment may take no large part.
_MEMORY_KIB = 9216
_PASSES = 4
_LANES = 1

PASSWORD_MAX_BYTES = 1024
PASSWORD_MIN_CHARACTERS = 10

# Verifications at the same moment, in one process: this bounds memory and leaves processors to
# the transfers. Who waits longer for a turn is told to come again.
AT_ONCE = 2
WAIT_SECONDS = 5.0
# Each that waits holds a thread, and most of those are for who has logged in.
WAITING_MAX = 24

# The weakest that OWASP lists is 7 MiB with 5 passes; all that it lists have about this product.
_WEAKEST_MEMORY_KIB = 7168
_WEAKEST_WORK_KIB = 35_840
# One login must not take the machine's memory, or minutes.
_COSTLIEST_MEMORY_KIB = 1024 * 1024
_COSTLIEST_WORK_KIB = 4 * 1024 * 1024
_LANES_MAX = 16

_HASH = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,10}),t=([0-9]{1,10}),p=([0-9]{1,3})"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})"
)

_hasher = argon2.PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES)


def hash_password(text: str) -> str:
    """Return a hash of a password for the configuration or the store; ValueError beyond 1 KiB."""
    data = _prepared(text)
    if data is None:
        raise ValueError(f"a password has at most {PASSWORD_MAX_BYTES} bytes of valid text")
    return _hasher.hash(data)


def needs_rehash(password_hash: str) -> bool:
    """Tell whether a hash was made with other costs than new ones are."""
    return _hasher.check_needs_rehash(password_hash)


def check_hash(text: str) -> None:
    """Raise ValueError, with cause and way out, unless `text` is an argon2id hash fit for use."""
    again = "make one with: headgate user hash"
    found = _HASH.fullmatch(text)
    if found is None or not all(map(_is_base64, found.group(4, 5))):
        raise ValueError(f"this is no argon2id hash of version 19; {again}")
    memory, passes, lanes = map(int, found.group(1, 2, 3))
    if not (1 <= lanes <= _LANES_MAX and passes >= 1):
        raise ValueError(f"its p must be 1 to {_LANES_MAX} and its t at least 1; {again}")
    work = memory * passes
    if memory < _WEAKEST_MEMORY_KIB or work < _WEAKEST_WORK_KIB:
        raise ValueError(f"its cost, m={memory} and t={passes}, is too low to be safe; {again}")
    if memory > _COSTLIEST_MEMORY_KIB or work > _COSTLIEST_WORK_KIB:
        raise ValueError(
            f"its cost, m={memory} and t={passes}, would take too much of this machine; {again}"
        )


def check_new_password(text: str, name: str = "") -> None:
    """Raise ValueError, with the cause, when a password is not fit to be chosen by user `name`."""
    if _prepared(text) is None:
        raise ValueError(f"a password has at most {PASSWORD_MAX_BYTES} bytes of valid text")
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("a password may not hold control characters; programs cannot send them")
    if len(text) < PASSWORD_MIN_CHARACTERS:
        raise ValueError(
            f"the password is too short; it needs at least {PASSWORD_MIN_CHARACTERS} characters"
        )
    if name and text.strip().casefold() == name.casefold():
        raise ValueError("the password is the user's own name; choose another")


class Passwords:
    """Verifies passwords, a few at a time.

    `_stranger` is fixed. `_turns` is the semaphore that a verification holds, `_places` that which
    it holds while it waits too; they guard no data.
    """

    def __init__(
        self,
        *,
        at_once: int = AT_ONCE,
        waiting: int = WAITING_MAX,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._turns = threading.BoundedSemaphore(at_once)
        self._places = threading.BoundedSemaphore(at_once + waiting)
        self._wait_seconds = wait_seconds
        self._stranger = _hash_of_nothing()

    def verify(self, password_hash: str | None, text: str) -> bool:
        """Tell whether `text` is the password; None or "" is nobody's hash and takes as long.

        Raises Throttled when too many verifications are under way.
        """
        data = _prepared(text)
        if data is None:
            return False
        if not self._places.acquire(blocking=False):
            raise self._busy()
        try:
            if not self._turns.acquire(timeout=self._wait_seconds):
                raise self._busy()
            try:
                _hasher.verify(password_hash or self._stranger, data)
            except (VerificationError, InvalidHashError, HashingError):
                return False
            finally:
                self._turns.release()
        finally:
            self._places.release()
        return bool(password_hash)

    def _busy(self) -> Throttled:
        return Throttled(
            "too many logins at once; try again in a moment",
            retry_after_seconds=self._wait_seconds,
            status=503,
        )


def _prepared(text: str) -> bytes | None:
    """Return a password as bytes that all keyboards agree on, None for one that cannot be."""
    if len(text) > PASSWORD_MAX_BYTES:
        return None
    try:
        data = unicodedata.normalize("NFC", text).encode()
    except UnicodeEncodeError:
        return None
    return data if len(data) <= PASSWORD_MAX_BYTES else None


def _hash_of_nothing() -> str:
    """Return a hash whose password nobody knows: a salt and a digest by chance."""
    salt, digest = (base64.b64encode(os.urandom(size)).rstrip(b"=").decode() for size in (16, 32))
    return f"$argon2id$v=19$m={_MEMORY_KIB},t={_PASSES},p={_LANES}${salt}${digest}"


def _is_base64(text: str) -> bool:
    """Tell whether `text` is base64 without padding, in its one right spelling."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except Base64Error:
        return False
    return base64.b64encode(data).rstrip(b"=").decode() == text
