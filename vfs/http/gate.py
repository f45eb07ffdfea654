"""Gate: the WSGI application. Each request goes through here once, in and out."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import chain, islice
from typing import Any

from providers import waiting
from providers.errors import StorageError
from providers.names import RESERVED_PREFIX
from vfs.auth import credentials
from vfs.auth.caller import Caller
from vfs.auth.errors import AuthError, Unauthenticated
from vfs.http import refusals
from vfs.http.answer import FileSlice
from vfs.http.arrival import Arrival
from vfs.http.bad_request import BadRequest
from vfs.http.environ import arrival_of
from vfs.http.forwarded import Client, Network, resolve
from vfs.http.line import PeerLost
from vfs.http.native import Reply
from vfs.http.promptness import Promptness
from vfs.http.request import Request, Response, text_response
from vfs.http.target import without_secrets
from vfs.http.visit import FINISH_KEY, Quota, Visit
from vfs.state.errors import StateError
from vfs.tree.audience import Audience, waited_for

Handler = Callable[[Request], Response]
StartResponse = Callable[..., Any]

READY_TARGET = "/.headgate-ready"
"""Answers 200 while the server takes requests and 503 once a stop was asked for."""

_ERROR = 400
_BODILESS = frozenset({204, 304})
_RESERVED_TARGET = f"/{RESERVED_PREFIX}"
_TOKEN_IN_QUERY = re.compile(r"(?:^|&)(?:access_token|authz|bearer|token)=", re.IGNORECASE)

_log = logging.getLogger(__name__)
_access = logging.getLogger("headgate.access")

Authenticate = Callable[[Mapping[str, str], str], Caller]


def _no_quota() -> None:
    """Bound nobody."""


class Gate:
    """Finds out who asks and the handler of the method; turns whatever is raised into an answer.

    `pages` are what is served under reserved names at the root; each sees the path beneath its own.
    `ended` is told of every request once its answer is out. `prompt` knows which requests are
    answered in the loop; without it none is. All attributes are fixed but
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
        prompt: Promptness | None = None,
    ) -> None:
        self._handlers = handlers
        self._pages = dict(pages or {})
        self._authenticate = authenticate or _anybody
        self._challenges = challenges
        self._quota = quota
        self._ended = ended
        self._trusted = trusted_proxies
        self._public = public_url.rstrip("/")
        self._prompt = prompt
        self.stopping = False

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        """Answer one request of a WSGI server."""
        reply = self.answer(arrival_of(environ))

        def finish(received: int, sent: int, *, whole: bool) -> None:
            self.finish(reply, received, sent, whole=whole)

        environ[FINISH_KEY] = finish
        start(f"{reply.status} {HTTPStatus(reply.status).phrase}", reply.headers)
        body = reply.body
        if isinstance(body, bytes):
            return [body] if body else []
        return body

    def answer(self, arrival: Arrival) -> Reply:
        """Answer one request; `finish` must be told when the answer is out.

        In a thread that must not wait it may raise WouldWait, and is then asked once more.
        """
        visit = arrival.visit
        if visit is None:
            visit = arrival.visit = Visit(arrival.method, arrival.path, arrival.address)
        if waiting.is_refused():
            status, headers, body = self._answer(arrival, visit)
        else:
            with waited_for(_audience(arrival)):
                status, headers, body = self._answer(arrival, visit)
        took_ms = (time.perf_counter() - visit.started) * 1000
        visit.status = status
        if isinstance(body, bytes) and status not in _BODILESS:
            headers.append(("Content-Length", str(len(body))))
        if status >= _ERROR:
            headers.append(("X-Request-Id", visit.id))
        if "x-server-timing" in arrival.headers:
            headers.append(("Server-Timing", f"app;dur={took_ms:.2f}"))
        if _access.isEnabledFor(logging.DEBUG):
            _access.debug("%s %s %d %.1f ms", visit.method, arrival.path, status, took_ms)
        return Reply(status, headers, body, visit)

    def finish(self, reply: Reply, received: int, sent: int, *, whole: bool) -> None:
        """Note that an answer is out, or that it will never be."""
        visit = reply.visit
        visit.received, visit.sent, visit.whole = received, sent, whole
        visit.seconds = time.perf_counter() - visit.started
        if visit.entered is not None:
            visit.entered.leave(visit.caller)
        if self._ended is not None:
            self._ended(visit)

    def _answer(self, arrival: Arrival, visit: Visit) -> Response:
        method = visit.method
        target = arrival.target
        if target.startswith(_RESERVED_TARGET) and arrival.path == READY_TARGET:
            return text_response(503, "stopping") if self.stopping else text_response(200, "ready")
        prefix = ""
        try:
            page, target = self._page(target)
            handler = page or self._handlers.get(method)
            if handler is None:
                allowed = [("Allow", ", ".join(self._handlers))]
                return text_response(405, f"The method {method} is not served here.", allowed)
            client = self._client(arrival)
            visit.address = client.address
            if not visit.is_known:
                _refuse_token_in_url(arrival)
                visit.caller = self._authenticate(arrival.headers, client.address)
                visit.is_known = True
                quota = self._quota()
                if quota is not None:
                    quota.enter(visit.caller)
                    visit.entered = quota
            request = Request(arrival, target, visit.caller, (_base(client), self._public))
            if page is None:
                visit.path = request.path
            destination = arrival.headers.get("destination")
            if destination is not None:
                visit.destination = without_secrets(destination)
            prefix = request.prefix
            if waiting.is_refused():
                return self._answer_now(handler, request, is_page=page is not None)
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
                accept=arrival.headers.get("accept"),
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

    def _answer_now(self, handler: Handler, request: Request, *, is_page: bool) -> Response:
        """Let the handler answer in the loop, if it may, and note whether it took too long."""
        if is_page or self._prompt is None or not self._prompt.allows(request):
            raise waiting.WouldWait
        begun = self._prompt.begin()
        try:
            return _primed(handler(request))
        finally:
            self._prompt.end(request, begun)

    def _page(self, target: str) -> tuple[Handler | None, str]:
        """Return the page that the target names, and what stands beneath its name."""
        if self._pages and target.startswith(_RESERVED_TARGET):
            name, slash, rest = target[1:].partition("/")
            page = self._pages.get(name)
            if page is not None:
                return page, slash + rest or "/"
        return None, target

    def _client(self, arrival: Arrival) -> Client:
        """Return whom the request comes from and by which name it reached us."""
        direct = Client(arrival.scheme, arrival.host, arrival.address)
        return resolve(direct, arrival.headers, self._trusted) if self._trusted else direct


