"""Shares: what users lend of their own rights, for a time, to whoever holds a token."""

import re
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, get_args
from urllib.parse import quote

from providers.errors import Denied
from vfs.auth import scopes
from vfs.auth.caller import Caller
from vfs.auth.right import Grant, Right
from vfs.auth.rights import Rights
from vfs.state.accounts import AccountStore, ShareRecord
from vfs.state.errors import NoSuchAccount
from vfs.tree import paths

Verb = Literal["read", "create", "modify"]
"""What can be lent: reading; making new files; making, changing and removing them."""

SHARE_SECONDS_DEFAULT = 7 * 86_400
SHARE_SECONDS_MAX = 366 * 86_400
NOTE_MAX_CHARACTERS = 200

_ID_BYTES = 8
_ID = re.compile(r"[0-9a-f]{16}")
_NS = 10**9


class Tokens(Protocol):
    """What signs the tokens of shares."""

    def issue(self, user: str, *, expires_at: float, share: str | None = None) -> str:
        """Return a token for the share of this id that `user` made, good until `expires_at`."""


class Shares:
    """Makes, lists and revokes shares. Fixed once made; a reload changes what the functions give.

    A share is bounded twice: here, when it is made, and by the rights that its maker still has
    whenever it is used. Only a credential without scopes may deal with shares: the others, those of
    shares among them, were themselves lent for something narrower.
    """

    def __init__(
        self,
        store: AccountStore,
        rights: Callable[[], Rights],
        tokens: Callable[[], Tokens],
        *,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._rights = rights
        self._tokens = tokens
        self._now_ns = now_ns

    def make(
        self,
        caller: Caller,
        path: str,
        verbs: Sequence[Verb],
        *,
        seconds: float = SHARE_SECONDS_DEFAULT,
        note: str = "",
    ) -> tuple[ShareRecord, str]:
        """Make a share of `path` and all beneath; return it with its token, which is kept nowhere.

        It ends no later than the caller's own credential. Raises InvalidPath, Denied when the
        caller lacks `share` or a right that is to be lent, and ValueError, with the cause, for
        anything else that cannot be.
        """
        path = paths.parse(path)
        maker = _login(caller, path)
        words = _words(path, verbs)
        _check(seconds, note)
        rights = self._rights()
        lent = frozenset[Right]().union(*(grant.rights for grant in scopes.parse(words) or ()))
        for right in (Right.SHARE, *sorted(lent)):
            rights.check(caller, path, right)
        now = self._now_ns()
        ends = now + int(seconds * _NS)
        if caller.expires_at is not None:
            ends = min(ends, int(caller.expires_at * _NS))
        record = ShareRecord(
            id=secrets.token_hex(_ID_BYTES),
            maker=maker,
            # An account's groups are looked up at each use; those of an issuer are known now only.
            groups=tuple(sorted(caller.groups)) if caller.credential.startswith("oidc:") else (),
            scopes=words,
            note=note,
            created_at_ns=now,
            expires_at_ns=ends,
        )
        self._store.add_share(record)
        token = self._tokens().issue(maker, expires_at=ends / _NS, share=record.id)
        return record, token

    def made_by(self, caller: Caller) -> list[ShareRecord]:
        """Return the caller's shares that have not ended; Denied."""
        return self._store.shares(_login(caller))

    def revoke(self, caller: Caller, share_id: str) -> None:
        """End a share at once.

        Its maker may, and whoever has the right `admin` on what it lends. For all others it does
        not exist: NoSuchAccount.
        """
        name = _login(caller)
        record = self._store.share(share_id) if _ID.fullmatch(share_id) else None
        if record is None or not (record.maker == name or self._administers(caller, record)):
            raise NoSuchAccount("no share of yours has this id; list them")
        self._store.remove_share(record.id)

    def _administers(self, caller: Caller, record: ShareRecord) -> bool:
        rights = self._rights()
        lent = grants(record)
        return bool(lent) and all(rights.allows(caller, grant.path, Right.ADMIN) for grant in lent)


def grants(record: ShareRecord) -> tuple[Grant, ...]:
    """Return what a share lends."""
    return scopes.parse(record.scopes) or ()


def _login(caller: Caller, path: str = "") -> str:
    """Return the caller's name; Denied for who may not deal with shares."""
    if caller.name is None:
        raise Denied(path, detail="shares belong to users; log in")
    if caller.scopes is not None or caller.credential.startswith("share:"):
        raise Denied(
            path,
            detail="what you logged in with is itself bound to some paths; log in with a"
            " credential without scopes to deal with shares",
        )
    return caller.name


def _words(path: str, verbs: Sequence[Verb]) -> tuple[str, ...]:
    unknown = [verb for verb in verbs if verb not in get_args(Verb)]
    if unknown or not verbs:
        raise ValueError(f"a share lends at least one of: {', '.join(get_args(Verb))}")
    where = quote(path, errors="surrogateescape")
    return tuple(f"storage.{verb}:{where}" for verb in dict.fromkeys(verbs))


def _check(seconds: float, note: str) -> None:
    if not 1 <= seconds <= SHARE_SECONDS_MAX:
        days = SHARE_SECONDS_MAX // 86_400
        raise ValueError(f"a share lasts between one second and {days} days")
    if len(note) > NOTE_MAX_CHARACTERS or not note.isprintable():
        raise ValueError(f"a note has at most {NOTE_MAX_CHARACTERS} characters, on one line")
