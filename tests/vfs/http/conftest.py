"""Real servers over small applications, and connections over real socket pairs."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from tests import planted
from tests.servers.authority import Authority, make_authority
from vfs.http.connection import Connection
from vfs.http.head import Head
from vfs.http.native import Application
from vfs.http.server import Engine, Server, _Looped


class Reply(NamedTuple):
    """One response. `whole` tells whether its framing says so."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    whole: bool


class Wire:
    """A client's socket and what was read from it; one file for all replies, as pipelines need."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.stream = sock.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def reply(self, method: str = "GET") -> Reply:
        """Read one reply."""
        response = http.client.HTTPResponse(self.socket, method=method)
        response.fp.close()
        response.fp = self.stream
        response._close_conn = lambda: None  # type: ignore[attr-defined] # the stream goes on
        response.begin()
        try:
            body = response.read()
            planted.check(repr(response.headers.items()).encode() + body, f"the answer to {method}")
            return Reply(response.status, response.headers, body, whole=True)
        except http.client.IncompleteRead as cut:
            return Reply(response.status, response.headers, cut.partial, whole=False)

    def is_at_end(self) -> bool:
        """Tell whether the server has ended the stream."""
        return self.stream.read(1) == b""

    def close(self) -> None:
        """Close the socket."""
        self.stream.close()
        self.socket.close()


class Served:
    """A server in this process and its clients."""

    def __init__(
        self, application: Application, authority: Authority | None, engine: Engine = "loop"
    ) -> None:
        self.authority = authority
        self.server = Server(
            application,
            host="127.0.0.1",
            port=0,
            tls_cert=authority.certificate if authority else None,
            tls_key=authority.key if authority else None,
            engine=engine,
        )
        self.server.bind()
        self._port = self.server.port
        self._thread = threading.Thread(target=self.server.serve)
        self._thread.start()
        self._wires = contextlib.ExitStack()

    @property
    def looped(self) -> _Looped:
        """The server beneath, for tests of what its loop and pool hold."""
        beneath = self.server._cheroot
        assert isinstance(beneath, _Looped)
        return beneath

    def dial(self, *, source: str = "127.0.0.1", receive_bytes: int = 0) -> Wire:
        """Open a bare connection."""
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(10)
        try:
            sock.bind((source, 0))
            sock.connect(("127.0.0.1", self._port))
        except OSError:
            sock.close()
            raise
        wire = Wire(sock)
        self._wires.callback(wire.close)
        return wire

    def dial_tls(self) -> Wire:
        """Open a connection with TLS."""
        assert self.authority is not None
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        sock = socket.create_connection(("127.0.0.1", self.server.port), timeout=10)
        wire = Wire(context.wrap_socket(sock, server_hostname="127.0.0.1"))
        self._wires.callback(wire.close)
        return wire

    def ask(self, data: bytes, method: str = "GET") -> Reply:
        """Send one request on a connection of its own."""
        wire = self.dial()
        wire.send(data)
        reply = wire.reply(method)
        wire.close()
        return reply

    def stop(self) -> None:
        """Stop the server."""
        self.server.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def close(self) -> None:
        """Hang up and stop."""
        self._wires.close()
        self.stop()


Serve = Callable[..., Served]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody else knows."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve an application until the end of the test."""
    with contextlib.ExitStack() as stack:

        def start(
            application: Application,
            authority: Authority | None = None,
            engine: Engine = "loop",
        ) -> Served:
            served = Served(application, authority, engine)
            stack.callback(served.close)
            return served

        yield start


def _unused(_environ: dict[str, Any], _start: Callable[..., Any]) -> list[bytes]:
    raise NotImplementedError


class Loner:
    """The server of a connection that stands alone."""

    host = "127.0.0.1"
    port = 80
    stopping = False
    native = None

    def __init__(self) -> None:
        self.wsgi_app: Application = _unused

    @contextlib.contextmanager
    def blocked(self) -> Iterator[None]:
        """Let the thread wait."""
        yield

    def forget(self, address: str) -> None:
        """Keep no count."""


class Pair:
    """A connection on one end of a socket pair, and the client's end."""

    def __init__(self) -> None:
        self.host = Loner()
        self.client, ours = socket.socketpair()
        self.client.settimeout(5)
        ours.setblocking(False)
        self.line = Connection(self.host, ours, ("192.0.2.1", 4711))

    def close(self) -> None:
        """Close both ends."""
        self.client.close()
        self.line.close()


@pytest.fixture(scope="session")
def make_pair() -> Callable[[], Pair]:
    """Return what makes a connection over a real socket pair."""
    return Pair


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return a connection over a real socket pair."""
    with contextlib.closing(Pair()) as both:
        yield both


def head_of(*, length: int = 0, chunked: bool = False, expects: bool = False) -> Head:
    """Return a head that announces such a body."""
    head = Head()
    head.method, head.target = "PUT", b"/f"
    head.keep_alive = True
    head.length, head.chunked, head.expects_continue = length, chunked, expects
    return head


@pytest.fixture
def make_head() -> Callable[..., Head]:
    """Return what makes a head with a body."""
    return head_of
