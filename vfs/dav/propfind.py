"""PROPFIND: properties of a resource and of its members, streamed."""

import functools
import itertools
from collections.abc import Collection, Iterator, Mapping
from itertools import compress, islice

from providers.base import Entry, Kind
from vfs.dav.bodies import Asked, Propfind, parse_propfind
from vfs.dav.columns import COLUMNS, Column
from vfs.dav.live import IN_ALL, LOCKDISCOVERY, SUPPORTED, SUPPORTEDLOCK, Live
from vfs.dav.locks import Locks
from vfs.dav.multistatus import PropfindTemplate, fragment, multistatus, page
from vfs.dav.pages import Pages, Text
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

PAGE_CHARACTERS = 512 * 1024
"""About what they may take as text: fewer are held at once of those with long answers."""

REMEMBERED_CHARACTERS = 2048
"""The longest response that is remembered: clients may name properties that nobody has."""

_CONSTANT: Mapping[Name, Column] = {SUPPORTEDLOCK: SUPPORTED, LOCKDISCOVERY: ""}

Dead = dict[Name, str]


class PropFind:
    """The handler of PROPFIND. All attributes are fixed; `_pages` guards itself."""

    def __init__(self, tree: Tree, store: StateStore, locks: Locks) -> None:
        self._tree = tree
        self._store = store
        self._locks = locks
        self._pages = Pages()

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
        pages: Iterator[Text] = iter(())
        if depth == "1" and entry.is_folder:
            # Refused as a whole: shown as an empty folder, it would be taken for one by those
            # who keep two folders alike.
            members = self._tree.scandir(request.caller, request.path)
            locked = self._store.locks_of_children(request.path) if needs_locks else {}
            live.locks.update((paths.join(request.path, name), own) for name, own in locked.items())
            constant = dict(_CONSTANT)
            if live.inherited:
                del constant[LOCKDISCOVERY]
            question = _question(wanted) if template.size <= REMEMBERED_CHARACTERS else None
            writer = _Members(request, template, constant, self._pages, question)
            step = max(1, min(PAGE, PAGE_CHARACTERS // template.size))
            pages = (
                writer.page(page, self._dead_of(request, page, needed=needs_dead), locked)
                for page in iter(lambda: list(islice(members, step)), [])
            )
        headers = [("Content-Type", CONTENT_TYPE), *stale_headers(entry)]
        return Response(207, headers, multistatus((own,), pages))

    def _dead_of(self, request: Request, page: list[Entry], *, needed: bool) -> dict[str, Dead]:
        if not needed:
            return {}
        found = self._store.properties_of_children(request.path, [entry.name for entry in page])
        return {name: _named(properties) for name, properties in found.items()}

    def _dead(self, path: str) -> Dead:
        return _named(self._store.properties(path))


class _Members:
    """Writes the responses about members of one folder. All attributes are fixed but `_room`.

    `constant` are properties that are the same for each member that has no lock of its own.
    `question` is the number under which answers are remembered, if they are. What is beyond
    `_room` is not: a listing that is larger would push out its own beginning.
    """

    def __init__(
        self,
        request: Request,
        template: PropfindTemplate,
        constant: Mapping[Name, Column],
        pages: Pages,
        question: int | None,
    ) -> None:
        self._folder = "" if request.path == paths.ROOT else request.path
        self._quoted = request.href(self._folder)
        self._template = template
        self._pages = pages
        self._question = question
        self._room = pages.most_bytes
        self._files = template.rows({**COLUMNS[Kind.FILE], **constant})
        self._folders = template.rows({**COLUMNS[Kind.FOLDER], **constant}, end="/")

    def page(self, entries: list[Entry], dead: Mapping[str, Dead], locked: Collection[str]) -> Text:
        """Return the responses about some of them.

        `dead` has the properties of those with any, `locked` the names of those with own locks.
        """
        if self._files is None:
            return page(self._quoted, [self._text(entry, dead) for entry in entries])
        is_plain = [not (entry.name in dead or entry.name in locked) for entry in entries]
        if all(is_plain):
            if self._question is None or self._room <= 0:
                return self._plain(entries)
            text = self._pages.text(self._question, self._quoted, entries, self._plain)
            self._room -= len(text)
            return text
        plain = iter(self._written(list(compress(entries, is_plain))))
        return page(
            self._quoted,
            [
                next(plain) if simple else self._text(entry, dead)
                for entry, simple in zip(entries, is_plain, strict=True)
            ],
        )

    def _plain(self, entries: list[Entry]) -> bytes:
        """Return the page of entries with neither dead properties nor own locks."""
        return page(self._quoted, self._written(entries))

    def _written(self, entries: list[Entry]) -> list[bytes]:
        assert self._files is not None
        assert self._folders is not None
        is_folder = [entry.kind is Kind.FOLDER for entry in entries]
        if not any(is_folder):
            return self._files.write(entries)
        folders = iter(self._folders.write(list(compress(entries, is_folder))))
        files = iter(self._files.write([entry for entry in entries if not entry.is_folder]))
        return [next(folders if is_one else files) for is_one in is_folder]

    def _text(self, entry: Entry, dead: Mapping[str, Dead]) -> bytes:
        slash = "/" if entry.is_folder else ""
        href = f"{quote(entry.name)}{slash}"
        path = f"{self._folder}/{entry.name}"
        response = self._template.response(href, path, entry, dead.get(entry.name))
        return fragment(response).encode()


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
