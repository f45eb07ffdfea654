"""A request whose end is open to argument is refused, and its connection with it.

Each shape is one that lets two programs on the way disagree where a request ends.
"""

import contextlib

from tests.e2e.faults.catalogue import Catalogue
from tests.e2e.wire import closed, credentials, dial, expect, members, receive
from tests.servers.target import Target

CHECKS = Catalogue()

_SECOND = "PUT {path}smuggled HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\nx"
_PUT = "PUT {path}f HTTP/1.1\r\nHost: {host}\r\n{auth}"
_CHUNKED = _PUT + "Transfer-Encoding: chunked\r\n"

_SHAPES = {
    "length-and-chunked": _PUT
    + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + _SECOND,
    "chunked-and-length": _CHUNKED + "Content-Length: 5\r\n\r\n0\r\n\r\n" + _SECOND,
    "two-lengths": _PUT + "Content-Length: 1\r\nContent-Length: 9\r\n\r\nx" + _SECOND,
    "length-list": _PUT + "Content-Length: 1, 9\r\n\r\nx" + _SECOND,
    "length-negative": _PUT + "Content-Length: -1\r\n\r\n" + _SECOND,
    "length-plus": _PUT + "Content-Length: +1\r\n\r\nx" + _SECOND,
    "length-underscore": _PUT + "Content-Length: 1_0\r\n\r\n0123456789" + _SECOND,
    "length-hex": _PUT + "Content-Length: 0x1\r\n\r\nx" + _SECOND,
    "length-empty": _PUT + "Content-Length:\r\n\r\n" + _SECOND,
    "length-space-before-colon": _PUT + "Content-Length : 1\r\n\r\nx" + _SECOND,
    "folded-line": _PUT + "X-Long: a\r\n b\r\nContent-Length: 1\r\n\r\nx" + _SECOND,
    "folded-encoding": _PUT + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + _SECOND,
    "bare-lf-in-head": "PUT {path}f HTTP/1.1\r\nHost: {host}\r\n{auth}X: y\nContent-Length: 1\r\n"
    "\r\nx" + _SECOND,
    "bare-lf-everywhere": "PUT {path}f HTTP/1.1\nHost: {host}\nContent-Length: 1\n\nx",
    "bare-cr-in-head": _PUT + "X: y\rContent-Length: 9\r\nContent-Length: 1\r\n\r\nx" + _SECOND,
    "nul-in-head": _PUT + "X: a\0b\r\nContent-Length: 1\r\n\r\nx" + _SECOND,
    "no-host": "PUT {path}f HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
    "two-hosts": _PUT + "Host: other\r\nContent-Length: 1\r\n\r\nx",
    "encoding-identity": _PUT + "Transfer-Encoding: identity\r\n\r\n" + _SECOND,
    "encoding-unknown": _PUT + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + _SECOND,
    "encoding-twice": _CHUNKED + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _SECOND,
    "encoding-not-last": _PUT + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + _SECOND,
    "encoding-http-1-0": "PUT {path}f HTTP/1.0\r\nHost: {host}\r\n{auth}"
    "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + _SECOND,
    "chunk-size-overflow": _CHUNKED + "\r\nffffffffffffffffff1\r\nx\r\n0\r\n\r\n",
    "chunk-size-negative": _CHUNKED + "\r\n-1\r\nx\r\n0\r\n\r\n",
    "chunk-size-plus": _CHUNKED + "\r\n+1\r\nx\r\n0\r\n\r\n",
    "chunk-size-prefix": _CHUNKED + "\r\n0x1\r\nx\r\n0\r\n\r\n",
    "chunk-size-underscore": _CHUNKED + "\r\n1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "chunk-size-empty": _CHUNKED + "\r\n\r\nx\r\n0\r\n\r\n",
    "chunk-longer-than-its-size": _CHUNKED + "\r\n1\r\nxyz\r\n0\r\n\r\n",
    "chunk-bare-lf": _CHUNKED + "\r\n1\nx\n0\n\n",
    "chunk-extension-endless": _CHUNKED + "\r\n1;" + "e" * 100_000 + "\r\nx\r\n0\r\n\r\n",
    "chunk-extension-bare-lf": _CHUNKED + "\r\n1;a\nb\r\nx\r\n0\r\n\r\n",
    "trailer-endless": _CHUNKED + "\r\n1\r\nx\r\n0\r\n" + "T: t\r\n" * 20_000 + "\r\n",
}
# Most get through there; a negative length only hangs, which takes too long to show.
_HOLDS_ON_PLAIN = {
    "bare-lf-everywhere",
    "bare-lf-in-head",
    "encoding-identity",
    "encoding-not-last",
    "encoding-unknown",
    "length-empty",
    "length-hex",
    "length-list",
    "length-negative",
}
_PLAIN = {shape: "it is answered" for shape in _SHAPES if shape not in _HOLDS_ON_PLAIN}


@CHECKS.check(*_SHAPES, plain=_PLAIN)
def open_framing_is_refused(target: Target, shape: str) -> None:
    """The answer is 4xx or 501, the connection ends, and nothing is made of the second request."""
    _refuses(target, _SHAPES[shape])


_TOO_BIG = {
    "one-header": _PUT + "X: " + "y" * 1_000_000 + "\r\n\r\n",
    "many-headers": _PUT + "X: y\r\n" * 100_000 + "\r\n",
    "endless-target": "GET {path}" + "y" * 1_000_000 + " HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "endless-method": "Y" * 1_000_000 + " {path} HTTP/1.1\r\nHost: {host}\r\n\r\n",
}

_PLAIN_TOO_BIG = {
    "one-header": "it is answered 201",
    "many-headers": "it is answered 201",
    "endless-target": "it is answered 404",
    "endless-method": "the connection lives on",
}


@CHECKS.check(*_TOO_BIG, plain=_PLAIN_TOO_BIG)
def oversized_head_is_refused(target: Target, shape: str) -> None:
    _refuses(target, _TOO_BIG[shape], statuses={400, 405, 413, 414, 431, 501})


def _refuses(target: Target, request: str, statuses: set[int] | None = None) -> None:
    host = f"{target.host}:{target.port}"
    auth = "".join(f"{key}: {value}\r\n" for key, value in credentials(target).items())
    spelled = request.format(path=target.path(), host=host, auth=auth).encode("latin-1")
    with dial(target, timeout=8) as connection:
        # Refused before the end is well: what counts is the answer.
        with contextlib.suppress(OSError):
            connection.sendall(spelled)
        answer = receive(connection, "PUT")
        if answer is not None:
            wanted = statuses or {400, 411, 413, 431, 501}
            expect(answer.status in wanted, f"it is answered {answer.status}")
            expect(b"Traceback" not in answer.body, "a traceback goes to the client")
            expect(closed(connection), "the connection lives on, or a second answer comes")
    names = members(target)
    expect("smuggled" not in names, "the second request was obeyed")
    expect(not names, f"the request made {names}")
