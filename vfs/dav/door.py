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
from vfs.http.reading import Reading
from vfs.http.request import Request, Response
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
