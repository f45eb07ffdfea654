"""Basic: a name with the user's password, or with an app password of the user's."""

import hmac

from vfs.auth import app_passwords, scopes
from vfs.auth.caller import Caller
from vfs.auth.errors import Unauthenticated
from vfs.auth.passwords import Passwords
from vfs.auth.users import User, Users
from vfs.state.accounts import AccountStore

# One text for all causes: which it was would help only those who guess.
REFUSED = "the user name or the password is wrong, or the password has expired or was revoked"


class Basic:
    """Verifies a name and a password. All attributes are fixed.

    Strangers' passwords are verified by `passwords`; those of users at addresses where they have
    logged in before by `known`, so that a flood of the former keeps none of the latter out.
    """

    def __init__(
        self,
        users: Users,
        passwords: Passwords,
        store: AccountStore,
        *,
        known: Passwords | None = None,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._known = known or passwords
        self._store = store

    def verify(self, name: str, password: str, *, known: bool = False) -> Caller:
        """Return who this is; Unauthenticated, or Throttled when too many log in at once."""
        user = self._users.find(name)
        if app_passwords.is_one(password):
            caller = self._by_app_password(user, password)
        else:
            caller = self._by_own_password(
                user, password, self._known if known else self._passwords
            )
        if caller is None:
            raise Unauthenticated(REFUSED, name=name)
        return caller

    def _by_own_password(
        self, user: User | None, password: str, passwords: Passwords
    ) -> Caller | None:
        is_right = passwords.verify(user.password_hash if user else None, password)
        if not is_right or user is None:
            return None
        return Caller(name=user.name, groups=user.groups, credential="password")

    def _by_app_password(self, user: User | None, secret: str) -> Caller | None:
        digest = app_passwords.digest(secret)
        # Asked for a stranger too, so that he takes as long.
        record = self._store.app_password(user.name if user else "", digest)
        if user is None or record is None or not hmac.compare_digest(record.digest, digest):
            return None
        return Caller(
            name=user.name,
            groups=user.groups,
            # Words that give no path at all give nothing: a bound was meant.
            scopes=(scopes.parse(record.scopes) or ()) if record.scopes else None,
            credential=f"app:{record.label}",
            expires_at=record.expires_at_ns / 1e9 if record.expires_at_ns is not None else None,
        )
