"""Head: request line and header fields, parsed by llhttp and judged strictly.

What two servers could read in two ways is refused: bare line feeds, folded lines, Content-Length
beside Transfer-Encoding or twice, codings other than chunked, fields that may stand only once and
stand twice with different values.
"""

import re
from typing import NamedTuple

import httptools

from vfs.http.bad_request import BadRequest

HEAD_MAX_BYTES = 64 * 1024
KNOWN_BYTES = 1024
"""Up to this length a head is remembered by its connection."""
KNOWN_HEADS = 2
"""So many a connection remembers: a client that locks and unlocks sends two in turn."""
TARGET_MAX_BYTES = 16 * 1024

_LINE = re.compile(rb"[A-Z-]+ [!-~]+ HTTP/[0-9]\.[0-9]")
_PLAIN = re.compile(rb"[A-Z]+ (/[A-Za-z0-9/._~%-]*) ")
# The fields that differ from request to request, and of which nothing else in a head depends.
_OWN = re.compile(rb"\r\n(Destination|Lock-Token|Range): ([!-~]+)\r\n")
_RAW_BYTE = re.compile(rb"[\x80-\xff]")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%\-]*|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?")

# Fields that hold one value. Two that are equal count as one, as some clients send them.
_SINGLE = frozenset(
    {
        b"host",
        b"authorization",
        b"content-type",
        b"content-md5",
        b"content-range",
        b"date",
        b"depth",
        b"destination",
        b"expect",
        b"if-modified-since",
        b"if-range",
        b"if-unmodified-since",
        b"lock-token",
        b"oc-checksum",
        b"oc-total-length",
        b"overwrite",
        b"range",
        b"timeout",
        b"user-agent",
        b"x-access-token",
        b"x-oc-mtime",
        b"x-update-range",
    }
)


class Head:
    """One parsed request head. Everything is fixed once `parse` has returned it.

    `headers` are the `fields` as text, one character for each byte.
    """

    __slots__ = (
        "chunked",
        "expects_continue",
        "fields",
        "headers",
        "keep_alive",
        "length",
        "method",
        "target",
        "version",
    )

    def __init__(self) -> None:
        self.method = ""
        self.target = b""
        self.version = "1.1"
        self.fields: dict[bytes, bytes] = {}
        self.headers: dict[str, str] = {}
        self.keep_alive = False
        self.chunked = False
        self.length = 0
        self.expects_continue = False

    def at(self, target: bytes, name: bytes, value: bytes) -> "Head":
        """Return the same head with another target, and with another value of one field if any."""
        other = Head.__new__(Head)
        other.method = self.method
        other.target = target
        other.version = self.version
        if name:
            other.fields = {**self.fields, name: value}
            other.headers = {**self.headers, name.decode("ascii"): value.decode("ascii")}
        else:
            other.fields = self.fields
            other.headers = self.headers
        other.keep_alive = self.keep_alive
        other.chunked = self.chunked
        other.length = self.length
        other.expects_continue = self.expects_continue
        return other


class _Fields:
    """Receives llhttp's callbacks for one head."""

    __slots__ = ("count", "fields", "target")

    def __init__(self) -> None:
        self.target = b""
        self.fields: dict[bytes, bytes] = {}
        self.count = 0

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        # An underscore would become a hyphen's twin in a WSGI environment.
        if b"_" in name:
            return
        value = value.strip(b" \t")
        old = self.fields.get(name)
        if old is None:
            self.fields[name] = value
        elif name not in _SINGLE:
            self.fields[name] = old + b", " + value
        elif old != value:
            raise BadRequest(400, f"the header {name.decode('latin-1')!r} stands there twice")

    def on_headers_complete(self) -> None:
        self.count += 1


class _Known(NamedTuple):
    """A head that was parsed, and what stands around its target and the value of its own field."""

    before: bytes
    between: bytes
    rest: bytes
    name: bytes
    head: Head


