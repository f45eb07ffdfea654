"""Arrival: one request as it came in, before anybody knows who sent it."""

import re
from collections.abc import Mapping
from typing import Protocol

from vfs.http.body import Body
from vfs.http.head import Head
from vfs.http.line import Line
from vfs.http.visit import Visit

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


class Server(Protocol):
    """Where a request arrived."""

    @property
    def host(self) -> str:
        """The address or name."""

    @property
    def port(self) -> int:
        """The port in use."""


class Arrival:
    """What the head of a request says, and where it came from. Fixed but for `body` and `visit`.

    `headers` has lower-case names; `target` stands as it came, one character for each byte, so
    that its escapes are judged once. `visit` is what was learnt when the request was begun in the
    loop; it goes on with that. `line` is the connection, for who must know whether the client is
    still there.
    """

    __slots__ = (
        "address",
        "body",
        "headers",
        "line",
        "method",
        "port",
        "scheme",
        "server",
        "target",
        "version",
        "visit",
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body,
        *,
        address: str,
        port: int,
        scheme: str,
        server: Server,
        version: str = "1.1",
        line: Line | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.address = address
        self.port = port
        self.scheme = scheme
        self.server = server
        self.version = version
        self.line = line
        self.visit: Visit | None = None

    @property
    def host(self) -> str:
        """The host and port that the client names; our own if it names none."""
        return self.headers.get("host") or f"{self.server.host}:{self.server.port}"

    @property
    def query(self) -> str:
        """The query as it came, without its question mark."""
        return self.target.partition("?")[2]

    @property
    def path(self) -> str:
        """The path as it came, for logs.

        It leaves out scheme and host of an absolute target, for a password may stand there.
        """
        path = self.target.partition("?")[0]
        return (path if path[:1] == "/" else _AUTHORITY.sub("", path, count=1)) or "/"


def arrived(line: Line, head: Head, body: Body) -> Arrival:
    """Return what came on a connection."""
    return Arrival(
        head.method,
        head.target.decode("latin-1"),
        head.headers,
        body,
        address=line.remote_addr,
        port=line.remote_port,
        scheme="https" if line.secure else "http",
        server=line.host,
        version=head.version,
        line=line,
    )
