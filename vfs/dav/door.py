"""Door: the handlers of every method, put together."""

from vfs.dav.chunked import Chunked
from vfs.dav.collections import Collections
from vfs.dav.engine import Engine
from vfs.dav.locks import Locks
from vfs.dav.options import options
from vfs.dav.parts import Parts
from vfs.dav.propfind import PropFind
from vfs.dav.proppatch import PropPatch
from vfs.dav.transfers import Transfers
from vfs.http.bad_request import BadRequest
from vfs.http.gate import Handler
from vfs.http.promptness import Rule
from vfs.http.reading import Reading
from vfs.http.request import Request, Response
from vfs.http.target import parse_destination
from vfs.http.writing import Writing
from vfs.jobs import Jobs
from vfs.state.base import StateStore
from vfs.tree.tree import Tree


def handlers(
    tree: Tree, store: StateStore, parts: Parts, jobs: Jobs | None = None
) -> dict[str, Handler]:
    """Return what answers each method."""
    locks = Locks(tree, store)
    reading = Reading(tree, jobs)
    writing = Writing(tree, locks)
    properties = PropPatch(tree, store, locks)
    collections = Collections(tree, store, locks)
    transfers = Transfers(tree, locks)

    def patch(request: Request) -> Response:
        asks = "x-recalculate-hash" in request.headers
        return reading.recalculate(request) if asks else writing.patch(request)

    table: dict[str, Handler] = {
        "GET": reading.get,
        "HEAD": reading.get,
        "PUT": writing.put,
        "PATCH": patch,
        "PROPFIND": PropFind(tree, store, locks).propfind,
        "PROPPATCH": properties.proppatch,
        "MKCOL": collections.mkcol,
        "DELETE": collections.delete,
        "COPY": transfers.copy,
        "MOVE": transfers.move,
        "LOCK": locks.lock,
        "UNLOCK": Engine(tree, store, locks).unlock,
    }
    chunked = Chunked(tree, store, writing, parts)
    uploads: dict[str, Handler] = {
        "MKCOL": chunked.mkcol,
        "PUT": chunked.put,
        "PROPFIND": chunked.propfind,
        "MOVE": chunked.move,
        "DELETE": chunked.delete,
    }
    uploads["OPTIONS"] = options(lambda: ", ".join(uploads))
    table["OPTIONS"] = options(lambda: ", ".join(table))
    refuse = _refusal(", ".join(uploads))
    return {method: _parted(table[method], uploads.get(method, refuse)) for method in table}


def prompt_rules(tree: Tree, store: StateStore) -> dict[str, Rule]:
    """Return which requests are cheap where no store waits for another machine.

    What changes a store and then the state with it is not: the second might have to wait.
    """

    def reads(request: Request) -> str | None:
        return None if request.target.is_upload else tree.table.prompt_mount(request.path)

    def makes(request: Request) -> str | None:
        return None if request.has_body else reads(request)

    def writes(request: Request) -> str | None:
        # Setting a time may wait for the clock of the file system to move on.
        headers = request.headers
        return None if "x-oc-mtime" in headers or "content-range" in headers else reads(request)

    def removes(request: Request) -> str | None:
        mount = makes(request)
        return None if mount is None or store.knows(request.path) else mount

    def carries(request: Request) -> str | None:
        mount = removes(request)
        if mount is None:
            return None
        target = parse_destination(request.headers.get("destination", ""), request.origins)
        same = tree.table.prompt_mount(target.path) == mount
        return mount if same and not store.knows(target.path) else None

    return {
        "LOCK": reads,
        "UNLOCK": makes,
        "COPY": carries,
        "GET": reads,
        "HEAD": reads,
        "OPTIONS": reads,
        "PROPFIND": reads,
        "PUT": writes,
        "MKCOL": makes,
        "DELETE": removes,
        "MOVE": carries,
    }


def _parted(files: Handler, uploads: Handler) -> Handler:
    """Return what answers a method for files and for uploads, to the user whom the URL names."""

    def handle(request: Request) -> Response:
        user, name = request.target.user, request.caller.name
        if user and name is not None and user != name:
            raise BadRequest(403, "The address names another user; put your own name into it.")
        return (uploads if request.target.is_upload else files)(request)

    return handle


def _refusal(allowed: str) -> Handler:
    def handle(request: Request) -> Response:
        raise BadRequest(
            405, f"Uploads do not take {request.method}.", headers=(("Allow", allowed),)
        )

    return handle
