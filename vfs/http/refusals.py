"""Refusals: what went wrong, as the answer that a client gets."""

import logging

from providers.errors import Denied, StorageError
from vfs import errors
from vfs.auth.caller import Caller
from vfs.auth.errors import Ambiguous, AuthError, Throttled
from vfs.http.bad_request import BadRequest
from vfs.http.markup import CONTENT_TYPE, error_body
from vfs.http.problem import problem
from vfs.http.request import Response, text_response
from vfs.state.errors import LockConflict, StateError
from vfs.tree.unmade import Unmade

_log = logging.getLogger("vfs.http.gate")

Challenges = tuple[str, ...]


def bad(error: BadRequest, prefix: str) -> Response:
    """Answer a request that cannot be carried out as it was sent."""
    headers = list(error.headers)
    if error.status == 304:
        return Response(304, headers)
    if error.condition:
        headers.append(("Content-Type", CONTENT_TYPE))
        hrefs = [prefix + href for href in error.hrefs]
        body = error_body(error.condition, hrefs, detail=error.detail)
        return Response(error.status, headers, body)
    return text_response(error.status, error.detail, headers)


def failed(
    error: StorageError, caller: Caller, challenges: Challenges, *, accept: str | None, prefix: str
) -> Response:
    """Answer what the tree or a store refused.

    Whoever has shown no credential is asked for one before being denied. `accept` and `prefix` are
    the request's.
    """
    row = errors.meaning(error)
    _log.log(row.level, "%s", error)
    if isinstance(error, Denied) and caller.name is None and challenges:
        return _asking("log in: this is not for everybody", challenges)
    headers: list[tuple[str, str]] = []
    if row.status == 503:
        headers.append(("Retry-After", str(int(error.retry_after_seconds or 1))))
    if isinstance(error, Unmade):
        return problem(error, row.status, headers, accept=accept, prefix=prefix)
    return text_response(row.status, errors.sentence(error), headers)


def unstated(error: StateError) -> Response:
    """Answer what the state store refused."""
    row = errors.state_meaning(error)
    _log.log(row.level, "%s", error)
    headers = [("Retry-After", "1")] if row.status == 503 else []
    if isinstance(error, LockConflict):
        return Response(423, [("Content-Type", CONTENT_TYPE)], error_body("no-conflicting-lock"))
    detail = f"{error.text}: {error.detail}" if error.detail else error.text
    return text_response(row.status, detail, headers)


def unknown(error: AuthError, challenges: Challenges) -> Response:
    """Answer a credential that is not accepted."""
    if isinstance(error, Throttled):
        wait = max(1, -int(-error.retry_after_seconds // 1))
        return text_response(error.status, error.detail, [("Retry-After", str(wait))])
    if isinstance(error, Ambiguous):
        return text_response(400, error.detail)
    return _asking(error.detail, challenges, invalid=True)


def _asking(detail: str, challenges: Challenges, *, invalid: bool = False) -> Response:
    fields = []
    for challenge in challenges:
        # RFC 6750: only a token that was shown is told to be invalid.
        told = ', error="invalid_token"' if invalid and challenge.startswith("Bearer") else ""
        fields.append(("WWW-Authenticate", challenge + told))
    return text_response(401, detail, fields)
