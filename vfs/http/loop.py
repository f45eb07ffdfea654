"""Loop: accepts connections and gathers heads, so that no thread waits for a slow one."""

import errno
import gc
import logging
import select
import socket
import threading
import time
from contextlib import suppress
from typing import Protocol

from providers.waiting import WouldWait
from vfs.http.connection import Connection
from vfs.http.exchange import BODY_NOW_BYTES
from vfs.http.native import Serving
from vfs.http.pace import GRACE_SECONDS, RATE_BYTES

_log = logging.getLogger(__name__)

CONNECTIONS_MAX = 4096
CONNECTIONS_PER_ADDRESS = 1024
EXPIRE_SECONDS = 0.5

SENDING_MAX = 128
"""Connections whose small answers wait in the loop for their peers; more wait in the pool."""

SEND_SECONDS = GRACE_SECONDS + BODY_NOW_BYTES / RATE_BYTES
"""How long such a peer may take."""


class Acceptor(Serving, Protocol):
    """The server, as the loop sees it."""

    def wrapped(self, sock: socket.socket) -> socket.socket:
        """Return the socket with TLS around it, not yet shaken hands, if there is TLS."""

    def process_conn(self, connection: Connection) -> None:
        """Queue a connection for the pool."""


class Loop:
    """One thread over one epoll; it takes the place of cheroot's ConnectionManager.

    `_lock` guards the counts by address. A connection stands in `_waiting`, and in the epoll, while
    it is the loop's; it is taken out of both before a pool thread has it. `_sending` are those that
    wait to send: the loop's thread alone uses it.
    """

    def __init__(self, server: Acceptor, listener: socket.socket) -> None:
        self._server = server
        self._listener = listener
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._waiting: dict[int, Connection] = {}
        self._sending: set[int] = set()
        self._lock = threading.Lock()
        self._by_address: dict[str, int] = {}
        self._count = 0
        self._stopping = False
        self._running = False

    def run(self, _interval: float) -> None:
        """Serve until `stop`."""
        self._running = True
        # What was made to serve lives as long as the process: no collection need look at it again.
        gc.freeze()
        try:
            expire_at = time.monotonic()
            while not self._stopping:
                for fd, _event in self._epoll.poll(EXPIRE_SECONDS, 256):
                    if fd == self._listener.fileno():
                        self._accept()
                    else:
                        self._gather(fd)
                now = time.monotonic()
                if now >= expire_at:
                    expire_at = now + EXPIRE_SECONDS
                    self._expire(now)
        finally:
            self._running = False

    def put(self, connection: Connection) -> None:
        """Take back a connection whose request was answered."""
        # What the system will tell of is the loop's to answer: else a fast client, whose next
        # request is there already, would never leave the pool again.
        if connection.has_more and connection.gather():
            self._server.process_conn(connection)
        else:
            self._arm(connection)

    def forget(self, address: str) -> None:
        """Count out a connection from `address` that is being closed."""
        with self._lock:
            self._count -= 1
            left = self._by_address[address] - 1
            if left:
                self._by_address[address] = left
            else:
                del self._by_address[address]

    def stop(self) -> None:
        """Let `run` return, and wait until it has."""
        self._stopping = True
        with suppress(OSError):
            # Wakes the loop, and refuses new connections from here on.
            self._listener.shutdown(socket.SHUT_RDWR)
        while self._running:
            time.sleep(0.01)

    def close(self) -> None:
        """Close the connections that wait for a request; none is taken after."""
        self._epoll.close()
        # A pool thread that is just giving one back takes it out itself if it meets the closed
        # epoll; whoever takes it out closes it.
        while self._waiting:
            with suppress(KeyError):
                self._waiting.popitem()[1].close()

    def _accept(self) -> None:
        for _ in range(64):
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    _log.error(
                        "no descriptor is left for a connection; raise the limit (ulimit -n)"
                    )
                    time.sleep(0.05)
                return
            with self._lock:
                count = self._by_address.get(address[0], 0)
                if count >= CONNECTIONS_PER_ADDRESS or self._count >= CONNECTIONS_MAX:
                    sock.close()
                    continue
                self._by_address[address[0]] = count + 1
                self._count += 1
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wrapped = self._server.wrapped(sock)
            except OSError:  # the peer is gone already
                sock.close()
                self.forget(address[0])
                continue
            self._arm(Connection(self._server, wrapped, address))

    def _arm(self, connection: Connection) -> None:
        """Wait for what a connection sends."""
        fd = connection.socket.fileno()
        self._waiting[fd] = connection
        try:
            self._epoll.register(fd, select.EPOLLIN)
        except (OSError, ValueError):
            if self._waiting.pop(fd, None) is not None:
                connection.close()

    def _take(self, fd: int) -> Connection | None:
        """Wait no more for a connection, and return it unless somebody else was quicker."""
        connection = self._waiting.pop(fd, None)
        if connection is not None:
            self._sending.discard(fd)
            with suppress(OSError, ValueError):
                self._epoll.unregister(fd)
        return connection

    def _gather(self, fd: int) -> None:
        connection = self._waiting.get(fd)
        if connection is None:
            return
        if connection.is_sending or connection.gather():
            self._answer(fd, connection)

    def _answer(self, fd: int, connection: Connection) -> None:
        """Answer a request here if nothing has to be waited for, else let the pool do it."""
        goes_on = False
        try:
            goes_on = connection.communicate(now=True)
            if fd in self._sending:
                self._sending.discard(fd)
                self._epoll.modify(fd, select.EPOLLIN)
            if goes_on and not connection.has_more:
                return
        except WouldWait:
            goes_on = True
            if connection.is_sending and self._is_sent_here(fd, connection):
                return
        except Exception:  # noqa: BLE001 - one connection must not end the loop
            _log.exception("a connection failed")
        if self._take(fd) is None:
            return
        if not goes_on:
            connection.close()
        elif connection.is_begun or connection.gather():
            # Who sends one request behind the other does not hold up the others.
            self._server.process_conn(connection)
        else:
            self._arm(connection)

    def _is_sent_here(self, fd: int, connection: Connection) -> bool:
        """Wait until the peer takes the rest of a small answer; False when too many do not."""
        if fd not in self._sending:
            if len(self._sending) >= SENDING_MAX:
                return False
            self._sending.add(fd)
            connection.give(SEND_SECONDS)
            self._epoll.modify(fd, select.EPOLLOUT)
        return True

    def _expire(self, now: float) -> None:
        for fd, connection in list(self._waiting.items()):
            if connection.is_overdue(now) and self._take(fd) is not None:
                connection.close()