class Heads:
    """Parses the heads of one connection, which mostly differ by little. One thread.

    A head whose target is plain means what one before it meant if all else is the same, byte by
    byte. One field may have another value as well: it decides nothing about the rest, stands there
    once, and its value is plain. Of a head nothing is kept longer than its connection has been
    open.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: list[_Known] = []

    def parse(self, data: bytes) -> Head:
        """Return the head in `data`, as the function `parse` does."""
        plain = _PLAIN.match(data) if len(data) <= KNOWN_BYTES else None
        if plain is None:
            return parse(data)
        start, end = plain.span(1)
        own = _OWN.search(data, end)
        if own is None:
            before, between, rest, name, value = data[:start], b"", data[end:], b"", b""
        else:
            first, last = own.span(2)
            before, between, rest = data[:start], data[end:first], data[last:]
            name, value = own[1].lower(), own[2]
        for known in self._known:
            if known.rest == rest and known.between == between and known.before == before:
                return known.head.at(plain[1], name, value)
        head = parse(data)
        # Written otherwise it might stand there twice, and then both have to be compared.
        if own is None or data.lower().count(name + b":") == 1:
            if len(self._known) >= KNOWN_HEADS:
                del self._known[0]
            self._known.append(_Known(before, between, rest, name, head))
        return head


def find_end(data: bytearray, searched: int) -> int:
    """Return where the head in `data` ends, 0 as long as nothing can be said.

    What lies beyond HEAD_MAX_BYTES says that it is too long. The first `searched` bytes held none.
    """
    end = data.find(b"\r\n\r\n", max(0, searched - 3))
    if end >= 0:
        return end + 4
    # llhttp would wait for more after a bare line feed at the end; refuse it at once.
    if data.find(b"\n\n", max(0, searched - 1)) >= 0:
        return len(data)
    return len(data) if len(data) > HEAD_MAX_BYTES else 0


def parse(data: bytes) -> Head:
    """Return the head in `data`, which ends with its empty line; raise BadRequest."""
    # An empty line may stand before a request (RFC 9112, 2.2).
    data = data.removeprefix(b"\r\n")
    line_end = data.find(b"\r\n")
    if line_end > TARGET_MAX_BYTES:
        raise BadRequest(414, f"a request line may have {TARGET_MAX_BYTES} bytes")
    line = data[:line_end]
    is_proper = _LINE.fullmatch(line) is not None
    if not is_proper and _RAW_BYTE.search(line):
        # Many people type names as they are; escape them as a careful client would have.
        line = _RAW_BYTE.sub(lambda byte: b"%%%02X" % byte[0][0], line)
        data = line + data[line_end:]
        is_proper = _LINE.fullmatch(line) is not None
    receiver = _Fields()
    parser = httptools.HttpRequestParser(receiver)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        # HTTP/1.1 goes on; an offer to change the protocol may be ignored.
        pass
    except httptools.HttpParserInvalidMethodError as error:
        raise BadRequest(501, "this method is not known here") from error
    except httptools.HttpParserCallbackError as error:
        cause = error.__context__
        raise cause if isinstance(cause, BadRequest) else error from None
    except httptools.HttpParserError as error:
        raise BadRequest(400, f"the request is no proper HTTP: {error}") from error
    # llhttp also takes further blanks, and protocols that only look like HTTP.
    if receiver.count != 1 or not is_proper:
        raise BadRequest(400, "the request line or the headers are no proper HTTP")
    head = Head()
    head.method = parser.get_method().decode("ascii")
    head.target = receiver.target
    head.fields = receiver.fields
    head.headers = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in head.fields.items()
    }
    head.version = parser.get_http_version()
    _judge(head)
    return head


def _judge(head: Head) -> None:
    fields = head.fields
    if head.version not in ("1.0", "1.1"):
        raise BadRequest(505, "this server speaks HTTP/1.1")
    if head.method == "CONNECT":
        raise BadRequest(405, "this server is no proxy")
    # llhttp forgets this once a request without a body is over.
    head.keep_alive = head.version == "1.1"
    connection = fields.get(b"connection")
    if connection is not None:
        wishes = {wish.strip() for wish in connection.lower().split(b",")}
        head.keep_alive = b"close" not in wishes and (head.keep_alive or b"keep-alive" in wishes)
    host = fields.get(b"host")
    if host is None and head.version == "1.1":
        raise BadRequest(400, "an HTTP/1.1 request needs a Host header")
    if host is not None and _HOST.fullmatch(host) is None:
        raise BadRequest(400, "the Host header is malformed")
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if head.version == "1.0":
            raise BadRequest(400, "HTTP/1.0 has no Transfer-Encoding")
        if coding.lower() != b"chunked":
            raise BadRequest(501, "the only transfer coding known here is chunked")
        head.chunked = True
    head.length = int(fields.get(b"content-length") or b"0")
    expect = fields.get(b"expect")
    if expect is not None and head.version == "1.1":
        if expect.lower() != b"100-continue":
            raise BadRequest(417, "the only expectation known here is 100-continue")
        head.expects_continue = head.chunked or head.length > 0
