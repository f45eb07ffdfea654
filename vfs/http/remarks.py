"""Remarks of a reader, as headers: how a derived file was come by."""

from collections.abc import Iterator, Mapping

from vfs.http.target import quote

_NAMES = {"cache": "X-Cache", "timing": "Server-Timing", "provenance": "X-Provenance"}


def remark_headers(remarks: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield a header for each remark; hrefs begin with `prefix`."""
    for name, header in _NAMES.items():
        if remarks.get(name):
            yield header, remarks[name]
    if "canonical" in remarks:
        yield "Link", f'<{prefix}{quote(remarks["canonical"])}>; rel="canonical"'
