"""Caller: who asks, with what, and from where."""

import hashlib

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

    @property
    def holder(self) -> str:
        """Whom locks and unfinished uploads belong to.

        A credential with scopes is held apart from its user's others: it may be somebody else who
        bears it, and scopes say nothing of what these have left behind.
        """
        name = self.name or ""
        if self.scopes is None:
            return name
        # An issuer renews its tokens; those of the same scopes go on where the last one ended.
        is_renewed = self.credential.startswith(("oidc:", "key:", "token:"))
        bound = _digest(self.scopes) if is_renewed else self.credential
        # No name holds a newline.
        return f"{name}\n{bound}"


def _digest(grants: tuple[Grant, ...]) -> str:
    told = [(grant.path, sorted(grant.rights)) for grant in grants]
    return hashlib.sha256(repr(told).encode("utf-8", "surrogateescape")).hexdigest()[:32]


ANONYMOUS = Caller()
