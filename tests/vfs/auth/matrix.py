"""What the matrix of rights is made of, with an oracle that knows only what the documents say.

Nothing here asks the code under test what is right.
"""

import itertools
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

RIGHTS = ("list", "read", "create", "modify", "delete", "lock", "share", "admin")
FILE, OTHER, NEW, FOLDER, GONE = "/m/in/f", "/m/in/g", "/m/in/n", "/m/in/d", "/m/in/gone"
DERIVED, OF_NOTHING = (f"/dispel/checksum/~{path}/~/sha256" for path in (FILE, GONE))
JOB = "0" * 32
"""A job that makes DERIVED for somebody who is none of the callers."""

_LOCK = (
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
_PATCH = (
    '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><p>1</p></D:prop></D:set></D:propertyupdate>'
)
_UPDATE = {"Content-Type": "application/x-sabredav-partialupdate", "X-Update-Range": "bytes=0-0"}


class Rule(NamedTuple):
    """One rule: who, where, what."""

    who: str
    path: str
    rights: frozenset[str]

    def __str__(self) -> str:
        return f"{self.who} at {self.path}: {'+'.join(sorted(self.rights)) or 'nothing'}"


class Kind(NamedTuple):
    """One kind of caller: which words in `who` mean it, and what its credential is bound to."""

    name: str
    whos: frozenset[str]
    scopes: tuple[tuple[str, frozenset[str]], ...] | None = None
    refused: bool = False

    @property
    def anonymous(self) -> bool:
        """Tell whether it shows nothing."""
        return self.whos == {"anyone"} and not self.refused


class Need(NamedTuple):
    """One of `rights` at `path`; with `way`, a folder may also lead to where there are some."""

    path: str
    rights: tuple[str, ...]
    way: bool = False


class Verb(NamedTuple):
    """One request, what it needs, and its status when it may.

    Who may not is told so, or with `hidden` just what is told where there is nothing.
    """

    name: str
    method: str
    target: str
    status: int
    needs: tuple[Need, ...]
    headers: Mapping[str, str] = MappingProxyType({})
    body: str | None = None
    hidden: int = 0


def _n(path: str, *rights: str, way: bool = False) -> Need:
    return Need(path, rights, way)


VERBS = (
    Verb("options", "OPTIONS", FILE, 200, ()),
    Verb("get", "GET", FILE, 200, (_n(FILE, "read"),)),
    Verb("head", "HEAD", FILE, 200, (_n(FILE, "read"),)),
    Verb("get nothing", "GET", GONE, 404, (_n(GONE, "read"),)),
    Verb("page", "GET", FOLDER + "/", 200, (_n(FOLDER, "list", way=True),)),
    Verb("page of the way", "GET", "/m/", 200, (_n("/m", "list", way=True),)),
    Verb("put new", "PUT", NEW, 201, (_n(NEW, "create"),), body="1"),
    Verb("put over", "PUT", FILE, 204, (_n(FILE, "modify"),), body="1"),
    Verb("patch", "PATCH", FILE, 204, (_n(FILE, "modify"),), _UPDATE, "x"),
    Verb("stat", "PROPFIND", FILE, 207, (_n(FILE, "list", "read"),), {"Depth": "0"}),
    Verb("stat nothing", "PROPFIND", GONE, 404, (_n(GONE, "list", "read"),), {"Depth": "0"}),
    Verb("list", "PROPFIND", FOLDER, 207, (_n(FOLDER, "list", way=True),), {"Depth": "1"}),
    Verb("proppatch", "PROPPATCH", FILE, 207, (_n(FILE, "modify"),), body=_PATCH),
    Verb("mkcol", "MKCOL", NEW, 201, (_n(NEW, "create"),)),
    Verb("delete", "DELETE", FILE, 204, (_n(FILE, "delete"),)),
    Verb("delete folder", "DELETE", FOLDER, 204, (_n(FOLDER, "delete"),)),
    Verb("delete nothing", "DELETE", GONE, 404, (_n(GONE, "delete"),)),
    Verb("copy", "COPY", FILE, 201, (_n(FILE, "read"), _n(NEW, "create")), {"Destination": NEW}),
    Verb(
        "copy over",
        "COPY",
        FILE,
        204,
        (_n(FILE, "read"), _n(OTHER, "modify")),
        {"Destination": OTHER},
    ),
    Verb(
        "copy folder",
        "COPY",
        FOLDER,
        201,
        (_n(FOLDER, "read"), _n(FOLDER, "list"), _n(NEW, "create")),
        {"Destination": NEW},
    ),
    Verb(
        "move",
        "MOVE",
        FILE,
        201,
        (_n(FILE, "read"), _n(FILE, "delete"), _n(NEW, "create")),
        {"Destination": NEW},
    ),
    Verb("lock", "LOCK", FILE, 200, (_n(FILE, "lock"),), {"Depth": "0"}, _LOCK),
    Verb(
        "lock new",
        "LOCK",
        NEW,
        201,
        (_n(NEW, "lock"), _n(NEW, "create")),
        {"Depth": "0"},
        _LOCK,
    ),
    Verb("get derived", "GET", DERIVED, 200, (_n(DERIVED, "read"), _n(FILE, "read"))),
    Verb("head derived", "HEAD", DERIVED, 200, (_n(DERIVED, "read"), _n(FILE, "read"))),
    Verb("derived of nothing", "GET", OF_NOTHING, 404, (_n(OF_NOTHING, "read"), _n(GONE, "read"))),
    Verb("own jobs", "GET", "/.headgate-jobs/", 200, ()),
    Verb(
        "another's job", "GET", f"/.headgate-jobs/{JOB}", 200, (_n(DERIVED, "admin"),), hidden=404
    ),
)


def rules() -> Iterator[Rule]:
    """Yield rules of every shape."""
    whos = ("anyone", "authenticated", "user:alice", "group:lofar", "scope", "user:nobody")
    places = ("/", "/m", "/m/in", FILE, NEW, FOLDER, "/m/i", "/m/in/ff")
    sets = [frozenset({right}) for right in RIGHTS]
    sets += [frozenset(RIGHTS) - {right} for right in RIGHTS]
    sets += [frozenset(RIGHTS), frozenset({"read", "delete", "create"})]
    for who, place, rights in itertools.product(whos, places, sets):
        yield Rule(who, place, rights)


def expected(kind: Kind, rule: Rule, verb: Verb) -> int:
    """Return the status that the documents promise."""
    if kind.refused:
        return 401
    if all(_has(kind, rule, need) for need in verb.needs):
        # Who has no name administers nobody's jobs, whatever a rule says.
        return verb.hidden if verb.hidden and kind.anonymous else verb.status
    return verb.hidden or (401 if kind.anonymous else 403)


def _has(kind: Kind, rule: Rule, need: Need) -> bool:
    if rule.who not in kind.whos:
        return False
    bounds = kind.scopes if kind.scopes is not None else (("/", frozenset(RIGHTS)),)
    for path, rights in bounds:
        both = rights & rule.rights
        if (
            both.intersection(need.rights)
            and _under(need.path, path)
            and _under(need.path, rule.path)
        ):
            return True
        # The deeper of the two is where the right begins; a folder above it leads there.
        deep = path if len(path) > len(rule.path) else rule.path
        meets = _under(path, rule.path) or _under(rule.path, path)
        if need.way and both and meets and deep != need.path and _under(deep, need.path):
            return True
    return False


def _under(path: str, folder: str) -> bool:
    parts, above = path.strip("/").split("/"), folder.strip("/").split("/")
    return folder == "/" or parts[: len(above)] == above
