"""MKCOL and DELETE: folders made, and resources removed."""

from collections.abc import Iterable

from providers.errors import NotADirectory, NotFound
from vfs.dav.bodies import parse_mkcol
from vfs.dav.locks import Locked, Locks
from vfs.dav.multistatus import CONTENT_TYPE, multistatus, propstat_response, status_response
from vfs.dav.proppatch import PropPatch
from vfs.dav.xml import MAX_BODY_BYTES, empty_element
from vfs.errors import meaning
from vfs.http.bad_request import BadRequest
from vfs.http.conditions import Verdict
from vfs.http.etags import make_etag
from vfs.http.request import Request, Response
from vfs.http.target import quote
from vfs.state.base import StateStore
from vfs.state.errors import StateError
from vfs.tree.subtree import Failure
from vfs.tree.tree import Tree


class Collections:
    """The handlers of MKCOL and DELETE. Stateless."""

    def __init__(self, tree: Tree, store: StateStore, locks: Locks, properties: PropPatch) -> None:
        self._tree = tree
        self._store = store
        self._locks = locks
        self._properties = properties

    def mkcol(self, request: Request) -> Response:
        """Make one folder, with the properties of an extended MKCOL (RFC 5689) or not at all."""
        body = request.small_body(MAX_BODY_BYTES)
        changes = parse_mkcol(body, request.headers.get("content-type", ""))
        try:
            entry = self._tree.target(request.caller, request.path)
        except NotADirectory:
            raise _no_parent() from None
        if request.conditions.verdict("MKCOL", exists=entry is not None) is not Verdict.PROCEED:
            raise BadRequest(412, "The resource is not in the state that the request names.")
        if entry is not None:
            raise BadRequest(405, "Something is there already, and MKCOL replaces nothing.")
        self._locks.check(request, is_new=True)
        refused = [change.name for change in changes if self._properties.fault(change)]
        if refused:
            failed = propstat_response(
                quote(request.path),
                [
                    (403, [empty_element(name) for name in refused]),
                    (424, [empty_element(c.name) for c in changes if c.name not in refused]),
                ],
            )
            return Response(403, [("Content-Type", CONTENT_TYPE)], multistatus([failed]))
        try:
            self._tree.mkdir(request.caller, request.path)
        except (NotFound, NotADirectory):
            raise _no_parent() from None
        if changes:
            try:
                self._properties.apply(request.path, changes)
            except StateError:
                self._tree.remove(request.caller, request.path)
                raise
        return Response(201, [])

    def delete(self, request: Request) -> Response:
        """Remove a resource; members that must stay keep the folders that lead to them."""
        depth = request.headers.get("depth", "infinity").lower()
        entry = self._tree.stat(request.caller, request.path)
        if entry.is_folder and depth != "infinity":
            raise BadRequest(400, "The Depth of a DELETE is infinity, or is left out.")
        verdict = request.conditions.verdict(
            "DELETE",
            exists=True,
            etag=None if entry.is_folder else make_etag(entry.version),
            mtime_ns=entry.mtime_ns,
        )
        if verdict is not Verdict.PROCEED:
            raise BadRequest(412, "The resource is not in the version that the request names.")
        lists = self._locks.judge(request)
        self._locks.demand(request, request.path, lists, membership=True)
        is_conditional = request.conditions.if_match is not None or bool(lists)
        failures = self._tree.remove(
            request.caller,
            request.path,
            expect=entry.version if is_conditional and not entry.is_folder else None,
            guard=self._locks.guard(request, request.path, lists),
        )
        if not failures:
            self._store.drop_tree(request.path)
            return Response(204, [])
        return failures_response(failures)


def failures_response(failures: Iterable[Failure]) -> Response:
    """Answer 207 with the members that were left as they were, and why."""
    responses = (
        status_response(
            quote(failure.path),
            423 if isinstance(failure.error, Locked) else meaning(failure.error).status,
            detail=failure.error.detail or failure.error.text,
        )
        for failure in failures
    )
    return Response(207, [("Content-Type", CONTENT_TYPE)], multistatus(responses))


def _no_parent() -> BadRequest:
    return BadRequest(409, "The folder that shall hold it does not exist; make that first.")
