"""COPY and MOVE within this server, also from one store to another."""

from providers.base import Entry
from providers.errors import NotADirectory, StorageError
from vfs.auth.right import Right
from vfs.dav.collections import failures_response
from vfs.dav.if_header import List
from vfs.dav.locks import Locks
from vfs.dav.preconditions import require
from vfs.http.bad_request import BadRequest
from vfs.http.request import Request, Response
from vfs.http.target import parse_destination
from vfs.tree import paths
from vfs.tree.relocation import Outcome
from vfs.tree.steps import Seen
from vfs.tree.tree import Tree


class Transfers:
    """The handlers of COPY and MOVE. Stateless."""

    def __init__(self, tree: Tree, locks: Locks) -> None:
        self._tree = tree
        self._locks = locks

    def copy(self, request: Request) -> Response:
        """Copy a resource with its properties; its locks stay where they are."""
        depth = request.headers.get("depth", "infinity").lower()
        if depth not in ("0", "infinity"):
            raise BadRequest(400, "The Depth of a COPY is 0 or infinity.")
        target = self._target(request)
        lists, seen = self._begin(request, target)
        try:
            outcome = self._tree.copy(
                request.caller,
                request.path,
                target,
                overwrite=overwrites(request),
                shallow=depth == "0",
                guard=self._locks.guard(request, lists),
                seen=seen,
            )
        except StorageError:
            self._demand_folder(request, target)
            raise
        return _told(request, target, outcome)

    def move(self, request: Request) -> Response:
        """Move a resource with its properties; locks on it die with the old name."""
        if request.headers.get("depth", "infinity").lower() != "infinity":
            raise BadRequest(400, "The Depth of a MOVE is infinity, or is left out.")
        target = self._target(request)
        lists, seen = self._begin(request, target)
        self._locks.demand(request, request.path, lists, membership=True, beneath=True)
        try:
            outcome = self._tree.rename(
                request.caller,
                request.path,
                target,
                overwrite=overwrites(request),
                guard=self._locks.guard(request, lists),
                seen=seen,
            )
        except StorageError:
            self._demand_folder(request, target)
            raise
        return _told(request, target, outcome)

    def _target(self, request: Request) -> str:
        value = request.headers.get("destination")
        if value is None:
            raise BadRequest(400, "Say in a Destination header where it shall go.")
        target = parse_destination(value, request.origins).path
        if paths.is_within(target, request.path) or paths.is_within(request.path, target):
            raise BadRequest(403, "Source and destination overlap; choose another name.")
        return target

    def _begin(self, request: Request, target: str) -> tuple[tuple[List, ...], tuple[Seen, Seen]]:
        """Ask everything that can refuse, before anything is touched.

        Return the lists of the If header, and what stands at both ends.
        """
        entry = self._tree.stat(request.caller, request.path, Right.READ)
        require(request, entry)
        lists = self._locks.judge(request)
        there = self._standing(request, target)
        self._locks.demand(request, target, lists, membership=there is None)
        return lists, (Seen(entry), Seen(there))

    def _demand_folder(self, request: Request, target: str) -> None:
        """Raise BadRequest 409 when what failed has no folder to go to.

        It is asked only then: nearly always it is there.
        """
        folder = self._standing(request, paths.parent(target))
        if folder is None or not folder.is_folder:
            raise BadRequest(409, "The folder of the destination does not exist.") from None

    def _standing(self, request: Request, path: str) -> Entry | None:
        try:
            return self._tree.target(request.caller, path)
        except NotADirectory:
            return None


def _told(request: Request, target: str, outcome: Outcome) -> Response:
    if outcome.failures:
        return failures_response(request, outcome.failures, request.path, target)
    return Response(201 if outcome.created else 204, [])


def overwrites(request: Request) -> bool:
    """Tell whether the request may replace what stands at its destination."""
    value = request.headers.get("overwrite", "T").upper()
    if value not in ("T", "F"):
        raise BadRequest(400, "Overwrite is T or F.")
    return value == "T"
