"""PROPPATCH: all of its changes or none."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

from providers.base import Entry
from providers.errors import StorageError
from vfs.auth.right import Right
from vfs.dav.bodies import DAV, Change, parse_proppatch
from vfs.dav.live import (
    LOCKDISCOVERY,
    PRINCIPAL,
    PRIVILEGES,
    QUOTA_AVAILABLE,
    QUOTA_USED,
    STATE,
    SUPPORTEDLOCK,
)
from vfs.dav.locks import Locks
from vfs.dav.multistatus import BASIC, multistatus, propstat_response
from vfs.dav.preconditions import require
from vfs.dav.xml import MAX_BODY_BYTES, Name, empty_element
from vfs.errors import meaning
from vfs.http.dates import parse_http_date
from vfs.http.markup import CONTENT_TYPE
from vfs.http.request import Request, Response
from vfs.state.base import StateStore
from vfs.state.errors import StateError, TooLarge, TooMany
from vfs.state.limits import check_property
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
            STATE,
        }
    )
    - _TIMES
)


Told = dict[Name, int]
"""What became of each property, as a status."""


class PropPatch:
    """The handler of PROPPATCH. Stateless."""

    def __init__(self, tree: Tree, store: StateStore, locks: Locks) -> None:
        self._tree = tree
        self._store = store
        self._locks = locks

    def proppatch(self, request: Request) -> Response:
        """Answer 207. RFC 4918 gives it no Depth, so whatever a client sends there is ignored."""
        self._tree.check(request.caller, request.path, Right.MODIFY)
        entry = self._tree.stat(request.caller, request.path, Right.MODIFY)
        require(request, entry)
        self._locks.check(request, is_new=False)
        changes = parse_proppatch(request.small_body(MAX_BODY_BYTES))
        times = self._tree.capabilities(request.path).set_mtime
        told = outcome(changes, {change.name: _fault(change, times=times) for change in changes})
        if all(status == 200 for status in told.values()):
            told = self._apply(request, entry, changes)
        href = request.href(request.path)
        if entry.is_folder and not href.endswith("/"):
            href += "/"
        body = multistatus([propstat_response(href, grouped(told))])
        return Response(207, [("Content-Type", CONTENT_TYPE)], body)

    def _apply(self, request: Request, entry: Entry, changes: tuple[Change, ...]) -> Told:
        """Do all or nothing. The time goes first: it can be set back, if its store lives on."""
        seconds = None
        for change in changes:
            if change.name in _TIMES and change.value is not None:
                seconds = parse_http_date(change.text)
        if seconds is not None:
            try:
                self._tree.set_mtime(request.caller, request.path, seconds * 10**9)
            except StorageError as error:
                status = meaning(error).status
                return outcome(changes, dict.fromkeys(_TIMES, status))
        try:
            set_dead(self._store, request.path, changes)
        except StateError as error:
            if seconds is not None:
                with suppress(StorageError):
                    self._tree.set_mtime(request.caller, request.path, entry.mtime_ns)
            if not isinstance(error, TooLarge | TooMany):
                raise
            return outcome(changes, {c.name: 507 for c in changes if c.value is not None})
        return outcome(changes, {})


def set_dead(store: StateStore, path: str, changes: Iterable[Change]) -> None:
    """Set the dead properties among `changes`, in their order, all or none."""
    last = {change.name: change for change in changes if change.name != MODIFIED}
    store.set_properties(
        path,
        {name: change.value for name, change in last.items() if change.value is not None},
        [name for name, change in last.items() if change.value is None],
    )


def fault(change: Change) -> int:
    """Return the status that forbids to set or remove a dead property, 0 if none does."""
    if change.name in _PROTECTED or change.name == MODIFIED:
        return 403
    try:
        check_property(*(text.encode() for text in (*change.name, change.value or "")))
    except TooLarge:
        return 507
    return 0


def outcome(changes: Iterable[Change], faults: Mapping[Name, int]) -> Told:
    """Return the status of each property: if one has a fault, the others fail because of it."""
    names = dict.fromkeys(change.name for change in changes)
    otherwise = 424 if any(faults.get(name) for name in names) else 200
    return {name: faults.get(name) or otherwise for name in names}


def grouped(told: Told) -> list[tuple[int, list[str]]]:
    """Return the properties as empty elements, by status."""
    return [
        (status, [empty_element(name) for name in told if told[name] == status])
        for status in sorted(set(told.values()))
    ]


def _fault(change: Change, *, times: bool) -> int:
    if change.name not in _TIMES:
        return fault(change)
    if change.value is None:
        return 403 if change.name == MODIFIED else 0
    if parse_http_date(change.text) is None:
        return 409
    return 0 if times else 403
