"""GatewayKey: the key that the gateway signs tokens of its own with."""

import contextlib

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from vfs.auth.keys import public_key
from vfs.auth.vault import Vault, VaultError
from vfs.state.accounts import AccountStore
from vfs.state.errors import AlreadyThere, Unavailable

NAME = ".token-key"
"""Its name among the stored secrets; the dot keeps it from those that operators name."""


class _Opened(msgspec.Struct, frozen=True):
    sealed: bytes
    key: Ed25519PrivateKey
    id: str


class GatewayKey:
    """Keeps an Ed25519 key sealed in the state store, one for all processes that share it.

    It is made when it is first signed with. Whoever removes it there ends all tokens signed with
    it, at once and everywhere. Unavailable when the master key is not that which it was sealed
    with. `_opened` is replaced in one atomic step; the rest is fixed.
    """

    def __init__(self, store: AccountStore, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._opened: _Opened | None = None

    def sign(self, claims: dict[str, object], *, short: bool = False) -> str:
        """Return a token with these claims; a `short` one does without what names key and type."""
        while (current := self._current()) is None:
            self._make()
        # A `typ` of None is left out.
        headers = {"typ": None} if short else {"kid": current.id}
        return jwt.encode(claims, current.key, algorithm="EdDSA", headers=headers)

    def public(self) -> Ed25519PublicKey | None:
        """Return what its signatures are verified with, None while there is no key."""
        current = self._current()
        return None if current is None else current.key.public_key()

    def _current(self) -> _Opened | None:
        record = self._store.secret(NAME)
        if record is None:
            return None
        known = self._opened
        if known is None or known.sealed != record.sealed:
            key = Ed25519PrivateKey.from_private_bytes(self._revealed(record.sealed))
            known = self._opened = _Opened(record.sealed, key, public_key(key.public_key()).id)
        return known

    def _revealed(self, sealed: bytes) -> bytes:
        try:
            return self._vault.open(NAME, sealed)
        except VaultError as error:
            raise Unavailable("the key for tokens does not open", str(error)) from error

    def _make(self) -> None:
        key = Ed25519PrivateKey.generate()
        raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        # Another process may be quicker: its key is the one, then.
        with contextlib.suppress(AlreadyThere):
            self._store.put_secret(NAME, self._vault.seal(NAME, raw), new=True)
