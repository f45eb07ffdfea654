"""Locks: what they and the If header forbid, and LOCK itself."""

import math
import re
from collections.abc import Iterable

from providers.base import Entry
from providers.errors import AlreadyExists, Denied, NotADirectory, NotFound, StorageError
from vfs.auth.rights import Right
from vfs.dav import if_header
from vfs.dav.bodies import parse_lockinfo
from vfs.dav.if_header import List, holds, parse_if
from vfs.dav.multistatus import CONTENT_TYPE, multistatus, status_response
from vfs.dav.xml import MAX_BODY_BYTES
from vfs.http.bad_request import BadRequest
from vfs.http.conditions import Verdict
from vfs.http.etags import make_etag
from vfs.http.request import Request, Response
from vfs.http.target import quote
from vfs.state.base import Depth, LockRecord, Scope, StateStore
from vfs.state.errors import LockConflict, NoSuchLock
from vfs.tree import paths
from vfs.tree.subtree import Guard
from vfs.tree.tree import Tree

_SECONDS = re.compile(r"second-(\d{1,10})", re.IGNORECASE)


class Locked(Denied):
    """A member that a lock keeps as it is."""

    text = "it is locked"


def principal(request: Request) -> str:
    """Return the name that locks are held under."""
    return request.caller.name or ""


class Locks:
    """Asks the state store what a request may touch. Stateless."""

    def __init__(self, tree: Tree, store: StateStore) -> None:
        self._tree = tree
        self._store = store

    # What other methods ask

    def check(self, request: Request, *, is_new: bool) -> None:
        """Refuse a change of the request's path that a lock or the If header forbids.

        `is_new` says that it will come into being, which is a change of its folder too.
        """
        lists = self.judge(request)
        self.demand(request, request.path, lists, membership=is_new)

    def judge(self, request: Request) -> tuple[List, ...]:
        """Return the lists of the If header; BadRequest 412 when none of them holds."""
        value = request.headers.get("if")
        if value is None:
            return ()
        lists = parse_if(value, request.origins)

        def state(path: str | None) -> tuple[set[str], str | None]:
            place = path or request.path
            entry = self._entry(request, place)
            etag = make_etag(entry.version) if entry and not entry.is_folder else None
            return {lock.token for lock in self._store.locks_on(place)}, etag

        if not holds(lists, state):
            raise BadRequest(412, "No list of the If header holds.")
        return lists

    def demand(
        self,
        request: Request,
        path: str,
        lists: Iterable[List],
        *,
        membership: bool = False,
        beneath: bool = False,
    ) -> None:
        """Raise BadRequest 423 unless the request submits the locks that cover `path`.

        With `membership` also those on its folder itself, with `beneath` those on all it holds.
        """
        if not self._store.any_locks():
            return
        locks = self._store.locks_on(path)
        if membership and path != paths.ROOT:
            locks += [
                lock for lock in self._store.locks_on(paths.parent(path)) if lock not in locks
            ]
        if beneath:
            locks += [lock for lock in self._store.locks_beneath(path) if lock not in locks]
        for lock in self._missing(request, locks, lists):
            raise BadRequest(
                423,
                "It is locked. Send the lock's token in an If header, or wait until the lock ends.",
                condition="lock-token-submitted",
                hrefs=(quote(lock.path),),
            )

    def guard(self, request: Request, path: str, lists: Iterable[List]) -> Guard | None:
        """Return what keeps the locked members beneath `path` from being removed, if any is."""
        if not self._store.any_locks():
            return None
        missing = self._missing(request, self._store.locks_beneath(path), lists)
        if not missing:
            return None
        roots = {lock.path: lock for lock in missing}

        def refuse(member: str) -> None:
            if member in roots:
                raise Locked(member, detail="its lock was not submitted")
            # A lock of depth infinity covers what is beneath; one of depth 0 on a folder covers
            # its membership. The walk stops at the folder itself, so both are kept whole.

        return refuse

    def _missing(
        self, request: Request, locks: Iterable[LockRecord], lists: Iterable[List]
    ) -> list[LockRecord]:
        """Return the locks that are in the way because no token of theirs was submitted."""
        submitted = if_header.tokens(tuple(lists))
        who = principal(request)
        shared: dict[str, list[LockRecord]] = {}
        missing = []
        for lock in locks:
            if lock.scope is Scope.SHARED:
                shared.setdefault(lock.path, []).append(lock)
            elif lock.token not in submitted or lock.principal != who:
                missing.append(lock)
        return missing + [
            together[0]
            for together in shared.values()
            if not any(lock.token in submitted and lock.principal == who for lock in together)
        ]

    # LOCK

    def lock(self, request: Request) -> Response:
        """Take or refresh a lock; a name that is free gets an empty file."""
        body = request.small_body(MAX_BODY_BYTES)
        seconds = _timeout(request.headers.get("timeout", ""))
        self._tree.check(request.caller, request.path, Right.LOCK)
        if not body:
            return self._refresh(request, seconds)
        depth = request.headers.get("depth", "infinity").lower()
        if depth not in ("0", "infinity"):
            raise BadRequest(400, "The Depth of a LOCK is 0 or infinity.")
        info = parse_lockinfo(body)
        entry = self._entry(request, request.path)
        verdict = request.conditions.verdict(
            "LOCK",
            exists=entry is not None,
            etag=make_etag(entry.version) if entry else None,
            mtime_ns=entry.mtime_ns if entry else None,
        )
        if verdict is not Verdict.PROCEED:
            raise BadRequest(412, "The resource is not in the version that the request names.")
        lists = self.judge(request)
        if entry is None:
            self._check_parent(request)
            self._tree.check(request.caller, request.path, Right.CREATE)
            self.demand(request, request.path, lists, membership=True)
        try:
            lock = self._store.acquire(
                request.path,
                principal=principal(request),
                scope=Scope.EXCLUSIVE if info.is_exclusive else Scope.SHARED,
                depth=Depth.ZERO if depth == "0" else Depth.INFINITY,
                owner_xml=info.owner or "",
                seconds=seconds,
            )
        except LockConflict as conflict:
            return _conflict(request.path, conflict)
        created = entry is None and self._make_empty(request, lock)
        return _told(201 if created else 200, lock, self._store.locks_on(request.path))

    def _refresh(self, request: Request, seconds: float | None) -> Response:
        lists = parse_if(request.headers.get("if", ""), request.origins)
        submitted = if_header.tokens(lists)
        covering = [lock for lock in self._store.locks_on(request.path) if lock.token in submitted]
        if len(covering) != 1:
            raise BadRequest(
                412,
                "Name one lock that covers the resource, in an If header, to refresh it.",
                condition="lock-token-matches-request-uri",
            )
        try:
            lock = self._store.refresh(covering[0].token, principal(request), seconds)
        except NoSuchLock:
            raise BadRequest(
                412, "The lock is gone.", condition="lock-token-matches-request-uri"
            ) from None
        response = _told(200, lock, self._store.locks_on(request.path))
        # RFC 4918, 9.10.2: a refresh has no Lock-Token header.
        headers = [header for header in response.headers if header[0] != "Lock-Token"]
        return response._replace(headers=headers)

    def _make_empty(self, request: Request, lock: LockRecord) -> bool:
        """Put an empty file under a lock that was taken on a free name."""
        try:
            with self._tree.create(request.caller, request.path, overwrite=False) as writer:
                writer.commit()
        except AlreadyExists:
            return False
        except StorageError as error:
            self._store.release(lock.token)
            if isinstance(error, NotFound | NotADirectory):
                raise _no_parent() from None
            raise
        return True

    def _check_parent(self, request: Request) -> None:
        parent = self._entry(request, paths.parent(request.path))
        if parent is None or not parent.is_folder:
            raise _no_parent()

    def _entry(self, request: Request, path: str) -> Entry | None:
        try:
            return self._tree.target(request.caller, path)
        except (NotADirectory, Denied):
            return None


