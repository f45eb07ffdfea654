"""A derived file that is refused, told to a program (RFC 9457) or to somebody at a terminal."""

from http import HTTPStatus

import msgspec

from vfs.errors import sentence
from vfs.http import accept as accepting
from vfs.http.request import TEXT, Response
from vfs.http.target import quote
from vfs.tree.unmade import Unmade

PROBLEM = "application/problem+json"


def problem(
    error: Unmade,
    status: int,
    headers: list[tuple[str, str]],
    *,
    accept: str | None,
    prefix: str,
) -> Response:
    """Return the answer: what was asked, what the limit is, and one path that works."""
    cause = error.cause
    example = prefix + quote(error.example) if error.example else ""
    told = {"asked": cause.asked, "limit": cause.limit, "example": example}
    told = {name: text for name, text in told.items() if text}
    headers = [*headers, ("Vary", "Accept")]
    if _wants_json(accept):
        body = msgspec.json.encode(
            {
                "type": f"urn:headgate:problem:{type(cause).__name__}",
                "title": cause.text,
                "status": status,
                "detail": cause.detail or cause.text,
                "instance": prefix + quote(error.path),
                **{name: _printable(text) for name, text in told.items()},
            }
        )
        return Response(status, [("Content-Type", PROBLEM), *headers], body + b"\n")
    title = f"{status} {HTTPStatus(status).phrase}"
    lines = [f"{title}: {sentence(error)}", *(f"{name}: {text}" for name, text in told.items())]
    text = "\n".join(map(_printable, lines)) + "\n"
    return Response(status, [("Content-Type", TEXT), *headers], text.encode())


def _wants_json(accept: str | None) -> bool:
    """Tell whether a program asks: one that says nothing, or that would rather have JSON."""
    if accept is None:
        return True
    offers = ("text/plain", PROBLEM, "application/json")
    return accepting.choose_media_type(accept, offers) != "text/plain"


def _printable(text: str) -> str:
    """Return text without what is no Unicode, or would move a cursor."""
    sound = text.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else "?" for char in sound)
