"""Locks: what they and the If header forbid, and LOCK itself."""

import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice

from providers import waiting
from providers.base import Entry
from providers.errors import AlreadyExists, Denied, NotADirectory, NotFound
from vfs.auth.right import Right
from vfs.dav import if_header
from vfs.dav.bodies import parse_lockinfo
from vfs.dav.granted import Granted
from vfs.dav.if_header import List, holds, parse_if
from vfs.dav.multistatus import multistatus, status_response
from vfs.dav.preconditions import etag_of, require
from vfs.dav.xml import MAX_BODY_BYTES
from vfs.http.bad_request import BadRequest
from vfs.http.etags import variants
from vfs.http.markup import CONTENT_TYPE
from vfs.http.request import Request, Response
from vfs.http.target import quote
from vfs.state.base import Depth, LockRecord, Scope, StateStore
from vfs.state.errors import LockConflict, NoSuchLock
from vfs.state.limits import CONFLICTS_MAX
from vfs.tree import paths
from vfs.tree.subtree import Guard
from vfs.tree.tree import Tree

_SECONDS = re.compile(r"second-(\d{1,10})", re.IGNORECASE)


class Locked(Denied):
    """A path that `locks` keep as it is."""

    text = "it is locked"

    def __init__(self, path: str, locks: Sequence[LockRecord]) -> None:
        super().__init__(path, detail="its lock was not submitted")
        self.locks = locks

    def refusal(self) -> BadRequest:
        """Return the answer to a request for this very path."""
        return _not_submitted(self.locks)


def principal(request: Request) -> str:
    """Return the name that locks are held under."""
    return request.caller.holder


