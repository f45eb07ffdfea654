"""Whatever goes wrong beneath, a client gets a status, a sentence, and nothing from inside."""

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from providers import errors as stores
from providers.errors import StorageError
from vfs import errors
from vfs.http.bad_request import BadRequest
from vfs.http.environ import TARGET_KEY, environ_of
from vfs.http.gate import READY_TARGET, Gate
from vfs.http.head import parse
from vfs.http.line import PeerLost
from vfs.http.request import Request, Response
from vfs.http.target import parse_destination
from vfs.state.errors import LockConflict, StateError

INSIDE = "/srv/inside/secret.py"


class Got:
    """One answer of a gate."""

    def __init__(self, gate: Gate, target: str, **headers: str) -> None:
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": target,
            TARGET_KEY: target,
            "SERVER_NAME": "h",
            "SERVER_PORT": "80",
            "REMOTE_ADDR": "192.0.2.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            **{f"HTTP_{name}": value for name, value in headers.items()},
        }
        result = gate(environ, self._start)
        self.body = b"".join(result)

    def _start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status = int(status[:3])
        self.headers = dict(headers)


def raising(error: Exception) -> Gate:
    def handler(_request: Request) -> Response:
        raise error

    return Gate({"GET": handler})


STORAGE = [*errors.TABLE, type("Unnamed", (StorageError,), {})]


@pytest.mark.logs("secret")
@pytest.mark.parametrize("kind", STORAGE, ids=lambda kind: kind.__name__)
def test_every_failure_of_a_store_has_its_status(kind: type[StorageError]) -> None:
    error = kind("a/b", detail="it is so")
    error.provider, error.operation = "secret-provider", "secret-operation"
    got = Got(raising(error), "/a/b")
    assert got.status == errors.meaning(error).status
    assert b"it is so" in got.body
    assert b"secret" not in got.body
    assert ("Retry-After" in got.headers) is (got.status == 503)
    assert int(got.headers["Content-Length"]) == len(got.body)


def test_a_store_says_when_to_come_back() -> None:
    got = Got(raising(stores.Unavailable("a", detail="x", retry_after_seconds=7.9)), "/a")
    assert (got.status, got.headers["Retry-After"]) == (503, "7")


@pytest.mark.logs(".")
@pytest.mark.parametrize("kind", [*errors.STATE_TABLE, StateError], ids=lambda kind: kind.__name__)
def test_every_failure_of_the_state_has_its_status(kind: type[StateError]) -> None:
    error = LockConflict([]) if kind is LockConflict else kind("it is so")
    got = Got(raising(error), "/a")
    assert got.status == errors.state_meaning(error).status
    assert ("Retry-After" in got.headers) is (got.status == 503)
    assert got.body


@pytest.mark.logs("request [0-9a-f]{16} failed")
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(INSIDE),
        OSError(5, "Input/output error", INSIDE),
        ConnectionResetError(104, INSIDE),
        TimeoutError(INSIDE),
        UnicodeEncodeError("utf-8", INSIDE, 0, 1, "x"),
        MemoryError(),
        RecursionError(INSIDE),
        KeyError(INSIDE),
    ],
    ids=repr,
)
def test_what_nobody_foresaw_is_a_number(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A lost connection to a store is no lost client: only PeerLost is that."""
    got = Got(raising(error), "/a")
    assert got.status == 500
    assert INSIDE.encode() not in got.body
    assert b"Traceback" not in got.body
    assert type(error).__name__.encode() not in got.body
    number = got.body.rpartition(b" ")[2].strip(b".\n").decode()
    assert f"request {number} failed: GET /a" in caplog.text


def test_a_lost_client_is_no_failure() -> None:
    with pytest.raises(PeerLost):
        Got(raising(PeerLost("gone")), "/a")


@pytest.mark.parametrize("error", [stores.NotFound("a"), BadRequest(409, "no")])
def test_a_failure_of_the_first_block_still_has_its_status(error: Exception) -> None:
    closed = []

    class Blocks:
        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            raise error

        def close(self) -> None:
            closed.append(self)

    got = Got(Gate({"GET": lambda _request: Response(200, [], Blocks())}), "/a")
    assert got.status in (404, 409)
    assert len(closed) == 1


def test_headers_of_refusals() -> None:
    unknown = Got(Gate({"PUT": lambda _request: Response(200, [])}), "/a")
    assert (unknown.status, unknown.headers["Allow"]) == (405, "PUT")
    condition = Got(raising(BadRequest(403, "x", condition="a", hrefs=("/b",))), "/a")
    assert b"<D:a>" in condition.body
    timed = Got(raising(BadRequest(400, "x")), "/a", X_SERVER_TIMING="1")
    assert timed.headers["Server-Timing"].startswith("app;dur=")


def test_readiness() -> None:
    gate = Gate({})
    assert Got(gate, READY_TARGET).status == 200
    gate.stopping = True
    assert Got(gate, READY_TARGET).status == 503


# Secrets


class Line:
    """As much of a connection as an environment tells of."""

    secure = False
    remote_addr, remote_port = "192.0.2.1", 4711
    is_present = None

    class host:  # noqa: N801 - an attribute
        host, port, blocked = "h", 80, None


@pytest.mark.logs("failed")
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("http://user:hunter2@h/a/b?hunter2", "/a/b"),
        ("HTTPS://hunter2@h", "/"),
        ("http://user:hunter2@", "/"),
        ("/a", "/a"),
    ],
)
def test_no_password_reaches_the_log(
    caplog: pytest.LogCaptureFixture, target: str, path: str, *, fails: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    head = parse(
        f"GET {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Basic hunter2\r\n"
        "Destination: http://user:hunter2@foreign/x\r\n\r\n".encode()
    )
    environ = environ_of(Line(), head, io.BytesIO())  # type: ignore[arg-type] # as much as it reads
    assert environ["PATH_INFO"] == path
    bodies: list[bytes] = []

    def handler(request: Request) -> Response:
        if fails:
            raise RuntimeError("unforeseen")
        return Response(
            200, [], parse_destination(request.headers["destination"], ()).path.encode()
        )

    def start(status: str, headers: list[tuple[str, str]]) -> None:
        bodies.append(repr((status, headers)).encode())

    application: Callable[[dict[str, Any], Callable[..., None]], Iterable[bytes]] = Gate(
        {"GET": handler}
    )
    bodies += application(environ, start)
    assert caplog.text
    assert "hunter2" not in caplog.text
    assert not any(b"hunter2" in body for body in bodies)
