"""GatewayTokens: tokens that the gateway signs itself, for shares and for users."""

import secrets
import time
from collections.abc import Iterable

from vfs.auth import scopes
from vfs.auth.caller import Caller
from vfs.auth.errors import Unauthenticated
from vfs.auth.gateway_key import GatewayKey
from vfs.auth.tokens import Peeked, check_claims, check_revoked, fits, scope_words
from vfs.auth.users import Users
from vfs.state.accounts import AccountStore

ISSUER = "headgate"

_ID_BYTES = 16


class GatewayTokens:
    """Issues and verifies tokens whose issuer is ISSUER. Fixed once made.

    A token is good only while its user has an account, which must be the same: the claim `account`
    says when it was made, for one of the state store. That of a share may say by this claim that
    its maker came from an issuer, and had none here when it was issued.
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

        The token of a `share` says no more than which, as everything else is in the share's record:
        davfs2 and cadaver take no password of 256 bytes or more. Whether `user` may hand out such a
        token is for the caller of this method to decide.
        """
        if share is not None:
            short: dict[str, object] = {"iss": ISSUER, "exp": int(expires_at), "share": share}
            if self._users.find(user) is None:
                short["account"] = False
            return self._key.sign(short, short=True)
        claims: dict[str, object] = {
            "iss": ISSUER,
            "sub": user,
            "jti": new_id(),
            "iat": int(time.time()),
            "exp": int(expires_at),
        }
        found = self._users.find(user)
        if found is not None and found.created_at_ns:
            claims["account"] = found.created_at_ns
        words = tuple(scope)
        if words:
            claims["scope"] = " ".join(words)
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
        if "share" in peeked.claims:
            return self._shared(peeked, ends)
        user = self._users.find(peeked.name)
        if user is None or peeked.claims.get("account", 0) != user.created_at_ns:
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

    def _shared(self, peeked: Peeked, ends: float) -> Caller:
        record = self._store.share(str(peeked.claims["share"]))
        if record is None:
            raise _ended(peeked)
        user = self._users.find(record.maker)
        if user is None and peeked.claims.get("account") is not False:
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
