"""What the bodies of PROPFIND, PROPPATCH, LOCK and MKCOL ask for (RFC 4918, 14; RFC 5689).

Elements and attributes that are not known are ignored, as RFC 4918, 17 asks. A body that is well
formed but of another kind is a BadRequest 422.
"""

import enum
import functools
from collections.abc import Iterator

import msgspec

from vfs.dav.xml import Element, Name, parse, serialise
from vfs.http.bad_request import BadRequest

DAV = "DAV:"
# Each name that is not there is told for each member of a folder.
MAX_PROPERTIES = 256

_CACHED_BYTES = 4096
_XML_TYPES = frozenset({"application/xml", "text/xml"})


class Asked(enum.Enum):
    """The three kinds of PROPFIND."""

    NAMES = "propname"
    ALL = "allprop"
    SOME = "prop"


class Propfind(msgspec.Struct, frozen=True):
    """Which properties are wanted: those named, or all with those named besides."""

    asked: Asked
    names: tuple[Name, ...] = ()


class Change(msgspec.Struct, frozen=True):
    """One step of a PROPPATCH. `value` is the property as XML that stands alone, None to remove.

    `text` is the plain text of the value, for properties that the gateway itself reads.
    """

    name: Name
    value: str | None
    text: str = ""


class LockInfo(msgspec.Struct, frozen=True):
    """The lock that is wanted; `owner` is the client's own element as XML, given back as it is."""

    is_exclusive: bool
    owner: str | None


def parse_propfind(body: bytes) -> Propfind:
    """Return what a PROPFIND wants; an empty body wants all. Small bodies are remembered."""
    return _cached_propfind(body) if len(body) <= _CACHED_BYTES else _propfind(body)


def parse_proppatch(body: bytes) -> tuple[Change, ...]:
    """Return the changes of a PROPPATCH, in the order of the document."""
    changes = tuple(_changes(_root(body, "propertyupdate")))
    if not changes:
        raise BadRequest(400, "The propertyupdate names no property; set or remove one at least.")
    return changes


def parse_lockinfo(body: bytes) -> LockInfo:
    """Return the lock that a LOCK wants; small bodies are remembered.

    A refresh has no body and is not asked here.
    """
    return _cached_lockinfo(body) if len(body) <= _CACHED_BYTES else _lockinfo(body)


def _lockinfo(body: bytes) -> LockInfo:
    root = _root(body, "lockinfo")
    scopes = {
        scope.name.local for scope in _children(root, "lockscope") if scope.name.namespace == DAV
    } & {"exclusive", "shared"}
    kinds = {kind.name for kind in _children(root, "locktype")}
    if len(scopes) != 1:
        raise BadRequest(
            400, "The lockinfo needs one lockscope, either exclusive or shared; send one."
        )
    if kinds != {Name(DAV, "write")}:
        raise BadRequest(422, "The lockinfo needs the locktype write; there is no other here.")
    owners = [child for child in root.elements if child.name == (DAV, "owner")]
    if len(owners) > 1:
        raise BadRequest(400, "The lockinfo has more than one owner; send one at most.")
    return LockInfo(
        is_exclusive=scopes == {"exclusive"}, owner=serialise(owners[0]) if owners else None
    )


def parse_mkcol(body: bytes, content_type: str) -> tuple[Change, ...]:
    """Return the properties that an extended MKCOL sets (RFC 5689); none for an empty body.

    BadRequest 415 for a body that is not XML or not a mkcol, 403 for another resource type.
    """
    if not body:
        return ()
    if content_type.partition(";")[0].strip().lower() not in _XML_TYPES:
        raise BadRequest(
            415,
            "A MKCOL body must be XML of the kind of RFC 5689; leave it out for a plain folder.",
        )
    root = parse(body)
    if root.name != (DAV, "mkcol"):
        raise BadRequest(415, "The MKCOL body is no mkcol element; leave it out, or send one.")
    changes: list[Change] = []
    for child in root.elements:
        if child.name != (DAV, "set"):
            continue
        for prop in _children(child, "prop"):
            if prop.name == (DAV, "resourcetype"):
                if [kind.name for kind in prop.elements] != [(DAV, "collection")]:
                    raise BadRequest(
                        403,
                        "Only plain collections are made here; ask for the resourcetype"
                        " collection alone.",
                        condition="valid-resourcetype",
                    )
            else:
                changes.append(Change(prop.name, serialise(prop), prop.text))
    return tuple(changes)


def _propfind(body: bytes) -> Propfind:
    if not body:
        return Propfind(Asked.ALL)
    root = _root(body, "propfind")
    wanted: dict[str, Element] = {}
    for child in root.elements:
        if child.name.namespace != DAV:
            continue
        local = child.name.local
        if local not in ("propname", "allprop", "prop", "include"):
            continue
        if local in wanted:
            raise BadRequest(400, f"The propfind has {local} twice; send it once.")
        wanted[local] = child
    include = wanted.pop("include", None)
    if len(wanted) != 1:
        raise BadRequest(400, "The propfind needs one of prop, allprop and propname; send one.")
    ((local, element),) = wanted.items()
    asked = Asked(local)
    if include is not None and asked is not Asked.ALL:
        raise BadRequest(400, "The propfind has include, which goes with allprop alone.")
    named = include if asked is Asked.ALL else element if asked is Asked.SOME else None
    names = () if named is None else tuple(dict.fromkeys(e.name for e in named.elements))
    if len(names) > MAX_PROPERTIES:
        raise BadRequest(
            400, f"The propfind names more than {MAX_PROPERTIES} properties; ask less."
        )
    return Propfind(asked, names)


_cached_propfind = functools.lru_cache(maxsize=256)(_propfind)
_cached_lockinfo = functools.lru_cache(maxsize=256)(_lockinfo)


def _root(body: bytes, local: str) -> Element:
    root = parse(body)
    if root.name != (DAV, local):
        raise BadRequest(
            422, f"The XML body must be a {local} element of DAV:, but is another; send that."
        )
    return root


def _children(element: Element, local: str) -> Iterator[Element]:
    """Yield the elements inside each DAV: child of this name."""
    for child in element.elements:
        if child.name == (DAV, local):
            yield from child.elements


def _changes(root: Element) -> Iterator[Change]:
    for step in root.elements:
        if step.name == (DAV, "set"):
            for prop in _children(step, "prop"):
                yield Change(prop.name, serialise(prop), prop.text)
        elif step.name == (DAV, "remove"):
            for prop in _children(step, "prop"):
                yield Change(prop.name, None)
