"""Markup: XML that answers hold, written so that no text can become more than text."""

import re
from collections.abc import Iterable

CONTENT_TYPE = "application/xml; charset=utf-8"
OURS = "https://headgate.dev/ns"
"""The namespace of what no standard has."""

_ILLEGAL = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_SPECIAL = re.compile(f'[&<>"\t\n\r{_ILLEGAL}]')
_ENTITIES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#13;",
}


def escape(text: str) -> str:
    """Return text for element content or a quoted attribute.

    A character that XML 1.0 cannot hold, so also a byte that is no UTF-8, becomes U+FFFD.
    """
    return text if _SPECIAL.search(text) is None else _SPECIAL.sub(_replacement, text)


def escape_all(texts: list[str]) -> list[str]:
    """Return `escape` of each of many texts, at the price of one where none needs it."""
    return texts if _SPECIAL.search("".join(texts)) is None else list(map(escape, texts))


def error_body(condition: str, hrefs: Iterable[str] = (), *, detail: str = "") -> bytes:
    """Return the body of a refusal that names its DAV: precondition, with the hrefs concerned.

    `detail` says the same to people; programs skip an element that they do not know.
    """
    told = f'<H:detail xmlns:H="{OURS}">{escape(detail)}</H:detail>' if detail else ""
    inner = "".join(f"<D:href>{href}</D:href>" for href in hrefs)
    element = f"<D:{condition}>{inner}</D:{condition}>" if inner else f"<D:{condition}/>"
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<D:error xmlns:D="DAV:">{element}{told}</D:error>\n'
    ).encode()


def _replacement(found: re.Match[str]) -> str:
    return _ENTITIES.get(found[0], "\ufffd")
