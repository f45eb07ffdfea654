"""The one grammar of paths in the namespace.

A tree path starts with "/" and has no slash at its end: "/" is the root, "/a/b" anything else.
Below the first slash the rules are those of `providers.names`, so that what the tree accepts no
store has to doubt.
"""

import functools
import re

from providers import names
from providers.errors import InvalidPath

ROOT = "/"

_KNOWN_CHARACTERS = 256

_ESCAPED_BYTE = re.compile("[\ud800-\udfff]")


def parse(path: str) -> str:
    """Return the canonical form of `path`: one leading slash, none at the end.

    Raises InvalidPath with the cause; nothing is resolved, collapsed or guessed.
    """
    return _known(path) if len(path) <= _KNOWN_CHARACTERS else _parsed(path)


def _parsed(path: str) -> str:
    if not path.startswith("/"):
        raise InvalidPath(path, detail="a path starts with a slash")
    if path == ROOT:
        return path
    trimmed = path.removesuffix("/")
    try:
        names.check_path(trimmed[1:])
    except InvalidPath as error:
        error.path = path
        raise
    if trimmed == ROOT:
        raise InvalidPath(path, detail="a path may not hold an empty name")
    return trimmed


# Each operation parses its path, and a request makes several on the same.
_known = functools.lru_cache(maxsize=4096)(_parsed)


def check_new(path: str) -> None:
    """Raise InvalidPath for a name that exists only because a store had it already.

    Bytes that are no UTF-8 can be listed, read and removed, but no client may make more of them.
    """
    if not path.isascii() and _ESCAPED_BYTE.search(path) is not None:
        raise InvalidPath(path, detail="a new name must be valid UTF-8")


def parent(path: str) -> str:
    """Return the folder that holds `path`; the root's is the root."""
    return path.rpartition("/")[0] or ROOT


def basename(path: str) -> str:
    """Return the last segment; the root's is empty."""
    return path.rpartition("/")[2]


def join(folder: str, name: str) -> str:
    """Return the path of `name` in `folder`."""
    return f"/{name}" if folder == ROOT else f"{folder}/{name}"


def is_within(path: str, folder: str) -> bool:
    """Tell whether `path` is `folder` or lies beneath it, by whole segments."""
    return folder in (path, ROOT) or path.startswith(f"{folder}/")


def relative(path: str, folder: str) -> str:
    """Return `path` as a provider mounted at `folder` knows it; "" is the mount itself."""
    if folder == ROOT:
        return path[1:]
    return path[len(folder) + 1 :]


def rebase(path: str, source: str, target: str) -> str:
    """Return where `path`, at or beneath `source`, comes to lie when `source` becomes `target`."""
    rest = relative(path, source)
    return join(target, rest) if rest else target
