"""Door: the handlers of every method, put together."""

from vfs.dav.collections import Collections
from vfs.dav.engine import Engine
from vfs.dav.locks import Locks
from vfs.dav.options import options
from vfs.dav.propfind import PropFind
from vfs.dav.proppatch import PropPatch
from vfs.dav.transfers import Transfers
from vfs.http.gate import Handler
from vfs.http.reading import Reading
from vfs.http.writing import Writing
from vfs.state.base import StateStore
from vfs.tree.tree import Tree


def handlers(tree: Tree, store: StateStore) -> dict[str, Handler]:
    """Return what answers each method."""
    locks = Locks(tree, store)
    reading = Reading(tree)
    writing = Writing(tree, locks)
    properties = PropPatch(tree, store, locks)
    collections = Collections(tree, store, locks)
    transfers = Transfers(tree, locks)
    table: dict[str, Handler] = {
        "GET": reading.get,
        "HEAD": reading.get,
        "PUT": writing.put,
        "PATCH": writing.patch,
        "PROPFIND": PropFind(tree, store, locks).propfind,
        "PROPPATCH": properties.proppatch,
        "MKCOL": collections.mkcol,
        "DELETE": collections.delete,
        "COPY": transfers.copy,
        "MOVE": transfers.move,
        "LOCK": locks.lock,
        "UNLOCK": Engine(tree, store, locks).unlock,
    }
    table["OPTIONS"] = options(lambda: ", ".join(table))
    return table
