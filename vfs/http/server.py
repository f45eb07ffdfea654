"""Server: cheroot's port and stop around our own loop, pool and connections, or around its own."""

import logging
import resource
import socket
import ssl
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

from cheroot.wsgi import Server as WsgiServer

from vfs.http.connection import Connection
from vfs.http.held import Held, Tls
from vfs.http.listeners import BACKLOG, unpace
from vfs.http.loop import CONNECTIONS_MAX, Loop
from vfs.http.native import Application, native_of
from vfs.http.pace import STALL_SECONDS
from vfs.http.pool import THREADS, Pool

_log = logging.getLogger(__name__)

STOP_SECONDS = 30
"""How long running transfers may take to end after a stop was asked for."""


Engine = Literal["loop", "cheroot"]
"""What keeps the connections: our own loop and pool, or cheroot's manager and threads."""


class Server:
    """Serves one application. `bind` fixes the address; `serve` blocks until `stop`."""

    def __init__(
        self,
        application: Application,
        *,
        host: str,
        port: int,
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
        engine: Engine = "loop",
    ) -> None:
        context = None
        if tls_cert is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls_cert, tls_key)
        self._host = host
        self._scheme = "https" if context else "http"
        self._cheroot = _ENGINES[engine](application, host, port, context)
        self._stop = threading.Lock()

    @property
    def port(self) -> int:
        """The port in use; after `bind` never 0."""
        return self._cheroot.port

    @property
    def url(self) -> str:
        """Where the server is reached from this machine."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{self.port}"

    def bind(self, listener: socket.socket | None = None) -> None:
        """Take the port, or a socket that has it, and start the threads.

        Raises OSError when the port is not to be had.
        """
        _raise_descriptor_limit()
        self._cheroot.given = listener
        try:
            self._cheroot.prepare()
        except OSError as error:
            cause = error.__cause__ or error.__context__
            if error.errno is None and isinstance(cause, OSError):
                raise cause from error
            raise

    def serve(self) -> None:
        """Serve until `stop` is called from another thread."""
        self._cheroot.serve()

    def stop(self) -> None:
        """Take no more requests, let running ones end, then return."""
        with self._stop:
            self._cheroot.stopping = True
            self._cheroot.stop()


class _Cheroot(WsgiServer):
    """cheroot's server, on our terms: its port, its threads, its stop."""

    ConnectionClass = Held
    keep_alive_conn_limit = CONNECTIONS_MAX

    def __init__(
        self, application: Application, host: str, port: int, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(
            (host, port),
            application,
            numthreads=THREADS,
            server_name="headgate",
            request_queue_size=BACKLOG,
            timeout=int(STALL_SECONDS),
            shutdown_timeout=STOP_SECONDS,
        )
        self.host = host
        self.given: socket.socket | None = None
        self.stopping = False
        self.native = native_of(application)
        if context is not None:
            self.ssl_adapter = Tls(context)

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self.bind_addr[1])

    def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:  # noqa: A002 - cheroot's own signature
        """Make the socket that listens, unless one was given."""
        made: socket.socket
        if self.given is None:
            made = super().bind(family, type, proto)
        else:
            made = self.socket = self.given
            self.bind_addr = made.getsockname()[:2]
        unpace(made)
        return made

    def blocked(self) -> AbstractContextManager[None]:
        """Mark the calling thread as waiting for its peer; none takes its place."""
        return nullcontext()

    def forget(self, address: str) -> None:
        """Count a connection out; cheroot counts none."""

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:  # noqa: FBT001, FBT002 - cheroot's own signature
        """Send cheroot's own messages to our log."""
        _log.log(level, "%s", msg, exc_info=traceback)


class _Looped(_Cheroot):
    """The same with our loop in place of its connection manager, and our pool of its threads."""

    def __init__(
        self, application: Application, host: str, port: int, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(application, host, port, None)
        self.requests = self._pool = Pool(self.put_conn)
        self._context = context

    def prepare(self) -> None:
        """Bind, then put our loop in the place of cheroot's."""
        super().prepare()
        self._connections.close()  # type: ignore[has-type] # cheroot sets it in prepare
        self._loop = Loop(self, self.socket)
        self._connections = self._loop

    def blocked(self) -> AbstractContextManager[None]:
        """Mark the calling thread as waiting for its peer."""
        return self._pool.blocked()

    def forget(self, address: str) -> None:
        """Count a connection out."""
        self._loop.forget(address)

    def wrapped(self, sock: socket.socket) -> socket.socket:
        """Return the socket with TLS around it, if there is TLS; OSError when the peer is gone."""
        if self._context is None:
            return sock
        return self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    def process_conn(self, connection: Connection) -> None:
        """Queue a connection for the pool."""
        self._pool.put(connection)


_ENGINES: dict[Engine, type[_Cheroot]] = {"loop": _Looped, "cheroot": _Cheroot}


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as connections and their files need, if the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CONNECTIONS_MAX
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
