"""The If header of RFC 4918, 10.4: lists of lock tokens and entity tags that must hold."""

import re
from collections.abc import Callable, Collection

import msgspec

from vfs.http.bad_request import BadRequest
from vfs.http.target import parse_destination

_PART = re.compile(
    r"[ \t]*(?:<(?P<tag>[^<>\s]*)>|(?P<open>\()|(?P<close>\))"
    r"|(?P<etag>\[[^\]\[]*\])|(?P<negated>[Nn][Oo][Tt]\b))[ \t]*"
)


class Condition(msgspec.Struct, frozen=True):
    """One condition: that a token locks the resource, or that it has an entity tag."""

    negated: bool
    token: str = ""
    etag: str = ""


class List(msgspec.Struct, frozen=True):
    """Conditions that must all hold for one resource; `path` None is the one requested.

    `foreign` says that the list speaks of a resource of another server.
    """

    path: str | None
    conditions: tuple[Condition, ...]
    foreign: bool = False


def parse_if(value: str, origins: Collection[str]) -> tuple[List, ...]:
    """Return the lists of an If header; BadRequest 400 when it is malformed."""
    lists: list[List] = []
    conditions: list[Condition] | None = None
    path: str | None = None
    foreign = negated = False
    tagged: bool | None = None
    position = 0
    while position < len(value):
        part = _PART.match(value, position)
        if part is None:
            raise _malformed()
        position = part.end()
        kind = part.lastgroup
        if conditions is None:
            if kind == "open":
                tagged = tagged or False
                conditions = []
            elif kind == "tag" and tagged is not False:
                tagged = True
                path, foreign = _resource(part["tag"], origins)
            else:
                raise _malformed()
        elif kind == "close":
            if not conditions or negated:
                raise _malformed()
            lists.append(List(path, tuple(conditions), foreign))
            conditions = None
        elif kind == "negated" and not negated:
            negated = True
        elif kind == "tag":
            conditions.append(Condition(negated, token=part["tag"]))
            negated = False
        elif kind == "etag":
            conditions.append(Condition(negated, etag=part["etag"][1:-1].strip()))
            negated = False
        else:
            raise _malformed()
    if conditions is not None or not lists:
        raise _malformed()
    return tuple(lists)


def tokens(lists: Collection[List]) -> frozenset[str]:
    """Return every lock token that the header submits."""
    return frozenset(
        condition.token
        for each in lists
        for condition in each.conditions
        if condition.token and not condition.negated
    )


def holds(
    lists: Collection[List],
    state: Callable[[str | None], tuple[Collection[str], Collection[str]]],
) -> bool:
    """Tell whether one list holds. `state` gives the lock tokens and the entity tags of a path."""
    for each in lists:
        if each.foreign:
            continue
        locks, etags = state(each.path)
        if all(
            (condition.token in locks if condition.token else condition.etag in etags)
            is not condition.negated
            for condition in each.conditions
        ):
            return True
    return False


def _resource(tag: str, origins: Collection[str]) -> tuple[str | None, bool]:
    try:
        return parse_destination(tag, origins).path, False
    except BadRequest as error:
        if error.status == 502:
            return None, True
        raise


def _malformed() -> BadRequest:
    return BadRequest(
        400,
        "The If header is malformed; it is a row of lists such as"
        ' (<opaquelocktoken:...> ["etag"]), each behind one <URL> or none of them.',
    )
