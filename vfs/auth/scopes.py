"""Scopes: what a token, an app password or a share is good for, as text.

Spelt as in the WLCG profile (`storage.read:/p`) or as SciTokens are (`read:/p`). A path holds for
itself and everything beneath, by whole segments.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

from providers.errors import InvalidPath
from vfs.auth.right import Grant, Right
from vfs.tree import paths

SCOPES_MAX = 100

_READ = frozenset({Right.LIST, Right.READ})
_CREATE = frozenset({Right.CREATE})
_MODIFY = frozenset({Right.CREATE, Right.MODIFY, Right.DELETE, Right.LOCK})

_RIGHTS = {
    "storage.read": _READ,
    "storage.stage": _READ,
    "storage.create": _CREATE,
    "storage.modify": _MODIFY,
    "read": _READ,
    "write": _MODIFY,
}
_BAD_PATH = re.compile("%(?![0-9A-Fa-f]{2})|%2[Ff]")


def parse(words: Iterable[str], base: str = paths.ROOT) -> tuple[Grant, ...] | None:
    """Return what `words` allow, their paths taken from `base`; None when none is about a path.

    A word that is about paths but cannot be understood grants nothing, and still bounds: one
    without a path, one with "..", an unknown `storage.` verb, one in capitals. So do
    those after SCOPES_MAX.
    """
    found: dict[str, frozenset[Right]] = {}
    count = 0
    for word in words:
        verb, _, written = word.partition(":")
        folded = verb.casefold()
        if folded not in _RIGHTS and not folded.startswith("storage."):
            continue
        count += 1
        path = _path(written, base)
        if path is not None and verb in _RIGHTS and count <= SCOPES_MAX:
            found[path] = found.get(path, frozenset()) | _RIGHTS[verb]
    if not count:
        return None
    return tuple(Grant(path, found[path]) for path in sorted(found))


def words(grants: Iterable[Grant]) -> tuple[str, ...]:
    """Return the words that allow what `grants` do, as far as scopes can say it; never more."""
    return tuple(_words(grants))


def check(word: str) -> None:
    """Raise ValueError with the cause unless `word` is a scope that grants something."""
    if not parse([word]):
        known = ", ".join(f"{verb}:/PATH" for verb in _RIGHTS)
        raise ValueError(f"{word!r} is no scope; write one of {known}, with no '..' in the path")


def _path(written: str, base: str) -> str | None:
    if _BAD_PATH.search(written):
        return None
    try:
        path = paths.parse(unquote_to_bytes(written).decode(errors="surrogateescape"))
    except (InvalidPath, UnicodeEncodeError):
        return None
    return paths.rebase(path, paths.ROOT, base)


def _words(grants: Iterable[Grant]) -> Iterable[str]:
    for grant in grants:
        path = quote(grant.path, errors="surrogateescape")
        if grant.rights >= _READ:
            yield f"storage.read:{path}"
        if grant.rights >= _MODIFY:
            yield f"storage.modify:{path}"
        elif grant.rights >= _CREATE:
            yield f"storage.create:{path}"
