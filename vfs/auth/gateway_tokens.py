"""GatewayTokens: tokens that the gateway signs itself, for shares and for users."""

import secrets
import time
from collections.abc import Iterable

from vfs.auth import scopes
from vfs.auth.caller import Caller
from vfs.auth.errors import Unauthenticated
from vfs.auth.gateway_key import GatewayKey
from vfs.auth.tokens import Peeked, check_claims, check_revoked, fits, scope_words
from vfs.auth.users import User, Users
from vfs.state.accounts import AccountStore

ISSUER = "headgate"

_ID_BYTES = 16


class GatewayTokens:
    """Issues and verifies tokens whose issuer is ISSUER. Fixed once made.

    Their claim `account` says that the bearer's name was that of an account when it was issued;
    such a token is good only while there is one. Other bearers come from an issuer, and have no
    account here.
    """

    def __init__(
        self, store: AccountStore, key: GatewayKey, users: Users, audience: tuple[str, ...]
    ) -> None:
        self._store = store
        self._key = key
        self._users = users
        self._audience = audience

    def issue(
        self,
        user: str,
        *,
        expires_at: float,
        scope: Iterable[str] = (),
        share: str | None = None,
        audience: str | None = None,
    ) -> str:
        """Return a token that lets its bearer be `user` within `scope`, until `expires_at`.

        The token of a `share` has its scopes from the share's record. Whether `user` may hand out
        such a token is for the caller of this method to decide.
        """
        claims: dict[str, object] = {
            "iss": ISSUER,
            "sub": user,
            "jti": new_id(),
            "iat": int(time.time()),
            "exp": int(expires_at),
            "account": self._users.find(user) is not None,
        }
        words = tuple(scope)
        if words:
            claims["scope"] = " ".join(words)
        if share is not None:
            claims["share"] = share
        if audience is not None:
            claims["aud"] = audience
        return self._key.sign(claims)

    def verify(self, peeked: Peeked, text: str) -> Caller:
        """Return whom the token `text` lets its bearer be; Unauthenticated for none.

        Nothing else of a token is judged before its signature is.
        """
        if not self.is_signed(peeked, text):
            raise Unauthenticated(
                "the token is not accepted: it says that this gateway signed it, and its signature"
                " does not fit; get a new one",
                name=peeked.name,
            )
        ends = check_claims(peeked.claims, self._audience, time.time())
        check_revoked(peeked, self._store)
        user = self._users.find(peeked.name)
        if user is None and peeked.claims.get("account") is not False:
            raise _ended(peeked)
        if "share" in peeked.claims:
            return self._shared(peeked, user, ends)
        if user is None:
            raise _ended(peeked)
        return Caller(
            name=user.name,
            groups=user.groups,
            scopes=scopes.parse(scope_words(peeked.claims)),
            credential=f"token:{peeked.id}",
            expires_at=ends,
        )

    def is_signed(self, peeked: Peeked, text: str) -> bool:
        """Tell whether the gateway's key signed the token."""
        if peeked.claims.get("iss") != ISSUER or peeked.algorithm != "EdDSA":
            return False
        key = self._key.public()
        return key is not None and fits(text, key, "EdDSA")

    def _shared(self, peeked: Peeked, user: User | None, ends: float) -> Caller:
        record = self._store.share(str(peeked.claims["share"]))
        if record is None or record.maker != peeked.name:
            raise _ended(peeked)
        groups = frozenset(record.groups)
        return Caller(
            name=record.maker,
            groups=groups if user is None else groups | user.groups,
            # A share without any scope would have no bound at all.
            scopes=scopes.parse(record.scopes) or (),
            credential=f"share:{record.id}",
            expires_at=min(ends, record.expires_at_ns / 1e9),
        )


def new_id() -> str:
    """Return a `jti` that no other token has."""
    return secrets.token_urlsafe(_ID_BYTES)


def _ended(peeked: Peeked) -> Unauthenticated:
    return Unauthenticated(
        "the token is not accepted: its share or its user is no longer there; get a new one",
        name=peeked.name,
    )
