"""Download: one JSON object from an issuer, bounded in size and in time.

The standard library's client does it, on a socket whose every wait ends at one deadline: neither a
server that stays silent nor one that dribbles holds the thread longer. A redirect is refused, so
that nothing but the configuration and the issuer's own document says where keys come from.
"""

import contextlib
import http.client
import io
import ipaddress
import re
import socket
import ssl
import time
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

CONNECT_SECONDS = 3.0
ANSWER_MAX_BYTES = 256 * 1024

_MAX_AGE = re.compile(r"max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_HEADERS = {"Accept": "application/json", "User-Agent": "headgate", "Connection": "close"}


class Unavailable(Exception):
    """An issuer does not give what it must; the text names the URL and the cause."""


class Download(msgspec.Struct, frozen=True):
    """What a URL gave, and for how long its server says that it holds."""

    content: dict[str, Any]
    max_age_seconds: int | None


def check_url(text: str, *, plain: bool) -> SplitResult:
    """Return the parts of an https URL, or with `plain` also of http on this machine.

    Raises ValueError with what is wrong.
    """
    parts = urlsplit(text)
    if not (text.isascii() and text.isprintable() and parts.hostname) or set(text) & set("@#\\ "):
        raise ValueError("needs a host, and neither a login nor '#'")
    if parts.port == 0:
        raise ValueError("has a port that nobody can use")
    if parts.scheme == "https" or (
        plain and parts.scheme == "http" and _is_loopback(parts.hostname)
    ):
        return parts
    raise ValueError("must start with https:// (http:// serves only on a loopback address)")


def download(url: str, tls: ssl.SSLContext, *, plain: bool, deadline: float) -> Download:
    """Return the JSON object at `url` before `deadline`, a time of the monotonic clock.

    Raises Unavailable for everything that is not a whole, small JSON object with status 200.
    """
    try:
        parts = check_url(url, plain=plain)
        patience = min(CONNECT_SECONDS, _left(deadline))
        with contextlib.closing(_connection(parts, tls, patience)) as connection:
            connection.connect()
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", target, headers=_HEADERS)
            with contextlib.closing(http.client.HTTPResponse(connection.sock)) as response:
                response.fp.close()
                response.fp = io.BufferedReader(_Timed(connection.sock, deadline))
                return _read(response)
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        cause = ascii(str(error) or type(error).__name__)[1:-1]
        raise Unavailable(f"{url}: {cause[:300]}") from error


def _connection(
    parts: SplitResult, tls: ssl.SSLContext, patience: float
) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=patience, context=tls)
    return http.client.HTTPConnection(host, parts.port, timeout=patience)


def _read(response: http.client.HTTPResponse) -> Download:
    response.begin()
    if response.status != http.HTTPStatus.OK:
        hint = ""
        if response.getheader("Location"):
            hint = "; redirects are not followed, so the configuration must hold the last URL"
        raise ValueError(f"answered with status {response.status}{hint}")
    body = response.read(ANSWER_MAX_BYTES + 1)
    if len(body) > ANSWER_MAX_BYTES:
        raise ValueError(f"answered with more than {ANSWER_MAX_BYTES} bytes")
    try:
        content = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(f"answered with no JSON object: {error}") from error
    control = response.getheader("Cache-Control", "")
    if "no-store" in control.lower() or "no-cache" in control.lower():
        return Download(content, 0)
    found = _MAX_AGE.search(control)
    return Download(content, int(found[1]) if found else None)


class _Timed(io.RawIOBase):
    """Reads from a socket until a deadline. Used by one thread."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - typed so by io.RawIOBase
        self._connection.settimeout(_left(self._deadline))
        return self._connection.recv_into(buffer)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("did not answer in time")
    return left


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
