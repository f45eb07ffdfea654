"""Loop: accepts connections and gathers heads, so that no thread waits for a slow one."""

import errno
import logging
import select
import socket
import threading
import time
from contextlib import suppress
from typing import Protocol

from vfs.http.connection import Connection
from vfs.http.line import Host

_log = logging.getLogger(__name__)

CONNECTIONS_MAX = 4096
CONNECTIONS_PER_ADDRESS = 1024
EXPIRE_SECONDS = 0.5


class Acceptor(Host, Protocol):
    """The server, as the loop sees it."""

    def wrapped(self, sock: socket.socket) -> socket.socket:
        """Return the socket with TLS around it, not yet shaken hands, if there is TLS."""

    def process_conn(self, connection: Connection) -> None:
        """Queue a connection for the pool."""


class Loop:
    """One thread over one epoll; it takes the place of cheroot's ConnectionManager.

    `_lock` guards the counts by address. A connection stands in `_waiting` while it is the loop's;
    EPOLLONESHOT makes sure that no event of it arrives while a pool thread has it.
    """

    def __init__(self, server: Acceptor, listener: socket.socket) -> None:
        self._server = server
        self._listener = listener
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._waiting: dict[int, Connection] = {}
        self._lock = threading.Lock()
        self._by_address: dict[str, int] = {}
        self._count = 0
        self._stopping = False
        self._running = False

    def run(self, _interval: float) -> None:
        """Serve until `stop`."""
        self._running = True
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
        if connection.gather():
            self._server.process_conn(connection)
        else:
            self._arm(connection, new=False)

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
            self._arm(Connection(self._server, wrapped, address), new=True)

    def _arm(self, connection: Connection, *, new: bool) -> None:
        fd = connection.socket.fileno()
        self._waiting[fd] = connection
        events = select.EPOLLIN | select.EPOLLONESHOT
        try:
            if new:
                self._epoll.register(fd, events)
            else:
                self._epoll.modify(fd, events)
        except (OSError, ValueError):
            if self._waiting.pop(fd, None) is not None:
                connection.close()

    def _gather(self, fd: int) -> None:
        connection = self._waiting.pop(fd, None)
        if connection is None:
            return
        if connection.gather():
            self._server.process_conn(connection)
        else:
            self._arm(connection, new=False)

    def _expire(self, now: float) -> None:
        for fd, connection in list(self._waiting.items()):
            if connection.is_overdue(now) and self._waiting.pop(fd, None) is not None:
                connection.close()
