"""HTTP by hand: requests as bytes and answers as they come, with no WebDAV library between."""

import base64
import contextlib
import http.client
import socket
import ssl
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from tests import planted
from tests.servers.target import Target

DAV = "{DAV:}"
TIMEOUT_SECONDS = 20


class Fault(AssertionError):
    """The server does what a check forbids. Anything else that goes wrong is another exception."""


def expect(condition: object, fault: str) -> None:
    """Raise Fault unless `condition` holds."""
    if not condition:
        raise Fault(fault)


class Answer(NamedTuple):
    """A response, whole."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def ok(self) -> bool:
        """Tell whether the request succeeded."""
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Tell whether the request was refused as the client's fault."""
        return 400 <= self.status < 500

    def header(self, name: str) -> str:
        """Return a header, "" when it is not there."""
        return str(self.headers.get(name, ""))


def credentials(target: Target) -> dict[str, str]:
    """Return the header that names the user, if there is one."""
    if target.token:
        return {"Authorization": f"Bearer {target.token}"}
    if not target.user:
        return {}
    token = base64.b64encode(f"{target.user}:{target.password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def trust(target: Target) -> ssl.SSLContext:
    """Return a TLS context that trusts the target's authority and nobody else."""
    return ssl.create_default_context(cafile=str(target.ca))


@contextlib.contextmanager
def keep(
    target: Target, *, source: str = "127.0.0.1", timeout: float = TIMEOUT_SECONDS
) -> Iterator[http.client.HTTPConnection]:
    """Open one connection for several requests."""
    address = (target.host, target.port)
    connection: http.client.HTTPConnection
    if target.secure:
        connection = http.client.HTTPSConnection(
            *address, timeout=timeout, context=trust(target), source_address=(source, 0)
        )
    else:
        connection = http.client.HTTPConnection(
            *address, timeout=timeout, source_address=(source, 0)
        )
    with contextlib.closing(connection):
        yield connection


def send(
    connection: http.client.HTTPConnection,
    target: Target,
    method: str,
    name: str = "",
    body: bytes | Iterable[bytes] | None = None,
    **headers: str,
) -> Answer:
    """Send one request on a connection. Underscores in header names stand for hyphens."""
    spelled = {key.replace("_", "-"): value for key, value in headers.items()}
    try:
        # By itself, for below a reset means an answer: a server that is killed while a connection
        # waits to be accepted resets it too.
        if connection.sock is None:
            connection.connect()
        # A server that refuses early closes while we still send: its answer is there to be read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            connection.request(
                method,
                target.path(name),
                body,
                {**credentials(target), **spelled},
                # http.client leaves the framing to who writes this header, unless told.
                encode_chunked="Transfer-Encoding" in spelled,
            )
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
    except (ConnectionError, http.client.IncompleteRead, TimeoutError) as error:
        raise Fault(f"{method} gets no whole answer: {error!r}") from error
    planted.check(repr(answer.headers.items()).encode() + answer.body, f"the answer to {method}")
    return answer


def ask(
    target: Target,
    method: str,
    name: str = "",
    body: bytes | Iterable[bytes] | None = None,
    **headers: str,
) -> Answer:
    """Send one request on a connection of its own."""
    with keep(target) as connection:
        return send(connection, target, method, name, body, **headers)


def done(answer: Answer, what: str) -> Answer:
    """Return the answer of a step that has to work for the check to mean anything."""
    if not answer.ok:
        raise RuntimeError(f"{what}: {answer.status} {answer.body[:300]!r}")
    return answer


def put(target: Target, name: str, body: bytes, **headers: str) -> Answer:
    """Put a file that has to arrive."""
    return done(ask(target, "PUT", name, body, **headers), f"PUT {name}")


def mkcol(target: Target, name: str) -> Target:
    """Make a folder that has to appear, and return it."""
    done(ask(target, "MKCOL", name), f"MKCOL {name}")
    return target.beneath(name)


def lock(
    target: Target, name: str, *, scope: str = "exclusive", depth: str = "0", **headers: str
) -> str:
    """Lock a name and return the token in angle brackets."""
    headers = {"Depth": depth, "Content_Type": "application/xml", **headers}
    answer = done(ask(target, "LOCK", name, lock_body(scope), **headers), f"LOCK {name}")
    return answer.header("Lock-Token")


