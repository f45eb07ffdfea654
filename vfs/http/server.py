"""Server: a socket, TLS and a pool of threads around one WSGI application."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server as WsgiServer

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_log = logging.getLogger(__name__)

THREADS = 50
"""Each transfer holds one; the breaker lets a stalled store hold fewer than these."""

STOP_SECONDS = 30
"""How long running transfers may take to end after a stop was asked for."""


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
    ) -> None:
        self._host = host
        self._scheme = "https" if tls_cert else "http"
        self._server = _Cheroot(
            (host, port), application, numthreads=THREADS, shutdown_timeout=STOP_SECONDS
        )
        self._server.server_name = "headgate"
        if tls_cert:
            self._server.ssl_adapter = BuiltinSSLAdapter(str(tls_cert), str(tls_key))

    @property
    def port(self) -> int:
        """The port in use; after `bind` never 0."""
        return int(self._server.bind_addr[1])

    @property
    def url(self) -> str:
        """Where the server is reached from this machine."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{self.port}"

    def bind(self) -> None:
        """Take the port and start the threads; raises OSError when it is not to be had."""
        try:
            self._server.prepare()
        except OSError as error:
            cause = error.__cause__ or error.__context__
            if error.errno is None and isinstance(cause, OSError):
                raise cause from error
            raise

    def serve(self) -> None:
        """Serve until `stop` is called from another thread or a signal handler's thread."""
        self._server.serve()

    def stop(self) -> None:
        """Take no more requests, let running ones end, then return."""
        self._server.stop()


class _Cheroot(WsgiServer):
    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:  # noqa: FBT001, FBT002 - cheroot's own signature
        """Send cheroot's own messages to our log."""
        _log.log(level, "%s", msg, exc_info=traceback)
