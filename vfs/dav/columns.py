"""Columns: the basic properties of many entries at once, one list for each property.

What is one call for each entry elsewhere is one for all of them here: a listing has many.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from providers.base import Entry, Kind
from vfs.dav.bodies import DAV
from vfs.dav.xml import Name
from vfs.http.dates import http_dates, rfc3339s
from vfs.http.etags import make_etags
from vfs.http.markup import escape_all
from vfs.http.media_types import media_type
from vfs.http.target import quote_all

Column = str | Callable[[Sequence[Entry]], Iterable[object]]
"""The values of a property for entries of one kind; a text, if it is the same for all."""


def _sizes(entries: Sequence[Entry]) -> Iterable[object]:
    return [entry.size for entry in entries]


def _modified(entries: Sequence[Entry]) -> Iterable[object]:
    return http_dates([entry.mtime_ns for entry in entries])


def _created(entries: Sequence[Entry]) -> Iterable[object]:
    return rfc3339s([entry.mtime_ns for entry in entries])


def _etags(entries: Sequence[Entry]) -> Iterable[object]:
    return make_etags([entry.version for entry in entries])


def _names(entries: Sequence[Entry]) -> Iterable[object]:
    return escape_all([entry.name for entry in entries])


def _types(entries: Sequence[Entry]) -> Iterable[object]:
    return [media_type(entry.name, entry.media_type) for entry in entries]


_OF_BOTH: Mapping[Name, Column] = {
    Name(DAV, "displayname"): _names,
    Name(DAV, "getlastmodified"): _modified,
    Name(DAV, "creationdate"): _created,
}
COLUMNS: Mapping[Kind, Mapping[Name, Column | None]] = {
    Kind.FILE: {
        **_OF_BOTH,
        Name(DAV, "resourcetype"): "",
        Name(DAV, "getcontentlength"): _sizes,
        Name(DAV, "getetag"): _etags,
        Name(DAV, "getcontenttype"): _types,
    },
    Kind.FOLDER: {
        **_OF_BOTH,
        Name(DAV, "resourcetype"): "<D:collection/>",
        Name(DAV, "getcontentlength"): None,
        Name(DAV, "getetag"): None,
        Name(DAV, "getcontenttype"): None,
    },
}
"""The columns of each kind; None for a property that the kind has not."""


class Rows:
    """Writes what entries of one kind are answered. All attributes are fixed.

    `form` is a format with a place for the quoted name and one for a value of each column.
    """

    def __init__(
        self, form: str, columns: Iterable[Callable[[Sequence[Entry]], Iterable[object]]]
    ) -> None:
        self._form = form
        self._columns = tuple(columns)

    def write(self, entries: Sequence[Entry]) -> list[bytes]:
        """Return the text for each of the entries, which have no dead properties."""
        form = self._form
        names = quote_all([entry.name for entry in entries])
        columns = [column(entries) for column in self._columns]
        return [(form % row).encode() for row in zip(names, *columns, strict=True)]
