"""Authenticator: from what a request shows to the Caller it comes from."""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from providers import waiting
from vfs.auth import credentials
from vfs.auth.caller import Caller
from vfs.auth.credentials import Credential
from vfs.auth.errors import Unauthenticated
from vfs.auth.turns import Turns

LOOK_SECONDS = 1.0
"""How soon a gateway without accounts notices its first."""

CHALLENGES = (
    'Basic realm="headgate", charset="UTF-8"',
    'Bearer realm="headgate"',
)
"""What a client may answer a 401 with. Basic comes first: old clients read no further."""


class Memory(Protocol):
    """Remembers verified credentials; see `remembered`."""

    epoch: int

    def get(self, shown: str) -> Caller | None:
        """Return whose credential this is, if that was verified lately."""

    def put(self, shown: str, caller: Caller, *, epoch: int) -> None:
        """Remember a credential that was verified in this epoch."""


class Brake(Protocol):
    """Slows down who guesses; see `throttle`."""

    def check(self, address: str, name: str) -> bool:
        """Raise Throttled when another try comes too early; tell whether both are known."""

    def failed(self, address: str, name: str) -> None:
        """Count a failure."""

    def succeeded(self, address: str, name: str) -> None:
        """Forgive."""


class Password(Protocol):
    """Verifies passwords; see `basic`."""

    def __call__(self, name: str, password: str, *, known: bool = False) -> Caller:
        """Return whose password this is; those of who is `known` do not wait for strangers'."""


class Authenticator:
    """Finds out who sends a request.

    All attributes are fixed but two: `_open`, which turns False once and for good, and `_look_at`,
    which any thread may set; being late by one look does no harm.
    """

    def __init__(
        self,
        *,
        memory: Memory,
        brake: Brake,
        password: Password,
        token: Callable[[str], Caller],
        has_accounts: Callable[[], bool],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._memory = memory
        self._brake = brake
        self._password = password
        self._token = token
        self._has_accounts = has_accounts
        self._close = close
        self._turns = Turns()
        self._open = True
        self._look_at = 0.0
        self.look()

    def look(self) -> None:
        """Notice the first account: from then on nobody is let in without rules or credentials."""
        if self._open and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            if self._has_accounts():
                self._close()
                self._open = False

    def challenges(self) -> tuple[str, ...]:
        """Return what a client may log in with; nothing while there are no accounts."""
        return () if self._open else CHALLENGES

    def caller(self, headers: Mapping[str, str], address: str) -> Caller:
        """Return who asks; anonymous without credentials, or while there are no accounts.

        Raises Unauthenticated, Ambiguous, Throttled.
        """
        shown = credentials.raw(headers)
        if self._open:
            self.look()
        if shown is None or self._open:
            return Caller(address=address)
        known = self._memory.get(shown)
        if known is None:
            known = self._verified(shown, address)
        return msgspec.structs.replace(known, address=address)

    def _verified(self, shown: str, address: str) -> Caller:
        credential = credentials.parse(shown)
        waiting.begin()
        if credential.is_token:
            # Nobody can guess one, and an old one in one job must not hold up all others there.
            return self._remembered(shown, lambda: self._token(credential.secret))
        with self._turns.turn(address, credential.name):
            # The one before may have shown the same.
            known = self._memory.get(shown)
            if known is None:
                known = self._remembered(shown, lambda: self._by_password(credential, address))
            return known

    def _remembered(self, shown: str, verify: Callable[[], Caller]) -> Caller:
        epoch = self._memory.epoch
        caller = verify()
        self._memory.put(shown, caller, epoch=epoch)
        return caller

    def _by_password(self, credential: Credential, address: str) -> Caller:
        name = credential.name
        known = self._brake.check(address, name)
        try:
            caller = self._password(name, credential.secret, known=known)
        except Unauthenticated:
            self._brake.failed(address, name)
            raise
        self._brake.succeeded(address, name)
        return caller
