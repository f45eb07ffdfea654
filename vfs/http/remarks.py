"""Remarks of a reader, as headers: how a derived file was come by."""

import functools
from collections.abc import Mapping

from vfs.http.target import quote

_NAMES = {"cache": "X-Cache", "timing": "Server-Timing", "provenance": "X-Provenance"}


def remark_headers(remarks: Mapping[str, str], prefix: str) -> list[tuple[str, str]]:
    """Return a header for each remark; hrefs begin with `prefix`."""
    headers = [(_NAMES[name], text) for name, text in remarks.items() if text and name in _NAMES]
    if "canonical" in remarks:
        headers.append(("Link", _canonical(prefix, remarks["canonical"])))
    return headers


@functools.lru_cache(maxsize=1024)
def _canonical(prefix: str, path: str) -> str:
    return f'<{prefix}{quote(path)}>; rel="canonical"'
