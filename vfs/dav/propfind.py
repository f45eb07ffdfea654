"""PROPFIND: properties of a resource and of its members, streamed."""

import functools
import itertools
from collections.abc import Iterator, Mapping
from itertools import chain, islice

from providers.base import Entry
from vfs.dav.bodies import Asked, Propfind, parse_propfind
from vfs.dav.fragments import Fragments
from vfs.dav.live import IN_ALL, LOCKDISCOVERY, SUPPORTEDLOCK, Live
from vfs.dav.locks import Locks
from vfs.dav.multistatus import PropfindTemplate, fragment, multistatus, page
from vfs.dav.xml import MAX_BODY_BYTES, Name
from vfs.http.bad_request import BadRequest
from vfs.http.markup import CONTENT_TYPE
from vfs.http.request import Request, Response
from vfs.http.staleness import stale_headers
from vfs.http.target import quote
from vfs.state.base import StateStore
from vfs.tree import paths
from vfs.tree.tree import Tree

PAGE = 256
"""Members whose dead properties are fetched in one query, and the most that are held at once."""

Dead = dict[Name, str]


class PropFind:
    """The handler of PROPFIND. All attributes are fixed; `_fragments` guards itself."""

    def __init__(self, tree: Tree, store: StateStore, locks: Locks) -> None:
        self._tree = tree
        self._store = store
        self._locks = locks
        self._fragments = Fragments()

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
        live = Live(self._tree, request)
        template = PropfindTemplate(wanted, live.values, IN_ALL)
        needs_dead = wanted.asked is not Asked.SOME or any(
            name not in live.values for name in wanted.names
        )
        needs_locks = (
            wanted.asked is Asked.ALL or LOCKDISCOVERY in wanted.names
        ) and self._store.any_locks()
        dead = self._dead(request.path) if needs_dead else None
        if needs_locks:
            live.take(self._store.locks_on(request.path))
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
            # Without any lock this one is the same for all, too.
            constant = {SUPPORTEDLOCK} if needs_locks else {SUPPORTEDLOCK, LOCKDISCOVERY}
            question = _question(wanted) if template.is_of_entries(constant) else None
            writer = _Members(request, template, self._fragments, question)
            pages = iter(lambda: list(islice(members, PAGE)), [])
            responses = chain(
                responses,
                (
                    writer.page(page, self._dead_of(request, page, needed=needs_dead))
                    for page in pages
                ),
            )
        headers = [("Content-Type", CONTENT_TYPE), *stale_headers(entry)]
        return Response(207, headers, multistatus(responses))

    def _dead_of(self, request: Request, page: list[Entry], *, needed: bool) -> dict[str, Dead]:
        if not needed:
            return {}
        found = self._store.properties_of_children(request.path, [entry.name for entry in page])
        return {name: _named(properties) for name, properties in found.items()}

    def _dead(self, path: str) -> Dead:
        return _named(self._store.properties(path))


class _Members:
    """Writes the responses about members of one folder.

    `question` is the number of what is asked, when entries alone give the answer.
    """

    def __init__(
        self,
        request: Request,
        template: PropfindTemplate,
        fragments: Fragments,
        question: int | None,
    ) -> None:
        self._folder = "" if request.path == paths.ROOT else request.path
        self._quoted = request.href(self._folder)
        self._template = template
        self._fragments = fragments
        self._question = question

    def page(self, entries: list[Entry], dead: Mapping[str, Dead]) -> str:
        """Return the responses about some of them; `dead` has the properties of those with any."""
        if self._question is not None and not dead:
            return page(self._quoted, self._fragments.texts(self._question, entries, self._text))
        return page(self._quoted, [self._text(entry, dead.get(entry.name)) for entry in entries])

    def _text(self, entry: Entry, dead: Dead | None = None) -> str:
        slash = "/" if entry.is_folder else ""
        href = f"{quote(entry.name)}{slash}"
        path = f"{self._folder}/{entry.name}"
        return fragment(self._template.response(href, path, entry, dead))


_numbers = itertools.count()


@functools.lru_cache(maxsize=256)
def _question(_wanted: Propfind) -> int:
    """Return the number under which answers to a question are remembered."""
    return next(_numbers)


def _named(properties: dict[tuple[str, str], str]) -> Dead:
    return {Name(*name): xml for name, xml in properties.items()}


def href_of(request: Request, path: str, entry: Entry) -> str:
    """Return the href of what stands at `path`: a folder's ends in a slash."""
    href = request.href(path)
    return f"{href}/" if entry.is_folder and path != paths.ROOT else href
