"""Answers about many resources: 207 Multi-Status, by compiled templates, streamed in blocks."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import chain

from providers.base import Entry
from vfs.dav.bodies import DAV, Asked, Propfind
from vfs.dav.columns import Column, Rows
from vfs.dav.pages import Text
from vfs.dav.xml import Name, empty_element
from vfs.http.dates import http_date, rfc3339
from vfs.http.etags import make_etag
from vfs.http.markup import escape
from vfs.http.media_types import media_type

Value = Callable[[str, Entry], str | None]
"""Gives the inner XML of a property for a tree path and its entry, None where it has none."""

_BLOCK_BYTES = 64 * 1024
_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n'
_PROTECTED = "<D:error><D:cannot-modify-protected-property/></D:error>"
_OPENING = "<D:response><D:href>"
_TAIL = "</D:multistatus>\n"
_NONE: Mapping[Name, str] = {}


def _resourcetype(_path: str, entry: Entry) -> str | None:
    return "<D:collection/>" if entry.is_folder else ""


def _getcontentlength(_path: str, entry: Entry) -> str | None:
    return None if entry.is_folder else str(entry.size)


def _getlastmodified(_path: str, entry: Entry) -> str | None:
    return http_date(entry.mtime_ns)


def _getetag(_path: str, entry: Entry) -> str | None:
    return None if entry.is_folder else make_etag(entry.version)


def _displayname(_path: str, entry: Entry) -> str | None:
    return escape(entry.name)


def _getcontenttype(_path: str, entry: Entry) -> str | None:
    return None if entry.is_folder else media_type(entry.name, entry.media_type)


def _creationdate(_path: str, entry: Entry) -> str | None:
    return rfc3339(entry.mtime_ns)  # no store tells more; a file was there then at the latest


BASIC: Mapping[Name, Value] = {
    Name(DAV, "resourcetype"): _resourcetype,
    Name(DAV, "displayname"): _displayname,
    Name(DAV, "getcontentlength"): _getcontentlength,
    Name(DAV, "getlastmodified"): _getlastmodified,
    Name(DAV, "getetag"): _getetag,
    Name(DAV, "getcontenttype"): _getcontenttype,
    Name(DAV, "creationdate"): _creationdate,
}
"""The properties that an entry alone gives."""


class PropfindTemplate:
    """Writes the response elements of one PROPFIND.

    All attributes are fixed but the remembered forms, which any thread may add to.

    `live` holds the properties that the gateway computes; only those asked for are. `in_all` are
    the live ones that allprop gives; the others must be named. Everything else that is asked for
    is looked up among the dead properties.
    """

    def __init__(
        self, propfind: Propfind, live: Mapping[Name, Value], in_all: Iterable[Name]
    ) -> None:
        self.asked = propfind.asked
        wanted: tuple[Name, ...]
        if propfind.asked is Asked.SOME:
            wanted = propfind.names
        elif propfind.asked is Asked.ALL:
            wanted = tuple(dict.fromkeys((*in_all, *propfind.names)))
        else:
            wanted = tuple(live)
        self._live = [(name, live[name]) for name in wanted if name in live]
        self._values = [value for _, value in self._live]
        self._named = frozenset(propfind.names)
        # What is neither live nor dead is reported missing only to who named it.
        self._dead = [name for name in propfind.names if name not in live]
        self._tags = {name: _tags(name) for name, _ in self._live}
        self._forms: dict[frozenset[Name], str] = {}
        self._all_there = self._form(frozenset())

    def response(
        self, href: str, path: str, entry: Entry, dead: Mapping[Name, str] | None = None
    ) -> str:
        """Return the response element of one resource.

        `href` is quoted; `dead` holds its dead properties as XML that stands alone.
        """
        values = [value(path, entry) for value in self._values]
        if not dead and self.asked is not Asked.NAMES:
            if None not in values:
                return self._all_there % (href, *values)
            absent = frozenset(
                name for (name, _), value in zip(self._live, values, strict=True) if value is None
            )
            form = self._forms.get(absent)
            if form is None:
                form = self._forms[absent] = self._form(absent)
            return form % (href, *(value for value in values if value is not None))
        return self._with_dead(href, values, dead or {})

    @property
    def size(self) -> int:
        """About how many characters a response has."""
        return len(self._all_there)

    def rows(self, columns: Mapping[Name, Column | None], end: str = "") -> Rows | None:
        """Return what writes fragments of entries without dead properties; None if none can.

        `columns` says what gives a property, and None if the entries have none; `end` stands behind
        each name. It takes all that is asked for to be among the columns.
        """
        if self.asked is Asked.NAMES or any(name not in columns for name in self._tags):
            return None
        absent = frozenset(name for name in self._tags if columns[name] is None)
        given = [columns[name] for name in self._tags]
        same = {name: column for name, column in columns.items() if isinstance(column, str)}
        form = fragment(self._form(absent, same, end))
        return Rows(form, [column for column in given if column and not isinstance(column, str)])

    def _with_dead(self, href: str, values: Sequence[str | None], dead: Mapping[Name, str]) -> str:
        there = [
            (name, value)
            for (name, _), value in zip(self._live, values, strict=True)
            if value is not None
        ]
        if self.asked is Asked.NAMES:
            names = [*(name for name, _ in there), *dead]
            return propstat_response(href, [(200, [empty_element(name) for name in names])])
        found = [f"{self._tags[n][0]}{v}{self._tags[n][1]}" for n, v in there]
        if self.asked is Asked.ALL:
            live = {name for name, _ in self._live}
            found += [xml for name, xml in dead.items() if name not in live]
        else:
            found += [dead[name] for name in self._dead if name in dead]
        present = {name for name, _ in there}
        missing = [
            empty_element(name)
            for name in (*(name for name, _ in self._live), *self._dead)
            if name in self._named and name not in present and name not in dead
        ]
        return propstat_response(href, [(200, found), (404, missing)])

    def _form(
        self, absent: frozenset[Name], same: Mapping[Name, str] = _NONE, end: str = ""
    ) -> str:
        """Return the format of a response in which these live properties are absent.

        Those in `same` have this value and no place in the format.
        """
        found = [
            _literal(opening) + (_literal(same[name]) if name in same else "%s") + _literal(closing)
            for name, (opening, closing) in self._tags.items()
            if name not in absent
        ]
        missing = [
            _literal(empty_element(name))
            for name in (*self._tags, *self._dead)
            if name in self._named and (name in absent or name not in self._tags)
        ]
        return propstat_response(f"%s{end}", [(200, found), (404, missing)])


def page(folder: str, fragments: list[bytes]) -> bytes:
    """Return the responses of some members of a folder, given its quoted href without a slash.

    A fragment is a response from behind the folder's href on.
    """
    opening = f"{_OPENING}{folder}/".encode()
    return opening + opening.join(fragments)


def fragment(response: str) -> str:
    """Return what of a response may stand behind any folder's href; its own href is a name."""
    return response.removeprefix(_OPENING)


