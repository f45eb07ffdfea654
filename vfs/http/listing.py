"""A folder as a page for people and as JSON for programs, streamed in constant memory."""

import base64
import hashlib
import html
from collections.abc import Iterable, Iterator

import msgspec

from providers.base import Entry
from vfs.http.dates import rfc3339
from vfs.http.etags import make_etag
from vfs.http.target import quote

_BLOCK_CHARACTERS = 32 * 1024
_UNIT = 1024

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;margin:1rem auto;max-width:60rem;padding:0 1rem}"
    "h1{font-size:1.25rem;overflow-wrap:anywhere}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #8884}"
    "td:first-child{overflow-wrap:anywhere;white-space:pre-wrap;width:100%}"
    "td:nth-child(n+2),th:nth-child(n+2)"
    "{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;vertical-align:top}"
    "a{text-decoration:none}a:hover,a:focus{text-decoration:underline}"
    "tbody tr:hover{background:#8882}"
    "@media(max-width:40rem){td:nth-child(3),th:nth-child(3){display:none}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_NOTHING_ELSE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

HTML_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; {_NOTHING_ELSE}",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)
JSON_HEADERS = (
    ("Content-Type", "application/json"),
    ("X-Content-Type-Options", "nosniff"),
)


def html_listing(path: str, entries: Iterable[Entry], *, prefix: str = "") -> Iterator[bytes]:
    """Yield the page of the folder at the tree path `path`, members in the order of `entries`.

    Links begin with `prefix`, quoted. Works without script. A name that is no UTF-8 is shown with
    replacement characters; its link is exact.
    """
    return _blocks(_html(path, entries, prefix))


def json_listing(path: str, entries: Iterable[Entry], *, prefix: str = "") -> Iterator[bytes]:
    """Yield `{"path", "href", "entries": [{"name", "href", "kind", "size", ...}]}`.

    JSON holds Unicode only, so a name that is no UTF-8 has replacement characters; `href` is exact.
    """
    return _blocks(_json(path, entries, prefix))


def _html(path: str, entries: Iterable[Entry], prefix: str) -> Iterator[str]:
    title = html.escape(_text(path))
    base = prefix + _base(path)
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1><bdi>{title}</bdi></h1><table>"
        "<thead><tr><th>Name</th><th>Size</th><th>Modified (UTC)</th></tr></thead><tbody>\n"
    )
    if path != "/":
        above = prefix + quote(path.rpartition("/")[0]) + "/"
        yield f'<tr><td><a href="{above}">↑ Up</a></td><td></td><td></td></tr>\n'
    for entry in entries:
        slash = "/" if entry.is_folder else ""
        size = (
            ""
            if entry.is_folder
            else f'<span title="{entry.size} bytes">{_human(entry.size)}</span>'
        )
        time = rfc3339(entry.mtime_ns)
        yield (
            f'<tr><td><a href="{base}{quote(entry.name)}{slash}">'
            f"<bdi>{html.escape(_text(entry.name))}</bdi>{slash}</a></td><td>{size}</td>"
            f'<td><time datetime="{time}">{time[:10]} {time[11:19]}</time></td></tr>\n'
        )
    yield "</tbody></table></body></html>\n"


def _json(path: str, entries: Iterable[Entry], prefix: str) -> Iterator[str]:
    base = prefix + _base(path)
    encode = msgspec.json.Encoder().encode
    yield f'{{"path":{encode(_text(path)).decode()},"href":"{base}","entries":[\n'
    separator = ""
    for entry in entries:
        member: dict[str, object] = {
            "name": _text(entry.name),
            "href": f"{base}{quote(entry.name)}{'/' if entry.is_folder else ''}",
            "kind": entry.kind.value,
            "mtime": rfc3339(entry.mtime_ns),
        }
        if not entry.is_folder:
            member["size"] = entry.size
            member["etag"] = make_etag(entry.version)
        yield separator + encode(member).decode()
        separator = ",\n"
    yield "\n]}\n"


def _blocks(pieces: Iterable[str]) -> Iterator[bytes]:
    held: list[str] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _BLOCK_CHARACTERS:
            yield "".join(held).encode()
            held.clear()
            size = 0
    if held:
        yield "".join(held).encode()


def _base(path: str) -> str:
    return "/" if path == "/" else f"{quote(path)}/"


def _text(name: str) -> str:
    """Return a name as text: bytes that are no UTF-8 become replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _human(size: int) -> str:
    if size < _UNIT:
        return f"{size} B"
    value = size / _UNIT
    units = iter("KMGTPE")
    unit = next(units)
    while round(value, 1) >= _UNIT and unit != "E":
        value /= _UNIT
        unit = next(units)
    return f"{value:.1f} {unit}iB"
