"""Requests out, replies in: many threads on one stream, with no thread of its own.

Of the threads that wait for replies one leads: it receives and hands each reply to whom it belongs,
until it has its own; then another one leads. A single thread thus reads its answer itself, without
being woken by another.

A server may stop reading until somebody takes its replies. So a thread that cannot send leads as
well, if nobody does.
"""

import itertools
import threading
import time
from collections.abc import Sequence
from queue import Empty
from typing import Final

from providers.errors import StorageError, TimedOut, Unavailable
from providers.ssh import wire
from providers.ssh.exchange import Exchange, Reply, Request
from providers.ssh.stream import MOMENT_RECEIVING_SECONDS, Stream

SILENCE_SECONDS: Final = 30.0

# A request that is never answered while others are counts as lost after so many times the silence.
_LOST_FACTOR = 4
_BUFFER_BYTES = 64 << 10
_SMALLEST = wire.HEADER.size
_LEAST_LENGTH = 5  # of kind and id
_DATA_HEAD = _SMALLEST + 4  # with the size of the data
_SMALL_BYTES = 16 << 10


class Broken(Exception):
    """The server does not speak the protocol."""


class Dialogue:
    """Carries the requests of all threads over one stream.

    `stream` and `silence_seconds` are fixed. `_lock` guards `_leading`, `_sleepers` and `_failure`;
    `_sending` is held while a request is sent, so that packets do not mix. The receiving buffer and
    `_heard` belong to the thread that leads. `_calls` and `_numbers` are used by single steps that
    are atomic.
    """

    def __init__(self, stream: Stream, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        self.stream = stream
        self.silence_seconds = silence_seconds
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._numbers = itertools.count(1)
        self._calls: dict[int, tuple[Exchange | None, Request]] = {}
        self._leading = False
        self._sleepers: dict[int, Exchange] = {}
        self._failure: str | None = None
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._start = 0
        self._end = 0
        self._heard = time.monotonic()

    @property
    def failure(self) -> str | None:
        """Why the dialogue is over; None while it lasts."""
        return self._failure

    def greet(self) -> tuple[int, bytes]:
        """Send INIT and return the server's version and its extensions. Called once, first."""
        self._heard = time.monotonic()
        greeting = self.exchange()
        greeting.since = self._heard
        try:
            self._send([wire.packet(wire.INIT, 3)])
            self._have(_SMALLEST, greeting)
            length, kind, version = wire.HEADER.unpack_from(self._buffer, self._start)
            _check_length(length if kind == wire.VERSION else 0)
            self._start += _SMALLEST
            body = self._body(length - _LEAST_LENGTH, greeting)
        except BaseException as error:
            self._reraise(error)
            raise
        self.stream.established()
        return version, body

    def exchange(self, patience_seconds: float = 0) -> Exchange:
        """Return an exchange whose replies may keep us waiting for so long, at least."""
        return Exchange(max(patience_seconds, self.silence_seconds))

    def ask(self, exchange: Exchange | None, requests: Sequence[Request]) -> None:
        """Send requests, in order. Without an exchange nobody is told their replies."""
        if self._failure is not None:
            raise self._gone()
        buffers: list[wire.Bytes] = []
        total = told = 0
        for request in requests:
            number = next(self._numbers) & 0xFFFFFFFF
            told += request.told
            self._calls[number] = (exchange if request.told else None, request)
            length = _LEAST_LENGTH
            for part in request.parts:
                length += len(part)
            total += length
            buffers += (wire.HEADER.pack(length, request.kind, number), *request.parts)
        if total <= _BUFFER_BYTES:
            buffers = [b"".join(buffers)]
        if exchange is not None:
            exchange.asked += told
            exchange.since = time.monotonic()
        try:
            self._send(buffers)
        except BaseException as error:
            self._reraise(error)
            raise
        for request in requests:
            request.parts = ()  # a buffer that was sent is the caller's again

    def wait(self, exchange: Exchange, low: int = 0) -> None:
        """Return when at most `low` requests are without a reply. Raises when the stream is over.

        A reply into a view may come until this returns with nothing outstanding; so who must leave
        earlier ends the dialogue by `abort`.
        """
        if exchange.asked - exchange.answered <= low:
            return
        exchange.low = low
        exchange.since = time.monotonic()
        slept = False
        while True:
            with self._lock:
                if slept:
                    exchange.sleeping = False
                    self._sleepers.pop(id(exchange), None)
                if exchange.asked - exchange.answered <= low:
                    self._pass_on()
                    return
                if self._failure is not None:
                    raise self._gone()
                if self._leading:
                    exchange.sleeping = slept = True
                    self._sleepers[id(exchange)] = exchange
                    leads = False
                else:
                    self._leading = leads = True
            if leads:
                self._lead(exchange)
            elif exchange.outstanding > low:
                self._sleep(exchange)

    def abort(self, error: BaseException) -> None:
        """End the dialogue, because a thread left it in the middle."""
        self._fail(error)

    def broken(self, reason: str) -> StorageError:
        """End the dialogue, because a reply makes no sense; return the error to raise."""
        return self._fail(Broken(reason))

    def close(self) -> None:
        """End the dialogue and the stream. Twice is no error."""
        self._end_with(Unavailable(detail="the connection was closed"))

    # Leading

    def _lead(self, exchange: Exchange) -> None:
        try:
            while exchange.asked - exchange.answered > exchange.low or self._whole():
                self._receive(exchange)
                if self._heard - exchange.since > self.silence_seconds:
                    self._check_lost(exchange)
        except BaseException as error:
            self._reraise(error)
            raise
        finally:
            with self._lock:
                self._leading = False
                self._pass_on()

    def _pass_on(self) -> None:
        """Wake a thread that can lead. The lock is held."""
        if not self._leading and self._sleepers:
            next(iter(self._sleepers.values())).turn.put(None)

    def _sleep(self, exchange: Exchange) -> None:
        try:
            exchange.turn.get(timeout=MOMENT_RECEIVING_SECONDS)
        except Empty:
            self._check_lost(exchange)

    def _check_lost(self, exchange: Exchange) -> None:
        waited = time.monotonic() - max(exchange.since, exchange.progress)
        if waited > self._patience() * _LOST_FACTOR:
            late = TimedOut(detail="the server answered others, but not this request")
            self._fail(late)
            raise late

    def _patience(self) -> float:
        calls = list(self._calls.values())
        asked = (exchange.patience for exchange, _ in calls if exchange is not None)
        return max(asked, default=self.silence_seconds)

    def _receive(self, leader: Exchange) -> None:
        """Receive one reply and hand it to whom it belongs."""
        if self._end - self._start < _SMALLEST:
            self._have(_SMALLEST, leader)
        length, kind, number = wire.HEADER.unpack_from(self._buffer, self._start)
        _check_length(length)
        found = self._calls.pop(number, None)
        if found is None:
            raise Broken("a reply belongs to no request")
        self._start += _SMALLEST
        exchange, request = found
        if kind == wire.DATA and request.view is not None:
            self._have(4, leader)
            size = wire.parse_u32(self._buffer, self._start)
            if size != length - _SMALLEST or size > len(request.view):
                raise Broken("it sent more data than was asked for")
            self._start += 4
            self._take(request.view[:size], leader)
            reply: Reply = (request.tag, kind, b"", size)
        else:
            reply = (request.tag, kind, self._body(length - _LEAST_LENGTH, leader), 0)
        if exchange is not None:
            exchange.replies.append(reply)
            exchange.progress = self._heard
            exchange.answered += 1
            if exchange.sleeping and exchange.outstanding <= exchange.low:
                exchange.turn.put(None)

    def _whole(self) -> bool:
        """Tell whether a whole reply lies in the buffer, so that taking it costs no wait."""
        there = self._end - self._start
        if there < _SMALLEST:
            return False
        return there >= 4 + wire.parse_u32(self._buffer, self._start)

    def _body(self, size: int, leader: Exchange) -> bytes:
        if size <= self._end - self._start:
            body = bytes(self._buffer[self._start : self._start + size])
            self._start += size
            return body
        own = bytearray(size)
        self._take(memoryview(own), leader)
        return bytes(own)

    def _have(self, size: int, leader: Exchange) -> None:
        """Return when the buffer holds `size` bytes."""
        while self._end - self._start < size:
            if self._start:
                self._shift()
            self._end += self._recv(self._buffer[self._end : self._reach()], 1, leader)

    def _reach(self) -> int:
        """Return up to where the buffer shall be filled.

        Where much data comes next it is its head alone: what lies behind goes to its own place at
        once.
        """
        try:
            oldest = next(iter(self._calls.values()), None)
        except RuntimeError:  # somebody asks at this moment
            return _BUFFER_BYTES
        if oldest is not None and len(oldest[1].view or b"") > _SMALL_BYTES:
            return max(_DATA_HEAD, self._end + 1)
        return _BUFFER_BYTES

    def _shift(self) -> None:
        rest = self._end - self._start
        self._buffer[:rest] = self._buffer[self._start : self._end]
        self._start, self._end = 0, rest

    def _take(self, view: memoryview, leader: Exchange) -> None:
        """Fill `view` from the buffer, and then straight from the stream."""
        there = min(len(view), self._end - self._start)
        if there:
            view[:there] = self._buffer[self._start : self._start + there]
            self._start += there
        while there < len(view):
            there += self._recv(view[there:], len(view) - there, leader)

    def _recv(self, view: memoryview, least: int, leader: Exchange) -> int:
        while True:
            try:
                came = self.stream.recv_into(view, least)
            except BlockingIOError:
                self._check_silence(leader)
                continue
            if came == 0:
                raise EOFError
            self._heard = time.monotonic()
            return came

    def _check_silence(self, leader: Exchange) -> None:
        if self._failure is not None:
            raise self._gone()
        waited = time.monotonic() - max(self._heard, leader.since)
        patience = self._patience()
        if waited > patience:
            raise TimedOut(detail=f"not a word from the SFTP server in {patience:.3g} s")

    # Sending

    def _send(self, buffers: list[wire.Bytes]) -> None:
        with self._sending:
            stuck = 0.0
            while buffers:
                sent = self.stream.send(buffers)
                if sent:
                    if len(buffers) == 1 and sent == len(buffers[0]):
                        return
                    stuck = 0.0
                    buffers = _after(buffers, sent)
                    continue
                if self._failure is not None:
                    raise self._gone()
                stuck = stuck or time.monotonic()
                if time.monotonic() - max(stuck, self._heard) > self._patience():
                    raise TimedOut(detail="the SFTP server takes no more requests")
                self._relieve()

    def _relieve(self) -> None:
        """Take replies that are there, if nobody does: the server may wait for that."""
        with self._lock:
            if self._leading:
                return
            self._leading = True
        helper = self.exchange()
        helper.since = time.monotonic()
        try:
            while self._end - self._start >= _SMALLEST or self._more_at_once():
                self._receive(helper)
        finally:
            with self._lock:
                self._leading = False
                self._pass_on()

    def _more_at_once(self) -> bool:
        self._shift()
        try:
            came = self.stream.recv_into(self._buffer[self._end :], 0)
        except BlockingIOError:
            return False
        if came == 0:
            raise EOFError
        self._end += came
        self._heard = time.monotonic()
        return True

    # Ending

    def _fail(self, error: BaseException) -> StorageError:
        """End the dialogue and return what the thread that met `error` shall raise."""
        if self._failure is not None:
            return error if isinstance(error, StorageError) else self._gone()
        if isinstance(error, StorageError):
            told = error
        elif isinstance(error, Broken | wire.Malformed):
            told = Unavailable(detail=f"the server does not speak SFTP: {error}")
        elif isinstance(error, OSError | EOFError):
            told = self.stream.cause()
        else:
            told = Unavailable(detail="the connection was given up in the middle of a request")
        self._end_with(told)
        return told

    def _reraise(self, error: BaseException) -> None:
        """End the dialogue; raise what tells why, unless the thread itself is to end."""
        told = self._fail(error)
        try:
            if told is not error and isinstance(error, Exception):
                raise told from error
        finally:
            del told  # or its traceback would hold itself, and the stream with it

    def _end_with(self, told: StorageError) -> None:
        with self._lock:
            if self._failure is None:
                self._failure = told.detail  # not the error, whose traceback leads back here
            sleepers = list(self._sleepers.values())
        self.stream.close()
        for sleeper in sleepers:
            sleeper.turn.put(None)

    def _gone(self) -> StorageError:
        """Return an error of its own for each thread that finds the dialogue over."""
        return Unavailable(detail=self._failure or "")


def _check_length(length: int) -> None:
    if not _LEAST_LENGTH <= length <= wire.MAX_PACKET:
        raise Broken("what comes is no packet; does a login script there print something")


def _after(buffers: list[wire.Bytes], sent: int) -> list[wire.Bytes]:
    """Return what is left of `buffers` behind the first `sent` bytes."""
    for index, buffer in enumerate(buffers):
        if sent < len(buffer):
            rest: list[wire.Bytes] = [memoryview(buffer)[sent:]]
            return rest + buffers[index + 1 :]
        sent -= len(buffer)
    return []
