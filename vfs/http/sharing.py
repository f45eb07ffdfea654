"""Sharing: shares over HTTP, at a reserved name of the root.

POST makes one, GET lists the caller's own, DELETE with an id ends one.
"""

import shlex

import msgspec

from vfs.auth.shares import SHARE_SECONDS_DEFAULT, Shares, Verb
from vfs.http.bad_request import BadRequest
from vfs.http.dates import rfc3339
from vfs.http.listing import JSON_HEADERS
from vfs.http.request import Request, Response, text_response
from vfs.http.target import origin, quote
from vfs.state.accounts import ShareRecord

SHARES_NAME = ".headgate-shares"

USER = "share"
"""Whom programs that know only user and password log in as; the token is the password."""

BODY_MAX_BYTES = 16 * 1024

_HEADERS = [*JSON_HEADERS, ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")]


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    rights: tuple[Verb, ...] = ("read",)
    seconds: int = SHARE_SECONDS_DEFAULT
    note: str = ""


class Sharing:
    """Answers requests about shares. Fixed once made."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares

    def handle(self, request: Request) -> Response:
        """Answer one request; its path is what follows the reserved name."""
        is_whole = request.path == "/"
        match request.method:
            case "POST" if is_whole:
                return self._make(request)
            case "GET" | "HEAD" if is_whole:
                shown = [_shown(record) for record in self._shares.made_by(request.caller)]
                return _json(200, {"shares": shown})
            case "DELETE" if not is_whole:
                self._shares.revoke(request.caller, request.path[1:])
                return Response(204, [])
        allowed = "GET, HEAD, POST" if is_whole else "DELETE"
        text = "Shares are made by POST, listed by GET, and ended by DELETE of /ID."
        return text_response(405, text, [("Allow", allowed)])

    def _make(self, request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            # Pages of other sites cannot send this type in the name of who is logged in.
            raise BadRequest(415, "Send the share as JSON, with Content-Type: application/json.")
        try:
            wish = msgspec.json.decode(request.small_body(BODY_MAX_BYTES), type=_Wish)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(
                400,
                'The body is no share such as {"path": "/a", "rights": ["read"], "seconds": 3600}:'
                f" {error}",
            ) from error
        base = _base(request)
        try:
            record, token = self._shares.make(
                request.caller, wish.path, wish.rights, seconds=wish.seconds, note=wish.note
            )
        except ValueError as error:
            raise BadRequest(400, f"This cannot be shared: {error}.") from error
        url = link(base, token, wish.path)
        answer = {**_shown(record), "token": token, "url": url, "curl": curl(url, wish.rights)}
        return _json(201, answer)


def link(base: str, token: str, path: str) -> str:
    """Return the URL of `path` that holds the token where programs look for a password."""
    scheme, _, place = base.partition("://")
    return f"{scheme}://{USER}:{token}@{place}{quote(path)}"


def curl(url: str, verbs: tuple[Verb, ...]) -> str:
    """Return a command that uses a share."""
    how = "--fail" if "read" in verbs else "--fail --upload-file FILE"
    return f"curl {how} {shlex.quote(url)}"


def _base(request: Request) -> str:
    """Return the URL of the namespace as the client knows it."""
    base = request.base
    scheme, _, place = base.partition("://")
    if not origin(scheme, place.partition("/")[0]):
        raise BadRequest(400, "The Host header names no host; send one, for the share's URL.")
    return base


def _shown(record: ShareRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "scopes": record.scopes,
        "note": record.note,
        "created": rfc3339(record.created_at_ns),
        "expires": rfc3339(record.expires_at_ns),
    }


def _json(status: int, answer: object) -> Response:
    return Response(status, list(_HEADERS), msgspec.json.encode(answer) + b"\n")
