"""Which names may exist in any store.

A path below a provider's root is a `str` of segments joined by "/"; "" is the root. A name that
is no valid UTF-8 on a POSIX store is carried by `surrogateescape`, so that every file can be
listed, read and removed, whatever it is called.
"""

import functools
import re

from providers.errors import InvalidPath

# Names with this prefix belong to the gateway (temporaries, journals). They are hidden from
# listings and refused from clients, in every store, so that no client can meet one half-written.
RESERVED_PREFIX = ".headgate-"

_KNOWN_CHARACTERS = 256

# One pass over the whole path, because this runs on every operation: no empty, "." or ".."
# segment, no reserved name, no NUL, no surrogate but those of surrogateescape.
_SEGMENT = r"(?!\.{1,2}(?:/|\Z))(?!\.headgate-)[^/\x00\ud800-\udc7f\udd00-\udfff]+"
_PATH = re.compile(rf"(?:{_SEGMENT}(?:/{_SEGMENT})*)?")


def check_path(path: str) -> str:
    """Return `path` when it is normalised and relative; raise InvalidPath with the cause if not."""
    return _known(path) if len(path) <= _KNOWN_CHARACTERS else _checked(path)


def _checked(path: str) -> str:
    if _PATH.fullmatch(path) is None:
        raise InvalidPath(path, detail=_cause(path))
    return path


# A request makes several operations on the same path. A MiB at most.
_known = functools.lru_cache(maxsize=1024)(_checked)


def is_reserved(name: str) -> bool:
    """Tell whether the gateway keeps this name for itself."""
    return name.startswith(RESERVED_PREFIX)


def parent(path: str) -> str:
    """Return the folder that holds `path`; the root's is the root."""
    return path.rpartition("/")[0]


def basename(path: str) -> str:
    """Return the last segment of `path`; the root's is empty."""
    return path.rpartition("/")[2]


def join(folder: str, name: str) -> str:
    """Return the path of `name` in `folder`."""
    return f"{folder}/{name}" if folder else name


def _cause(path: str) -> str:
    if "\x00" in path:
        return "a name may not hold a NUL character"
    for segment in path.split("/"):
        if segment == "":
            return "a path may not start or end with a slash or hold an empty name"
        if segment in (".", ".."):
            return f"a path may not hold the segment {segment!r}"
        if is_reserved(segment):
            return f"names that start with {RESERVED_PREFIX!r} belong to the gateway"
    return "a name may not hold a lone surrogate"
