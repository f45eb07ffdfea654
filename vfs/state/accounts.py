"""The part of the state store's contract that is about who may come in.

Users, their app passwords, shares, revoked tokens and sealed secrets. No secret is kept in clear:
passwords as slow hashes, random secrets as digests, others sealed by their owner before they come
here. The general promises of `base` hold: all or nothing, done when it returns, seen by all.

A record with `created_at_ns` 0 gets the time of its keeping. What has expired is swept when
something of its kind is added. Names and texts beyond `limits` are Invalid or TooLarge.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

__all__ = [
    "AccountStore",
    "AppPasswordRecord",
    "SecretRecord",
    "ShareRecord",
    "UserRecord",
]


class UserRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One user added at run time. `password_hash` is "" for one who has only keys.

    `public_keys` are in PEM form. `email` is a second name in tokens, "" for none.
    """

    name: str
    password_hash: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()
    public_keys: tuple[str, ...] = ()
    created_at_ns: int = 0


class AppPasswordRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One password of a user's for one program or device.

    `digest` is the SHA-256 of a random secret. `scopes` is as tokens spell them; () is no bound.
    """

    user: str
    label: str
    digest: bytes
    scopes: tuple[str, ...] = ()
    created_at_ns: int = 0
    expires_at_ns: int | None = None


class ShareRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One share: what its maker lends to whoever holds its token.

    `groups` are those that the maker's own credential gave when they stand in no account (OIDC).
    """

    id: str
    maker: str
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...]
    note: str = ""
    created_at_ns: int = 0
    expires_at_ns: int


class SecretRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One secret of a back end, sealed."""

    name: str
    sealed: bytes
    changed_at_ns: int = 0


class AccountStore(ABC):
    """Remembers who may come in. Lists are in the order of names (shares: of making)."""

    @abstractmethod
    def generation(self) -> int:
        """Return a number that grows with each change by any other method here; one tiny read.

        Whoever remembers a verdict looks at it about once a second, in every process. Shares
        leave it: any user may make and end them in a loop, and nobody else should pay for that. So
        the verdict on a share is remembered for a moment only.
        """

    # Users

    @abstractmethod
    def put_user(self, user: UserRecord, *, new: bool = False) -> None:
        """Add or replace a user; with `new` raise AlreadyThere when the name is taken; TooMany.

        One who is added starts without app passwords and shares: what an earlier bearer of the
        name, from the configuration, has left behind is removed.
        """

    @abstractmethod
    def set_password(self, name: str, password_hash: str) -> None:
        """Change the hash alone, "" for no password; NoSuchAccount."""

    @abstractmethod
    def change_user(
        self,
        name: str,
        *,
        email: str | None = None,
        groups: Sequence[str] | None = None,
        public_keys: Sequence[str] | None = None,
    ) -> None:
        """Replace what is given and leave the rest; NoSuchAccount."""

    @abstractmethod
    def user(self, name: str) -> UserRecord | None:
        """Return one user, or None."""

    @abstractmethod
    def user_by_email(self, email: str) -> UserRecord | None:
        """Return the one user with this address, None also when several have it."""

    @abstractmethod
    def users(self) -> list[UserRecord]:
        """Return all users."""

    @abstractmethod
    def any_users(self) -> bool:
        """Tell whether there is any user at all; cheap."""

    @abstractmethod
    def remove_user(self, name: str) -> None:
        """Remove a user with app passwords and shares; NoSuchAccount."""

    # App passwords; also for users of the configuration, so no user record needs to be there

    @abstractmethod
    def add_app_password(self, record: AppPasswordRecord) -> None:
        """Add one; AlreadyThere when the user has a live one of this label, TooMany."""

    @abstractmethod
    def app_password(self, user: str, digest: bytes) -> AppPasswordRecord | None:
        """Return the user's live app password of this digest, or None."""

    @abstractmethod
    def app_passwords(self, user: str | None = None) -> list[AppPasswordRecord]:
        """Return the app passwords of one user or of all, expired ones too until swept."""

    @abstractmethod
    def remove_app_password(self, user: str, label: str) -> None:
        """Revoke one; NoSuchAccount."""

    # Shares

    @abstractmethod
    def add_share(self, record: ShareRecord) -> None:
        """Add one; AlreadyThere when the id is taken, TooMany."""

    @abstractmethod
    def share(self, share_id: str) -> ShareRecord | None:
        """Return one that has not expired, or None."""

    @abstractmethod
    def shares(self, maker: str | None = None) -> list[ShareRecord]:
        """Return the shares of one maker or of all that have not expired."""

    @abstractmethod
    def remove_share(self, share_id: str) -> None:
        """Revoke one; NoSuchAccount."""

    # Revoked tokens

    @abstractmethod
    def revoke_token(self, token_id: str, *, expires_at_ns: int) -> None:
        """Remember that a token is no good until it is none anyway; TooMany.

        Repeating it is no error; the later of the two times counts.
        """

    @abstractmethod
    def is_revoked(self, token_id: str) -> bool:
        """Tell whether a token was revoked."""

    # Secrets

    @abstractmethod
    def put_secret(self, name: str, sealed: bytes, *, new: bool = False) -> None:
        """Keep a sealed secret; with `new` raise AlreadyThere when there is one; TooMany."""

    @abstractmethod
    def secret(self, name: str) -> SecretRecord | None:
        """Return a sealed secret, or None."""

    @abstractmethod
    def secrets(self) -> list[SecretRecord]:
        """Return all."""

    @abstractmethod
    def remove_secret(self, name: str) -> None:
        """Forget one; NoSuchAccount."""
