"""Caller: who asks, with what, and from where."""

import msgspec


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One requester, as every operation of the tree sees it.

    `name` is None for somebody who gave no credentials. `scopes` are the rights that a token
    carries by itself. `address` is the network address, "" for the gateway's own work.
    """

    name: str | None = None
    groups: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ()
    address: str = ""


ANONYMOUS = Caller()
