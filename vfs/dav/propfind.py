"""PROPFIND: properties of a resource and of its members, streamed."""

from collections.abc import Iterator
from itertools import chain, islice

from providers.base import Entry
from vfs.dav.bodies import Asked, parse_propfind
from vfs.dav.live import IN_ALL, LOCKDISCOVERY, Live
from vfs.dav.locks import Locks
from vfs.dav.multistatus import PropfindTemplate, multistatus
from vfs.dav.xml import MAX_BODY_BYTES, Name
from vfs.http.bad_request import BadRequest
from vfs.http.markup import CONTENT_TYPE
from vfs.http.request import Request, Response
from vfs.http.staleness import stale_headers
from vfs.http.target import quote
from vfs.state.base import StateStore
from vfs.tree import paths
from vfs.tree.tree import Tree

PAGE = 500
"""Members whose dead properties are fetched in one query, and the most that are held at once."""

Dead = dict[Name, str]


class PropFind:
    """The handler of PROPFIND. Stateless."""

    def __init__(self, tree: Tree, store: StateStore, locks: Locks) -> None:
        self._tree = tree
        self._store = store
        self._locks = locks

    def propfind(self, request: Request) -> Response:
        """Answer 207; Depth infinity on a folder is refused, as RFC 4918, 9.1 allows."""
        depth = request.headers.get("depth", "infinity").lower()
        if depth not in ("0", "1", "infinity"):
            raise BadRequest(400, "The Depth of a PROPFIND is 0, 1 or infinity.")
        wanted = parse_propfind(request.small_body(MAX_BODY_BYTES))
        if request.no_cache:
            self._tree.refresh(request.caller, request.path)
        entry = self._tree.stat(request.caller, request.path)
        self._locks.judge(request)
        if depth == "infinity" and entry.is_folder:
            raise BadRequest(
                403,
                "List one folder at a time, with Depth: 1.",
                condition="propfind-finite-depth",
            )
        live = Live(self._tree, self._store, request)
        template = PropfindTemplate(wanted, live.values, IN_ALL)
        needs_dead = wanted.asked is not Asked.SOME or any(
            name not in live.values for name in wanted.names
        )
        needs_locks = (
            wanted.asked is Asked.ALL or LOCKDISCOVERY in wanted.names
        ) and self._store.any_locks()
        dead = self._dead(request.path) if needs_dead else None
        if needs_locks:
            live.locks[request.path] = self._store.locks_on(request.path)
        own = template.response(href_of(request, request.path, entry), request.path, entry, dead)
        responses: Iterator[str] = iter((own,))
        if depth == "1" and entry.is_folder:
            # Refused as a whole: shown as an empty folder, it would be taken for one by those
            # who keep two folders alike.
            members = self._tree.scandir(request.caller, request.path)
            if needs_locks:
                live.locks.update(
                    (paths.join(request.path, name), locks)
                    for name, locks in self._store.locks_of_children(request.path).items()
                )
            pages = iter(lambda: list(islice(members, PAGE)), [])
            responses = chain(
                responses,
                chain.from_iterable(
                    self._page(request, page, template, needs_dead=needs_dead) for page in pages
                ),
            )
        headers = [("Content-Type", CONTENT_TYPE), *stale_headers(entry)]
        return Response(207, headers, multistatus(responses))

    def _page(
        self, request: Request, page: list[Entry], template: PropfindTemplate, *, needs_dead: bool
    ) -> Iterator[str]:
        dead: dict[str, Dead] = {}
        folder = request.path
        if needs_dead:
            found = self._store.properties_of_children(folder, [entry.name for entry in page])
            dead = {name: _named(properties) for name, properties in found.items()}
        prefix = "" if folder == paths.ROOT else folder
        quoted = request.href(prefix)
        for entry in page:
            slash = "/" if entry.is_folder else ""
            yield template.response(
                f"{quoted}/{quote(entry.name)}{slash}",
                f"{prefix}/{entry.name}",
                entry,
                dead.get(entry.name),
            )

    def _dead(self, path: str) -> Dead:
        return _named(self._store.properties(path))


def _named(properties: dict[tuple[str, str], str]) -> Dead:
    return {Name(*name): xml for name, xml in properties.items()}


def href_of(request: Request, path: str, entry: Entry) -> str:
    """Return the href of what stands at `path`: a folder's ends in a slash."""
    href = request.href(path)
    return f"{href}/" if entry.is_folder and path != paths.ROOT else href
