"""KeyTokens: tokens that users sign with keys of their own."""

import functools
import logging
import time
from collections.abc import Iterator

from vfs.auth import scopes
from vfs.auth.caller import Caller
from vfs.auth.errors import Unauthenticated
from vfs.auth.keys import PublicKey, load_public_key
from vfs.auth.tokens import Peeked, check_claims, check_revoked, fits, scope_words
from vfs.auth.users import User, Users
from vfs.state.accounts import AccountStore

_LOADED_MAX = 1024

_log = logging.getLogger(__name__)


class KeyTokens:
    """Verifies tokens with the public keys that their users are registered with. Fixed."""

    def __init__(self, users: Users, store: AccountStore, audience: tuple[str, ...]) -> None:
        self._users = users
        self._store = store
        self._audience = audience

    def verify(self, peeked: Peeked, text: str) -> Caller:
        """Return the user who signed the token `text`, bounded by its scopes.

        Raises Unauthenticated. What is said of an unknown user and of a wrong signature is the
        same, and nothing else of a token is judged before its signature is.
        """
        signer = self.signer(peeked, text)
        if signer is None:
            raise Unauthenticated(
                "the token is not accepted: no user of this name ('sub' or 'email') has a key that"
                " its signature fits",
                name=peeked.name,
            )
        user, key = signer
        ends = check_claims(peeked.claims, self._audience, time.time())
        check_revoked(peeked, self._store)
        return Caller(
            name=user.name,
            groups=user.groups,
            scopes=scopes.parse(scope_words(peeked.claims)),
            credential=f"key:{key.id}",
            expires_at=ends,
        )

    def signer(self, peeked: Peeked, text: str) -> tuple[User, PublicKey] | None:
        """Return whose key signed the token, and which; None for nobody's."""
        user = self._named(peeked)
        if user is None:
            return None
        for key in _keys(user):
            if peeked.algorithm in key.algorithms and fits(text, key.key, peeked.algorithm):
                return user, key
        return None

    def _named(self, peeked: Peeked) -> User | None:
        """Return the user whom the claims name; None also when they name two."""
        name, email = peeked.claims.get("sub"), peeked.claims.get("email")
        by_name = self._users.find(name) if isinstance(name, str) and name else None
        by_email = self._users.find_by_email(email) if isinstance(email, str) and email else None
        if by_name and by_email and by_name.name != by_email.name:
            return None
        return by_name or by_email


def _keys(user: User) -> Iterator[PublicKey]:
    for text in user.public_keys:
        key = _loaded(text)
        if key is None:
            _log.warning("user %r has a public key that cannot be used; see: user list", user.name)
        else:
            yield key


@functools.lru_cache(_LOADED_MAX)
def _loaded(text: str) -> PublicKey | None:
    try:
        return load_public_key(text)
    except ValueError:
        return None
