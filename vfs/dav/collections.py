"""MKCOL and DELETE: folders made, and resources removed."""

from providers.errors import AlreadyExists, NotADirectory, NotFound
from vfs.auth.right import Right
from vfs.dav.bodies import parse_mkcol
from vfs.dav.locks import Locked, Locks
from vfs.dav.multistatus import mkcol_body, multistatus, status_response
from vfs.dav.preconditions import require
from vfs.dav.proppatch import Told, fault, grouped, outcome, set_dead
from vfs.dav.xml import MAX_BODY_BYTES
from vfs.errors import meaning
from vfs.http.bad_request import BadRequest
from vfs.http.markup import CONTENT_TYPE
from vfs.http.request import Request, Response
from vfs.state.base import StateStore
from vfs.state.errors import StateError, TooLarge, TooMany
from vfs.tree.steps import Seen
from vfs.tree.subtree import Failure
from vfs.tree.tree import Tree


class Collections:
    """The handlers of MKCOL and DELETE. Stateless."""

    def __init__(self, tree: Tree, store: StateStore, locks: Locks) -> None:
        self._tree = tree
        self._store = store
        self._locks = locks

    def mkcol(self, request: Request) -> Response:
        """Make one folder, with the properties of an extended MKCOL (RFC 5689) or not at all."""
        body = request.small_body(MAX_BODY_BYTES)
        changes = parse_mkcol(body, request.headers.get("content-type", ""))
        if not self._is_unasked(request):
            try:
                entry = self._tree.target(request.caller, request.path)
            except NotADirectory:
                raise _no_parent() from None
            require(request, entry)
            if entry is not None:
                raise _is_there()
        self._locks.check(request, is_new=True)
        told = outcome(changes, {change.name: fault(change) for change in changes})
        if any(status != 200 for status in told.values()):
            return _refused(told)
        try:
            self._tree.mkdir(request.caller, request.path)
        except AlreadyExists:
            raise _is_there() from None
        except (NotFound, NotADirectory):
            raise _no_parent() from None
        try:
            if changes:
                set_dead(self._store, request.path, changes)
        except StateError as error:
            self._tree.remove(request.caller, request.path)
            if not isinstance(error, TooLarge | TooMany):
                raise
            return _refused(dict.fromkeys(told, 507))
        return Response(201, [])

    def _is_unasked(self, request: Request) -> bool:
        """Tell whether the store itself may say that something is there, when it makes the folder.

        A condition or a lock may have something else to say first.
        """
        return (
            not request.conditions.can_fail
            and "if" not in request.headers
            and not self._locks.any()
            and self._tree.takes_unasked(request.caller, request.path)
        )

    def delete(self, request: Request) -> Response:
        """Remove a resource; members that must stay keep the folders that lead to them."""
        depth = request.headers.get("depth", "infinity").lower()
        entry = self._tree.stat(request.caller, request.path, Right.DELETE)
        if entry.is_folder and depth != "infinity":
            raise BadRequest(400, "The Depth of a DELETE is infinity, or is left out.")
        require(request, entry)
        lists = self._locks.judge(request)
        self._locks.demand(request, request.path, lists, membership=True)
        conditions = request.conditions
        is_conditional = (
            conditions.if_match is not None
            or conditions.if_unmodified_since is not None
            or bool(lists)
        )
        failures = self._tree.remove(
            request.caller,
            request.path,
            expect=entry.version if is_conditional and not entry.is_folder else None,
            guard=self._locks.guard(request, lists),
            seen=Seen(entry),
        )
        return failures_response(request, failures, request.path) if failures else Response(204, [])


def failures_response(request: Request, failures: list[Failure], *asked: str) -> Response:
    """Answer 207 with the members that were left as they were, and why.

    When it is the path that was `asked` for that a lock keeps, nothing happened: 423.
    """
    first = failures[0]
    if len(failures) == 1 and first.path in asked and isinstance(first.error, Locked):
        raise first.error.refusal()
    responses = (
        status_response(
            request.href(failure.path),
            423 if isinstance(failure.error, Locked) else meaning(failure.error).status,
            detail=failure.error.detail or failure.error.text,
        )
        for failure in failures
    )
    return Response(207, [("Content-Type", CONTENT_TYPE)], multistatus(responses))


def _refused(told: Told) -> Response:
    """Answer an extended MKCOL that made nothing, by the status of its worst property."""
    status = next(status for status in told.values() if status != 424)
    return Response(status, [("Content-Type", CONTENT_TYPE)], mkcol_body(grouped(told)))


def _is_there() -> BadRequest:
    return BadRequest(405, "Something is there already, and MKCOL replaces nothing.")


def _no_parent() -> BadRequest:
    return BadRequest(409, "The folder that shall hold it does not exist; make that first.")