def lock_body(scope: str = "exclusive", owner: str = "a check") -> bytes:
    """Return the body of a LOCK request."""
    return (
        '<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:">'
        f"<D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype>"
        f"<D:owner>{owner}</D:owner></D:lockinfo>"
    ).encode()


def url(target: Target, name: str) -> str:
    """Return the absolute URL of a name, for a Destination."""
    return target.url + name


def members(target: Target, name: str = "") -> set[str]:
    """Return the decoded names of a folder's members."""
    answer = done(ask(target, "PROPFIND", name, Depth="1"), f"PROPFIND {name}")
    here = unquote(target.path(name)).rstrip("/")
    found = set()
    for response in ET.fromstring(answer.body).iter(DAV + "response"):
        href = unquote(response.findtext(DAV + "href", ""))
        if href.startswith("http"):
            href = "/" + href.split("/", 3)[3]
        if href.rstrip("/") != here:
            found.add(href.rstrip("/").rpartition("/")[2])
    return found


def prop(target: Target, name: str, tag: str) -> ET.Element | None:
    """Return a property element, or None. `tag` is in ElementTree's {namespace}name form."""
    namespace, _, local = tag[1:].partition("}")
    body = (
        f'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop>'
        f'<x:{local} xmlns:x="{namespace}"/></D:prop></D:propfind>'
    ).encode()
    headers = {"Depth": "0", "Content_Type": "application/xml"}
    answer = done(ask(target, "PROPFIND", name, body, **headers), f"PROPFIND {name}")
    for propstat in ET.fromstring(answer.body).iter(DAV + "propstat"):
        if " 200" in propstat.findtext(DAV + "status", ""):
            return propstat.find(f"{DAV}prop/{tag}")
    return None


def set_property(target: Target, name: str, tag: str, value: str, **headers: str) -> Answer:
    """Set a property by PROPPATCH."""
    namespace, _, local = tag[1:].partition("}")
    body = (
        '<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>'
        f'<x:{local} xmlns:x="{namespace}">{value}</x:{local}>'
        "</D:prop></D:set></D:propertyupdate>"
    ).encode()
    return ask(target, "PROPPATCH", name, body, Content_Type="application/xml", **headers)


def dial(
    target: Target, *, source: str = "127.0.0.1", timeout: float = TIMEOUT_SECONDS
) -> socket.socket:
    """Open a bare connection, with TLS where the target has it."""
    connection = socket.create_connection(
        (target.host, target.port), timeout=timeout, source_address=(source, 0)
    )
    if target.secure:
        return trust(target).wrap_socket(connection, server_hostname=target.host)
    return connection


def head(target: Target, method: str, name: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a request's head as bytes, as it is written, right or wrong."""
    lines = {
        "Host": f"{target.host}:{target.port}",
        **credentials(target),
        **(headers or {}),
    }
    spelled = "".join(f"{key}: {value}\r\n" for key, value in lines.items())
    return f"{method} {target.path(name)} HTTP/1.1\r\n{spelled}\r\n".encode("latin-1")


def receive(connection: socket.socket, method: str = "GET") -> Answer | None:
    """Read one response, or None when the server closes without any."""
    response = http.client.HTTPResponse(connection, method=method)
    with contextlib.closing(response):
        try:
            response.begin()
        except TimeoutError as error:
            raise Fault(f"{method} gets no answer") from error
        except (http.client.BadStatusLine, ConnectionError, ssl.SSLError):
            return None
        try:
            body = response.read()
        except http.client.IncompleteRead as cut:
            body = cut.partial
        return Answer(response.status, response.headers, body)


def closed(connection: socket.socket, within_seconds: float = 5) -> bool:
    """Tell whether the server closes the connection and sends nothing more before it does."""
    connection.settimeout(within_seconds)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def steadily(holds: Callable[[], None], seconds: float = 0.6) -> None:
    """Call `holds` over and over: a server may notice a cut only after a moment."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        holds()
        time.sleep(0.1)
