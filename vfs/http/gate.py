"""Gate: the WSGI application. Each request goes through here once, in and out."""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any

from providers.errors import StorageError
from vfs import errors
from vfs.auth.caller import Caller
from vfs.dav.multistatus import CONTENT_TYPE, error_body
from vfs.http.answer import FileSlice
from vfs.http.bad_request import BadRequest
from vfs.http.forwarded import Client, Network, resolve
from vfs.http.line import PeerLost
from vfs.http.request import Request, Response, header_map, text_response
from vfs.state.errors import LockConflict, StateError

Handler = Callable[[Request], Response]
StartResponse = Callable[..., Any]

READY_TARGET = "/.headgate-ready"
"""Answers 200 while the server takes requests and 503 once a stop was asked for."""

_log = logging.getLogger(__name__)
_access = logging.getLogger("headgate.access")


class Gate:
    """Finds the handler of a method and turns whatever it raises into an answer.

    All attributes are fixed but `stopping`, which is set once.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        trusted_proxies: Sequence[Network] = (),
        public_url: str = "",
    ) -> None:
        self._handlers = handlers
        self._trusted = trusted_proxies
        self._public = public_url.rstrip("/")
        self.stopping = False

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        began = time.perf_counter()
        headers = header_map(environ)
        response = self._answer(environ, headers)
        took_ms = (time.perf_counter() - began) * 1000
        fields = list(response.headers)
        body = response.body
        if isinstance(body, bytes):
            if response.status not in (204, 304):
                fields.append(("Content-Length", str(len(body))))
            body = [body] if body else []
        if "x-server-timing" in headers:
            fields.append(("Server-Timing", f"app;dur={took_ms:.2f}"))
        status = f"{response.status} {HTTPStatus(response.status).phrase}"
        _access.debug(
            "%s %s %d %.1f ms",
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            response.status,
            took_ms,
        )
        start(status, fields)
        return body

    def _answer(self, environ: dict[str, Any], headers: Mapping[str, str]) -> Response:
        method = environ["REQUEST_METHOD"]
        if environ["PATH_INFO"] == READY_TARGET:
            return text_response(503, "stopping") if self.stopping else text_response(200, "ready")
        prefix = ""
        try:
            handler = self._handlers.get(method)
            if handler is None:
                allowed = [("Allow", ", ".join(self._handlers))]
                return text_response(405, f"The method {method} is not served here.", allowed)
            client = self._client(environ, headers)
            base = f"{client.scheme}://{client.host}"
            caller = Caller(address=client.address)
            request = Request(environ, headers, caller, (base, self._public))
            prefix = request.prefix
            return _primed(handler(request))
        except BadRequest as error:
            return _refused(error, prefix)
        except StorageError as error:
            return _failed(error)
        except StateError as error:
            return _unstated(error)
        except PeerLost:
            raise  # the server beneath knows what to do
        except Exception:  # noqa: BLE001 - whatever it is, the client gets a number and no traceback
            number = secrets.token_hex(4)
            _log.exception("request %s failed: %s %s", number, method, environ["PATH_INFO"])
            return text_response(
                500, f"The gateway failed on this request; its log says why, under {number}."
            )

    def _client(self, environ: dict[str, Any], headers: Mapping[str, str]) -> Client:
        """Return whom the request comes from and by which name it reached us."""
        default = f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
        direct = Client(
            environ["wsgi.url_scheme"], headers.get("host", default), environ["REMOTE_ADDR"]
        )
        return resolve(direct, headers, self._trusted) if self._trusted else direct


def _primed(response: Response) -> Response:
    """Return the response with its first block made, so that a failure still has its status."""
    if isinstance(response.body, bytes | list | FileSlice):
        return response
    return Response(response.status, response.headers, _Primed(response.body))


class _Primed:
    """A body that was begun."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body
        blocks = iter(body)
        try:
            first = next(blocks, b"")
        except BaseException:
            self.close()
            raise
        self._blocks = chain((first,), blocks)

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


def _refused(error: BadRequest, prefix: str) -> Response:
    headers = list(error.headers)
    if error.status == 304:
        return Response(304, headers)
    if error.condition:
        headers.append(("Content-Type", CONTENT_TYPE))
        hrefs = [prefix + href for href in error.hrefs]
        body = error_body(error.condition, hrefs, detail=error.detail)
        return Response(error.status, headers, body)
    return text_response(error.status, error.detail, headers)


def _failed(error: StorageError) -> Response:
    row = errors.meaning(error)
    _log.log(row.level, "%s", error)
    headers: list[tuple[str, str]] = []
    if row.status == 503:
        headers.append(("Retry-After", str(int(error.retry_after_seconds or 1))))
    return text_response(row.status, errors.sentence(error), headers)


def _unstated(error: StateError) -> Response:
    row = errors.state_meaning(error)
    _log.log(row.level, "%s", error)
    headers = [("Retry-After", "1")] if row.status == 503 else []
    if isinstance(error, LockConflict):
        return Response(423, [("Content-Type", CONTENT_TYPE)], error_body("no-conflicting-lock"))
    detail = f"{error.text}: {error.detail}" if error.detail else error.text
    return text_response(row.status, detail, headers)