def multistatus(responses: Iterable[str], pages: Iterable[Text] = ()) -> Iterator[bytes]:
    """Yield the whole document in blocks; holds one block. `pages` are many responses at once."""
    held: list[Text] = [_HEAD.encode()]
    size = 0
    for part in chain(map(str.encode, responses), pages):
        held.append(part)
        size += len(part)
        if size >= _BLOCK_BYTES:
            yield b"".join(held)
            held.clear()
            size = 0
    held.append(_TAIL.encode())
    yield b"".join(held)


def propstat_response(href: str, groups: Iterable[tuple[int, Sequence[str]]]) -> str:
    """Return a response that groups properties, given as XML, by status; empty groups go.

    A resource of which nothing is told still has its response, with an empty 200.
    """
    body = _propstats(groups) or f"<D:propstat><D:prop/>{_status(200)}</D:propstat>"
    return f"{_OPENING}{href}</D:href>{body}</D:response>\n"


def mkcol_body(groups: Iterable[tuple[int, Sequence[str]]]) -> bytes:
    """Return what RFC 5689 answers to an extended MKCOL whose properties were refused."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<D:mkcol-response xmlns:D="DAV:">{_propstats(groups)}</D:mkcol-response>\n'
    ).encode()


def status_response(href: str, status: int, *, condition: str = "", detail: str = "") -> str:
    """Return a response that tells what became of one resource, as in DELETE, COPY and MOVE."""
    error = f"<D:error><D:{condition}/></D:error>" if condition else ""
    text = f"<D:responsedescription>{escape(detail)}</D:responsedescription>" if detail else ""
    return f"<D:response><D:href>{href}</D:href>{_status(status)}{error}{text}</D:response>\n"


def _propstats(groups: Iterable[tuple[int, Sequence[str]]]) -> str:
    return "".join(
        f"<D:propstat><D:prop>{''.join(properties)}</D:prop>{_status(status)}"
        f"{_PROTECTED if status == 403 else ''}</D:propstat>"
        for status, properties in groups
        if properties
    )


def _status(status: int) -> str:
    return f"<D:status>HTTP/1.1 {status} {HTTPStatus(status).phrase}</D:status>"


def _tags(name: Name) -> tuple[str, str]:
    if name.namespace == DAV:
        return f"<D:{name.local}>", f"</D:{name.local}>"
    return f'<n:{name.local} xmlns:n="{escape(name.namespace)}">', f"</n:{name.local}>"


def _literal(text: str) -> str:
    return text.replace("%", "%%")