def lockdiscovery(locks: Iterable[LockRecord]) -> str:
    """Return the inner XML of the lockdiscovery property."""
    return "".join(
        "<D:activelock><D:locktype><D:write/></D:locktype>"
        f"<D:lockscope><D:{lock.scope}/></D:lockscope><D:depth>{lock.depth}</D:depth>"
        f"{lock.owner_xml}<D:timeout>Second-{lock.timeout_seconds}</D:timeout>"
        f"<D:locktoken><D:href>{lock.token}</D:href></D:locktoken>"
        f"<D:lockroot><D:href>{quote(lock.path)}</D:href></D:lockroot></D:activelock>"
        for lock in locks
    )


def _told(status: int, lock: LockRecord, locks: list[LockRecord]) -> Response:
    inner = lockdiscovery(locks if lock in locks else [lock, *locks])
    body = (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<D:prop xmlns:D="DAV:"><D:lockdiscovery>{inner}</D:lockdiscovery></D:prop>\n'
    ).encode()
    headers = [("Content-Type", CONTENT_TYPE), ("Lock-Token", f"<{lock.token}>")]
    return Response(status, headers, body)


def _conflict(path: str, conflict: LockConflict) -> Response:
    """Answer 423, or 207 where a member of the folder is what is locked (RFC 4918, 9.10.9)."""
    members = sorted({lock.path for lock in conflict.locks if lock.path != path})
    if not members or not all(paths.is_within(member, path) for member in members):
        roots = tuple(quote(lock.path) for lock in conflict.locks)
        raise BadRequest(
            423,
            "Another lock is in the way; wait until it ends.",
            condition="no-conflicting-lock",
            hrefs=roots,
        )
    responses = [
        *(status_response(quote(member), 423, detail="it is locked") for member in members),
        status_response(quote(path), 424),
    ]
    return Response(207, [("Content-Type", CONTENT_TYPE)], multistatus(responses))


def _timeout(value: str) -> float | None:
    """Return the seconds that a client asks for; the first wish that is understood counts."""
    for wish in map(str.strip, value.split(",")):
        if wish.lower() == "infinite":
            return math.inf
        seconds = _SECONDS.fullmatch(wish)
        if seconds is not None:
            return float(seconds[1])
    return None


def _no_parent() -> BadRequest:
    return BadRequest(409, "The folder does not exist; make it with MKCOL first.")