def _base(client: Client) -> str:
    return f"{client.scheme}://{client.host}"


def _primed(response: Response) -> Response:
    """Return the response with its first block made, so that a failure still has its status.

    What is over with one block becomes plain bytes, unless it is read from a store.
    """
    body = response.body
    if isinstance(body, bytes | list | FileSlice):
        return response
    is_read = getattr(body, "is_read", False)
    try:
        if is_read:
            waiting.begin()
        blocks = iter(body)
        ready = list(islice(blocks, 1 if is_read else 2))
    except BaseException:
        _close(body)
        raise
    if len(ready) < 2 and not is_read:
        _close(body)
        return Response(response.status, response.headers, b"".join(ready))
    return Response(response.status, response.headers, _Primed(body, chain(ready, blocks)))


class _Primed:
    """A body that was begun."""

    def __init__(self, body: Iterable[bytes], blocks: Iterator[bytes]) -> None:
        self._body = body
        self._blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        _close(self._body)


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _audience(arrival: Arrival) -> Audience:
    """Return what the work for a request knows of the client that waits for it."""
    line = arrival.line
    return Audience() if line is None else Audience(line.is_present, line.host.blocked)


def _anybody(_headers: Mapping[str, str], address: str) -> Caller:
    return Caller(address=address)


def _refuse_token_in_url(arrival: Arrival) -> None:
    """Raise BadRequest when the query holds a credential: URLs are logged and passed on."""
    if "?" in arrival.target and _TOKEN_IN_QUERY.search(arrival.query):
        raise BadRequest(
            400,
            "A token does not belong into a URL, where logs keep it; send it as"
            " 'Authorization: Bearer TOKEN', and revoke the one that was sent here.",
        )
