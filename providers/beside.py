"""Beside: names for what cannot have its own any more."""

import datetime as dt

from providers.names import basename, join, parent


def beside(path: str, at_ns: int, number: int, *, max_bytes: int) -> str:
    """Return `NAME (conflict YYYY-MM-DD HH.MM.SS).EXT` for `path`; UTC. From the second on, #2."""
    at = dt.datetime.fromtimestamp(at_ns // 1_000_000_000, tz=dt.UTC)
    mark = f" (conflict {at:%Y-%m-%d %H.%M.%S}{f' {number}' if number > 1 else ''})"
    stem, dot, extension = basename(path).rpartition(".")
    if not stem:
        stem, dot, extension = basename(path), "", ""
    end = f"{mark}{dot}{extension}"
    if _size(end) >= max_bytes:
        end = mark
    while _size(stem) + _size(end) > max_bytes:
        stem = stem[:-1]
    return join(parent(path), f"{stem}{end}")


def _size(text: str) -> int:
    return len(text.encode(errors="surrogateescape"))
