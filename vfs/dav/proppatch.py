"""PROPPATCH: all of its changes or none."""

from collections.abc import Iterable

from vfs.auth.rights import Right
from vfs.dav.bodies import DAV, Change, parse_proppatch
from vfs.dav.live import (
    LOCKDISCOVERY,
    PRINCIPAL,
    PRIVILEGES,
    QUOTA_AVAILABLE,
    QUOTA_USED,
    SUPPORTEDLOCK,
)
from vfs.dav.locks import Locks
from vfs.dav.multistatus import BASIC, CONTENT_TYPE, multistatus, propstat_response
from vfs.dav.xml import MAX_BODY_BYTES, Name, empty_element
from vfs.http.bad_request import BadRequest
from vfs.http.conditions import Verdict
from vfs.http.dates import parse_http_date
from vfs.http.etags import make_etag
from vfs.http.request import Request, Response
from vfs.http.target import quote
from vfs.state.base import StateStore
from vfs.tree.tree import Tree

WIN32_MODIFIED = Name("urn:schemas-microsoft-com:", "Win32LastModifiedTime")
"""Windows sends the time of a file that it has copied by this name."""

MODIFIED = Name(DAV, "getlastmodified")

_TIMES = frozenset({MODIFIED, WIN32_MODIFIED})
_PROTECTED = (
    frozenset(
        {
            *BASIC,
            LOCKDISCOVERY,
            SUPPORTEDLOCK,
            QUOTA_AVAILABLE,
            QUOTA_USED,
            PRINCIPAL,
            PRIVILEGES,
        }
    )
    - _TIMES
)


class PropPatch:
    """The handler of PROPPATCH. Stateless."""

    def __init__(self, tree: Tree, store: StateStore, locks: Locks) -> None:
        self._tree = tree
        self._store = store
        self._locks = locks

    def proppatch(self, request: Request) -> Response:
        """Answer 207. RFC 4918 gives it no Depth, so whatever a client sends there is ignored."""
        self._tree.check(request.caller, request.path, Right.MODIFY)
        entry = self._tree.stat(request.caller, request.path)
        verdict = request.conditions.verdict(
            "PROPPATCH", exists=True, etag=make_etag(entry.version), mtime_ns=entry.mtime_ns
        )
        if verdict is not Verdict.PROCEED:
            raise BadRequest(412, "The resource is not in the version that the request names.")
        self._locks.check(request, is_new=False)
        changes = parse_proppatch(request.small_body(MAX_BODY_BYTES))
        faults = {change.name: self._fault(request, change) for change in changes}
        if any(faults.values()):
            # Each that could have been done fails because of the others.
            told = {name: status or 424 for name, status in faults.items()}
        else:
            self._apply(request, changes)
            told = dict.fromkeys(faults, 200)
        groups = [
            (status, [empty_element(name) for name in told if told[name] == status])
            for status in sorted(set(told.values()))
        ]
        href = quote(request.path)
        if entry.is_folder and not href.endswith("/"):
            href += "/"
        body = multistatus([propstat_response(href, groups)])
        return Response(207, [("Content-Type", CONTENT_TYPE)], body)

    def apply(self, path: str, changes: Iterable[Change]) -> None:
        """Set the dead properties among `changes`, in their order, all or none."""
        last = {change.name: change for change in changes if change.name != MODIFIED}
        self._store.set_properties(
            path,
            {name: change.value for name, change in last.items() if change.value is not None},
            [name for name, change in last.items() if change.value is None],
        )

    def fault(self, change: Change) -> int:
        """Return the status that forbids a change, 0 if none does."""
        return 403 if change.name in _PROTECTED else 0

    def _fault(self, request: Request, change: Change) -> int:
        if change.name not in _TIMES:
            return self.fault(change)
        if change.value is None:
            return 403 if change.name != WIN32_MODIFIED else 0
        if parse_http_date(change.text) is None:
            return 409
        return 0 if self._tree.capabilities(request.path).set_mtime else 403

    def _apply(self, request: Request, changes: tuple[Change, ...]) -> None:
        # The store's part is one transaction. The time comes after it, since it can be set again.
        self.apply(request.path, changes)
        for change in changes:
            if change.name in _TIMES and change.value is not None:
                seconds = parse_http_date(change.text)
                assert seconds is not None
                self._tree.set_mtime(request.caller, request.path, seconds * 10**9)
