"""Asks the gate directly, without a socket: one function, one answer."""

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests import planted
from vfs.http.gate import Gate


class Answer(NamedTuple):
    """What came back. `headers` has lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    gate: Gate,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request and return the whole answer."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": target.partition("?")[0],
        "headgate.target": target,
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "gw.test",
        "SERVER_PORT": "80",
        "HTTP_HOST": "gw.test",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body or b""),
    }
    if body is not None:
        environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    got: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, fields: list[tuple[str, str]]) -> None:
        got.append((status, fields))

    result = gate(environ, start)
    try:
        data = b"".join(result)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    status, fields = got[0]
    planted.check(repr((status, fields)).encode() + data, f"the answer to {method}")
    return Answer(int(status[:3]), {name.lower(): value for name, value in fields}, data)
