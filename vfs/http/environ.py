"""A WSGI environment for one request."""

import re
import sys
from typing import Any

from vfs.http.body import Body
from vfs.http.head import Head
from vfs.http.line import Line

_AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")

LINE_KEY = "headgate.line"
"""The connection, for who must know whether the client is still there."""

TARGET_KEY = "headgate.target"
"""The request target as it came, so that its escapes are judged once, by `target`."""


def environ_of(line: Line, head: Head, body: Body) -> dict[str, Any]:
    """Return the environment that PEP 3333 asks for, with the raw target beside it.

    PATH_INFO is for logs and for who knows no better. It leaves out scheme and host of an absolute
    target, for a password may stand there.
    """
    path, _, query = head.target.partition(b"?")
    path = _AUTHORITY.sub(b"", path, count=1) if path[:1] != b"/" else path
    environ: dict[str, Any] = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.decode("latin-1") or "/",
        "QUERY_STRING": query.decode("latin-1"),
        LINE_KEY: line,
        TARGET_KEY: head.target.decode("latin-1"),
        "SERVER_NAME": line.host.host,
        "SERVER_PORT": str(line.host.port),
        "SERVER_PROTOCOL": f"HTTP/{head.version}",
        "SERVER_SOFTWARE": "headgate",
        "REMOTE_ADDR": line.remote_addr,
        "REMOTE_PORT": str(line.remote_port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if line.secure else "http",
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in head.fields.items():
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        environ[key] = value.decode("latin-1")
    return environ