class Locks:
    """Asks the state store what a request may touch. All attributes are fixed."""

    def __init__(self, tree: Tree, store: StateStore) -> None:
        self._tree = tree
        self._store = store
        self.granted = Granted()

    # What other methods ask

    def check(self, request: Request, *, is_new: bool) -> Callable[[], None]:
        """Refuse a change of the request's path that a lock or the If header forbids.

        `is_new` says that it will come into being, which is a change of its folder too. Returns
        what asks for the locks once more: call it right before a change that took its time.
        """
        lists = self.judge(request)

        def demand() -> None:
            self.demand(request, request.path, lists, membership=is_new)

        demand()
        return demand

    def any(self) -> bool:
        """Tell whether there is any lock at all."""
        return self._store.any_locks()

    def judge(self, request: Request) -> tuple[List, ...]:
        """Return the lists of the If header; BadRequest 412 when none of them holds."""
        value = request.headers.get("if")
        if value is None:
            return ()
        lists = parse_if(value, request.origins)

        def state(path: str | None) -> tuple[set[str], tuple[str, ...]]:
            place = path or request.path
            etag = etag_of(self._entry(request, place))
            tokens = {lock.token for lock in self._store.locks_on(place)}
            return tokens, () if etag is None else variants(etag)

        if not holds(lists, state):
            raise BadRequest(412, "No list of the If header holds.")
        return lists

    def demand(
        self,
        request: Request,
        path: str,
        lists: Collection[List],
        *,
        membership: bool = False,
        beneath: bool = False,
    ) -> None:
        """Raise BadRequest 423 unless the request submits the locks that cover `path`.

        With `membership` also those on its folder itself, with `beneath` those on all it holds.
        """
        store = self._store
        if not store.any_locks():
            return
        missing = self._missing(request, path, store.locks_on(path), lists)
        if membership and path != paths.ROOT:
            folder = paths.parent(path)
            missing += self._missing(request, folder, store.locks_on(folder), lists)
        if beneath:
            locks = [*store.locks_on(path), *store.locks_beneath(path)]
            missing += self._missing(request, path, locks, lists)
        if missing:
            raise _not_submitted(missing)

    def guard(self, request: Request, lists: Collection[List]) -> Guard:
        """Return what keeps a path that is locked from being removed or replaced.

        It asks anew for each path, so a lock that is granted while a folder is worked on counts.
        A locked folder is kept whole: a lock of depth infinity covers its members, one of depth 0
        its membership.
        """

        def refuse(path: str) -> None:
            if self._store.any_locks():
                locks = self._store.locks_on(path)
                if missing := self._missing(request, path, locks, lists):
                    raise Locked(path, missing)

        return refuse

    @staticmethod
    def _missing(
        request: Request, path: str, locks: Collection[LockRecord], lists: Collection[List]
    ) -> list[LockRecord]:
        """Return those of `locks` that are in the way since they were not submitted by their owner.

        Of the shared locks that cover one place, `path` or beneath it, one is enough.
        """
        submitted = if_header.tokens(lists)
        who = principal(request)
        mine = {lock.token for lock in locks if lock.token in submitted and lock.principal == who}
        shared = [lock for lock in locks if lock.scope is Scope.SHARED and lock.token in mine]
        here = {lock.path for lock in shared}
        downwards = {lock.path for lock in shared if lock.depth is Depth.INFINITY}

        def is_open(place: str) -> bool:
            above = place
            while above != paths.ROOT:
                above = paths.parent(above)
                if above in downwards:
                    return True
            return place in here

        return [
            lock
            for lock in locks
            if lock.token not in mine
            and not (
                lock.scope is Scope.SHARED
                and is_open(lock.path if paths.is_within(lock.path, path) else path)
            )
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
        if entry is None and request.target.is_folder:
            raise BadRequest(405, "A name that ends in a slash is a folder; make it with MKCOL.")
        require(request, entry)
        lists = self.judge(request)
        if entry is None:
            # Once the lock is taken a file has to be made, whatever that takes.
            waiting.begin()
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
            return _conflict(request, conflict)
        created = self._make_empty(request, lock)
        self.granted.put(lock)
        # Beside an exclusive lock there is no other.
        shared = lock.scope is Scope.SHARED
        locks = self._store.locks_on(request.path) if shared else [lock]
        return _told(request, 201 if created else 200, lock, locks)

    def _refresh(self, request: Request, seconds: float | None) -> Response:
        if "if" not in request.headers:
            raise BadRequest(
                400, "A LOCK without a body refreshes the lock that an If header names; send one."
            )
        submitted = if_header.tokens(self.judge(request))
        covering = [lock for lock in self._store.locks_on(request.path) if lock.token in submitted]
        if len(covering) != 1:
            raise BadRequest(
                412,
                "Name one lock that covers the resource, in an If header, to refresh it.",
                condition="lock-token-matches-request-uri",
            )
        try:
            lock = self._store.refresh(covering[0], principal(request), seconds)
        except NoSuchLock:
            raise BadRequest(
                412, "The lock is gone.", condition="lock-token-matches-request-uri"
            ) from None
        response = _told(request, 200, lock, self._store.locks_on(request.path))
        # RFC 4918, 9.10.2: a refresh has no Lock-Token header.
        headers = [header for header in response.headers if header[0] != "Lock-Token"]
        return response._replace(headers=headers)

    def _make_empty(self, request: Request, lock: LockRecord) -> bool:
        """Put an empty file under a lock whose name is free; tell whether it was.

        What was there before the lock may have gone: only from now on nobody takes it away.
        """
        try:
            if self._entry(request, request.path) is not None:
                return False
            with self._tree.create(request.caller, request.path, overwrite=False) as writer:
                writer.commit()
        except AlreadyExists:
            return False
        except BaseException as error:
            self._store.release(lock)
            if isinstance(error, NotFound | NotADirectory):
                raise _no_parent() from None
            raise
        return True

    def _entry(self, request: Request, path: str) -> Entry | None:
        try:
            return self._tree.target(request.caller, path)
        except (NotADirectory, Denied):
            return None


def lockdiscovery(request: Request, locks: Iterable[LockRecord]) -> str:
    """Return the inner XML of the lockdiscovery property, with hrefs as the request's are."""
    return "".join(
        "<D:activelock><D:locktype><D:write/></D:locktype>"
        f"<D:lockscope><D:{lock.scope}/></D:lockscope><D:depth>{lock.depth}</D:depth>"
        f"{lock.owner_xml}<D:timeout>Second-{lock.timeout_seconds}</D:timeout>"
        f"<D:locktoken><D:href>{lock.token}</D:href></D:locktoken>"
        f"<D:lockroot><D:href>{request.href(lock.path)}</D:href></D:lockroot></D:activelock>"
        for lock in locks
    )


def _told(request: Request, status: int, lock: LockRecord, locks: list[LockRecord]) -> Response:
    inner = lockdiscovery(request, locks if lock in locks else [lock, *locks])
    body = (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<D:prop xmlns:D="DAV:"><D:lockdiscovery>{inner}</D:lockdiscovery></D:prop>\n'
    ).encode()
    headers = [("Content-Type", CONTENT_TYPE), ("Lock-Token", f"<{lock.token}>")]
    return Response(status, headers, body)


def _conflict(request: Request, conflict: LockConflict) -> Response:
    """Answer 423, or 207 where a member of the folder is what is locked (RFC 4918, 9.10.9)."""
    path = request.path
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
        *(status_response(request.href(member), 423, detail="it is locked") for member in members),
        status_response(request.href(path), 424),
    ]
    return Response(207, [("Content-Type", CONTENT_TYPE)], multistatus(responses))


def _not_submitted(locks: Iterable[LockRecord]) -> BadRequest:
    roots = dict.fromkeys(lock.path for lock in locks)
    return BadRequest(
        423,
        "It is locked. Send the lock's token in an If header, or wait until the lock ends.",
        condition="lock-token-submitted",
        hrefs=tuple(map(quote, islice(roots, CONFLICTS_MAX))),
    )


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
