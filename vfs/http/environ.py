"""A WSGI environment for one request, and the way back."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple, cast

from vfs.http.arrival import Arrival
from vfs.http.body import BLOCK_BYTES, Body

LINE_KEY = "headgate.line"
"""The connection, for who must know whether the client is still there."""

TARGET_KEY = "headgate.target"
"""The request target as it came, so that its escapes are judged once, by `target`."""

_PLAIN = ("CONTENT_TYPE", "CONTENT_LENGTH")


class _Input:
    """The body that another server gives, as far as handlers ask for it."""

    received = 0

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.received += len(data)
        return data

    def splice(self, descriptor: int, path: str) -> None:
        """Leave all to `blocks`."""

    def blocks(self, size: int = BLOCK_BYTES) -> Iterator[memoryview]:
        while block := self.read(size):
            yield memoryview(block)


class _Server(NamedTuple):
    host: str
    port: int


def environ_of(arrival: Arrival) -> dict[str, Any]:
    """Return the environment that PEP 3333 asks for, with the raw target beside it.

    PATH_INFO is for logs and for who knows no better.
    """
    environ: dict[str, Any] = {
        "REQUEST_METHOD": arrival.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": arrival.path,
        "QUERY_STRING": arrival.query,
        LINE_KEY: arrival.line,
        TARGET_KEY: arrival.target,
        "SERVER_NAME": arrival.server.host,
        "SERVER_PORT": str(arrival.server.port),
        "SERVER_PROTOCOL": f"HTTP/{arrival.version}",
        "SERVER_SOFTWARE": "headgate",
        "REMOTE_ADDR": arrival.address,
        "REMOTE_PORT": str(arrival.port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": arrival.scheme,
        "wsgi.input": arrival.body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in arrival.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in _PLAIN else f"HTTP_{key}"] = value
    return environ


def arrival_of(environ: Mapping[str, Any]) -> Arrival:
    """Return the request that a WSGI environment describes."""
    headers = {
        key[5:].lower().replace("_", "-"): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    for key in _PLAIN:
        if environ.get(key):
            headers[key.lower().replace("_", "-")] = environ[key]
    body = environ["wsgi.input"]
    return Arrival(
        environ["REQUEST_METHOD"],
        environ[TARGET_KEY],
        headers,
        body if isinstance(body, Body) else cast("Body", _Input(body)),
        address=environ["REMOTE_ADDR"],
        port=int(environ.get("REMOTE_PORT", 0)),
        scheme=environ["wsgi.url_scheme"],
        server=_Server(environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
        line=environ.get(LINE_KEY),
    )
