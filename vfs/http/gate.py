"""Gate: the WSGI application. Each request goes through here once, in and out."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any

from providers.errors import StorageError
from providers.names import RESERVED_PREFIX
from vfs.auth import credentials
from vfs.auth.caller import Caller
from vfs.auth.errors import AuthError, Unauthenticated
from vfs.http import refusals
from vfs.http.answer import FileSlice
from vfs.http.bad_request import BadRequest
from vfs.http.environ import LINE_KEY, TARGET_KEY
from vfs.http.forwarded import Client, Network, resolve
from vfs.http.line import Line, PeerLost
from vfs.http.request import Request, Response, header_map, text_response
from vfs.http.target import without_secrets
from vfs.http.visit import FINISH_KEY, Quota, Visit
from vfs.state.errors import StateError
from vfs.tree.waiting import Waiting, waited_for

Handler = Callable[[Request], Response]
StartResponse = Callable[..., Any]

READY_TARGET = "/.headgate-ready"
"""Answers 200 while the server takes requests and 503 once a stop was asked for."""

_ERROR = 400
_TOKEN_IN_QUERY = re.compile(r"(?:^|&)(?:access_token|authz|bearer|token)=", re.IGNORECASE)

_log = logging.getLogger(__name__)
_access = logging.getLogger("headgate.access")

Authenticate = Callable[[Mapping[str, str], str], Caller]


def _no_quota() -> None:
    """Bound nobody."""


class Gate:
    """Finds out who asks and the handler of the method; turns whatever is raised into an answer.

    `pages` are what is served under reserved names at the root; each sees the path beneath its own.
    `ended` is told of every request once its answer is out. All attributes are fixed but
    `stopping`, which is set once.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        pages: Mapping[str, Handler] | None = None,
        authenticate: Authenticate | None = None,
        challenges: Callable[[], refusals.Challenges] = tuple,
        quota: Callable[[], Quota | None] = _no_quota,
        ended: Callable[[Visit], None] | None = None,
        trusted_proxies: Sequence[Network] = (),
        public_url: str = "",
    ) -> None:
        self._handlers = handlers
        self._pages = dict(pages or {})
        self._authenticate = authenticate or _anybody
        self._challenges = challenges
        self._quota = quota
        self._ended = ended
        self._trusted = trusted_proxies
        self._public = public_url.rstrip("/")
        self.stopping = False

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        began = time.perf_counter()
        headers = header_map(environ)
        visit = Visit(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["REMOTE_ADDR"])
        with waited_for(_waiting(environ)):
            response = self._answer(environ, headers, visit)
        took_ms = (time.perf_counter() - began) * 1000
        fields = list(response.headers)
        body = response.body
        visit.status = response.status
        if isinstance(body, bytes):
            if response.status not in (204, 304):
                fields.append(("Content-Length", str(len(body))))
            body = [body] if body else []
        if response.status >= _ERROR:
            fields.append(("X-Request-Id", visit.id))
        if "x-server-timing" in headers:
            fields.append(("Server-Timing", f"app;dur={took_ms:.2f}"))
        status = f"{response.status} {HTTPStatus(response.status).phrase}"
        _access.debug(
            "%s %s %d %.1f ms", visit.method, environ["PATH_INFO"], response.status, took_ms
        )

        def finish(received: int, sent: int, *, whole: bool) -> None:
            visit.received, visit.sent, visit.whole = received, sent, whole
            visit.seconds = time.perf_counter() - began
            if visit.entered is not None:
                visit.entered.leave(visit.caller)
            if self._ended is not None:
                self._ended(visit)

        environ[FINISH_KEY] = finish
        start(status, fields)
        return body

    def _answer(
        self, environ: dict[str, Any], headers: Mapping[str, str], visit: Visit
    ) -> Response:
        method = visit.method
        if visit.path == READY_TARGET:
            return text_response(503, "stopping") if self.stopping else text_response(200, "ready")
        prefix = ""
        try:
            page = self._page(environ)
            handler = page or self._handlers.get(method)
            if handler is None:
                allowed = [("Allow", ", ".join(self._handlers))]
                return text_response(405, f"The method {method} is not served here.", allowed)
            client = self._client(environ, headers)
            visit.address = client.address
            _refuse_token_in_url(environ)
            visit.caller = caller = self._authenticate(headers, client.address)
            quota = self._quota()
            if quota is not None:
                quota.enter(caller)
                visit.entered = quota
            base = f"{client.scheme}://{client.host}"
            request = Request(environ, headers, caller, (base, self._public))
            if page is None:
                visit.path = request.path
            visit.destination = without_secrets(headers.get("destination", ""))
            prefix = request.prefix
            return _primed(handler(request))
        except BadRequest as error:
            return refusals.bad(error, prefix)
        except AuthError as error:
            if isinstance(error, Unauthenticated):
                visit.caller = Caller(credential="refused", address=visit.address)
                visit.claimed = credentials.claimed(error.name)
            return refusals.unknown(error, self._challenges())
        except StorageError as error:
            return refusals.failed(
                error,
                visit.caller,
                self._challenges(),
                accept=headers.get("accept"),
                prefix=prefix,
            )
        except StateError as error:
            return refusals.unstated(error)
        except PeerLost:
            raise  # the server beneath knows what to do
        except Exception:  # noqa: BLE001 - whatever it is, the client gets a number and no traceback
            _log.exception("request %s failed: %s %s", visit.id, method, visit.path)
            return text_response(
                500, f"The gateway failed on this request; its log says why, under {visit.id}."
            )

    def _page(self, environ: dict[str, Any]) -> Handler | None:
        """Return the page that the target names, and leave it what stands beneath its name."""
        name, slash, rest = environ[TARGET_KEY].removeprefix("/").partition("/")
        page = self._pages.get(name) if name.startswith(RESERVED_PREFIX) else None
        if page is not None:
            environ[TARGET_KEY] = slash + rest or "/"
        return page

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


def _waiting(environ: Mapping[str, Any]) -> Waiting:
    """Return what the work for a request knows of the client that waits for it."""
    line: Line | None = environ.get(LINE_KEY)
    return Waiting() if line is None else Waiting(line.is_present, line.host.blocked)


def _anybody(_headers: Mapping[str, str], address: str) -> Caller:
    return Caller(address=address)


def _refuse_token_in_url(environ: Mapping[str, Any]) -> None:
    """Raise BadRequest when the query holds a credential: URLs are logged and passed on."""
    query = environ.get("QUERY_STRING", "")
    if query and _TOKEN_IN_QUERY.search(query):
        raise BadRequest(
            400,
            "A token does not belong into a URL, where logs keep it; send it as"
            " 'Authorization: Bearer TOKEN', and revoke the one that was sent here.",
        )
