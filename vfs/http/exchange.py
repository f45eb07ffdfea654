"""Exchange: one request on a connection, from its parsed head to the end of its answer."""

import logging
from collections.abc import Callable, Iterable

from providers import waiting
from providers.errors import StorageError
from vfs.http.answer import Answer, FileSlice
from vfs.http.arrival import Arrival, arrived
from vfs.http.bad_request import BadRequest
from vfs.http.body import Body
from vfs.http.environ import environ_of
from vfs.http.head import Head
from vfs.http.line import Line, PeerLost
from vfs.http.native import Reply, Serving
from vfs.http.visit import FINISH_KEY

_log = logging.getLogger(__name__)

BODY_NOW_BYTES = 64 * 1024
"""The longest body, of a request or an answer, that is dealt with in the loop."""


class Exchange:
    """Answers one request. The loop's thread may begin it, and a thread of the pool end it.

    Whatever would have to wait in the loop raises WouldWait there: while the request is answered,
    and then it is answered anew; or once the answer is made, and then that is sent. `_content` is
    the body when it was there with the head, so that it can be read again.
    """

    def __init__(self, line: Line, host: Serving) -> None:
        self.answer = Answer(line)
        self._line = line
        self._host = host
        self._head: Head | None = None
        self._arrival: Arrival | None = None
        self._body: Body | None = None
        self._content: bytes | None = None
        self._reply: Reply | None = None

    def run(self, take_head: Callable[[], Head], *, now: bool = False) -> bool:
        """Answer; tell whether there is still somebody to answer. With `now` it must not wait."""
        answer = self.answer
        if now:
            waiting.refuse()
        try:
            if answer.is_under_way:
                self._resume()
            elif self._reply is None:
                self._begin(take_head, now=now)
            else:
                self._send(self._reply, now=now)
        except BadRequest as error:
            answer.refuse(error)
        except StorageError as error:
            # The head is out already, or the application would have turned it into an answer.
            _log.warning("a transfer was cut: %s", error)
            answer.refuse(BadRequest(502, "the store failed"))
        except PeerLost as error:
            _log.debug("lost %s: %s", self._line.remote_addr, error)
            return False
        except Exception:  # noqa: BLE001 - one request must not end the thread
            _log.exception("a request failed: %s", self._head.method if self._head else "no head")
            answer.refuse(BadRequest(500, "the gateway failed on this request; its log says why"))
        return True

    def _begin(self, take_head: Callable[[], Head], *, now: bool) -> None:
        head = self._head
        if head is None:
            head = self._head = take_head()
        native = self._host.native
        if now:
            if native is None or head.chunked or head.length > BODY_NOW_BYTES:
                raise waiting.WouldWait
            if head.length and self._content is None:
                if self._line.ahead < head.length:
                    raise waiting.WouldWait
                self._content = self._line.receive(head.length)
        body = self._body = Body(self._line, head, self._content)
        self.answer.expect(head, body)
        arrival = self._arrival
        if arrival is None:
            arrival = self._arrival = arrived(self._line, head, body)
        arrival.body = body
        if native is None:
            self._run_wsgi(arrival)
            return
        reply = self._reply = native.answer(arrival)
        if now:
            waiting.refuse()
        self._send(reply, now=now)

    def _send(self, reply: Reply, *, now: bool) -> None:
        answer = self.answer
        try:
            answer.tell(reply.status, reply.headers)
            body = self._at_once(reply.body) if now else reply.body
            answer.send((body,) if isinstance(body, bytes | bytearray) else body)
        except waiting.WouldWait:
            raise  # somebody else goes on with it
        except BaseException:
            self._end()
            raise
        self._end()

    def _resume(self) -> None:
        try:
            self.answer.resume()
        except waiting.WouldWait:
            raise
        except BaseException:
            self._end()
            raise
        self._end()

    def _at_once(self, body: Iterable[bytes] | bytes) -> Iterable[bytes] | bytes | bytearray:
        """Return what can be sent without waiting for a disk."""
        if isinstance(body, bytes | list):
            return body
        if isinstance(body, FileSlice):
            if self.answer.is_bodiless():
                return b""
            if body.size <= BODY_NOW_BYTES:
                data = body.reader.read_now(body.offset, body.size)
                if data is not None:
                    return data
        raise waiting.WouldWait

    def _end(self) -> None:
        """Give back what the answer holds, and say that it is over."""
        reply, self._reply = self._reply, None
        if reply is None:
            return
        native = self._host.native
        assert native is not None
        try:
            _close(reply.body)
        finally:
            received = self._body.received if self._body else 0
            native.finish(reply, received, self.answer.sent, whole=self.answer.is_whole)

    def drop(self) -> None:
        """Give back what is held, for a connection that is closed before anybody goes on."""
        self._end()

    def _run_wsgi(self, arrival: Arrival) -> None:
        answer, body = self.answer, arrival.body
        environ = environ_of(arrival)
        try:
            result = self._host.wsgi_app(environ, answer.start)
            try:
                answer.send(result)
            finally:
                _close(result)
        finally:
            finish = environ.get(FINISH_KEY)
            if finish is not None:
                finish(body.received, answer.sent, whole=answer.is_whole)


def _close(body: Iterable[bytes] | bytes) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()
