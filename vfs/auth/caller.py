"""Caller: who asks, with what, and from where."""

import msgspec

from vfs.auth.right import Grant


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One requester, as every operation of the tree sees it.

    `name` is None for somebody who gave no credentials. `scopes`, when it is not None, bounds what
    the credential is good for, whatever the rules would give its bearer. `vouched` says that an
    issuer the gateway trusts stands behind the scopes, so that rules for "scope" hold.

    `credential` names what was shown, for the audit log: "password", "app:NAME", "key:ID",
    "token:ID", "share:ID", "oidc:ISSUER"; never a secret. It is good until `expires_at`, in Unix
    seconds.
    `address` is the network address, "" for the gateway's own work.
    """

    name: str | None = None
    groups: frozenset[str] = frozenset()
    scopes: tuple[Grant, ...] | None = None
    vouched: bool = False
    credential: str = ""
    expires_at: float | None = None
    address: str = ""


ANONYMOUS = Caller()
