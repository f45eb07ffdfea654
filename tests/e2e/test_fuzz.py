"""Hostile requests get a well-formed refusal, touch nothing outside a mount, and are survived.

HEADGATE_FUZZ_SECONDS sets how long the search goes on; each run of it begins where chance says.
"""

import contextlib
import http.client
import os
import random
import re
import socket
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.e2e import grammar
from tests.e2e.grammar import Framed
from tests.servers import headgate
from tests.servers.daemon import Daemon

SECONDS = float(os.environ.get("HEADGATE_FUZZ_SECONDS", "10"))
IS_LONG = SECONDS > 30
ROUND = 1000 if IS_LONG else 150
SENTINEL = b"the sentinel that nobody may read"
_GROUND: list[tuple[str, str, dict[str, str], bytes, str]] = [
    (method, f"/{mount}/{name}", {}, body, "length")
    for mount in (headgate.LOCAL, headgate.MEMORY)
    for method, name, body in (("MKCOL", "d", b""), ("PUT", "a", b"0123456789" * 3))
]
_OWN = {"files", "state", "cache", "log", "pid", "headgate.toml", "outside"}

pytestmark = [pytest.mark.timeout(SECONDS + 120)]
if IS_LONG:
    pytestmark += [pytest.mark.slow, pytest.mark.stateful]


class Prey:
    """A gateway under attack and what was seen of it. Used from one thread."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.own = f"127.0.0.1:{daemon.target.port}"
        self.statuses: Counter[int] = Counter()
        self.locks: list[tuple[str, str]] = []
        self._line: socket.socket | None = None

    def dial(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.daemon.target.port), timeout=15)

    def ask(self, request: Framed) -> None:
        """Send a request and judge the answer."""
        if not request.lawful:
            self.shout(request.data, request)
            return
        if self._line is None:
            self._line = self.dial()
        line = self._line
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(request.data)
        goes_on = self._judge(line, request)
        if not goes_on:
            line.close()
            self._line = None

    def shout(self, data: bytes, request: Framed | None = None) -> None:
        """Send bytes that may be no request, then hang up one way; judge what comes back."""
        with contextlib.closing(self.dial()) as line:
            with contextlib.suppress(OSError):
                line.sendall(data)
                line.shutdown(socket.SHUT_WR)
            first = line.recv(1, socket.MSG_PEEK)
            if not first:
                assert request is None, "there is no answer"
                return
            method = request.method if request else data[:4].decode("latin-1").strip()
            self._judge(line, request or Framed(method, data, lawful=False, foreign=True))

    def _judge(self, line: socket.socket, request: Framed) -> bool:
        response = http.client.HTTPResponse(line, method=request.method)
        with contextlib.closing(response):
            response.begin()
            body = response.read()
        status = response.status
        if token := response.getheader("Lock-Token", ""):
            self.locks.append((request.data.split(b" ", 2)[1].decode("latin-1"), token))
        self.statuses[status] += 1
        head = "".join(f"{name}: {value}\n" for name, value in response.getheaders())
        assert response.version == 11
        assert status < 500 or status in self._allowed(request), f"{status}: {body[:300]!r}"
        assert response.getheader("X-Injected") is None
        assert not re.search(r"[\r\n\x00]", "".join(response.headers.values()))
        for text in (head.encode("latin-1"), body):
            assert b"Traceback" not in text
            assert SENTINEL not in text
            assert str(self.daemon.directory).encode() not in text
            assert grammar.PASSWORD.encode() not in text
        if status >= 400 and request.method != "HEAD":
            assert body, f"{status} says nothing"
        if "xml" in response.headers.get("Content-Type", "") and status in {207, 423}:
            ET.fromstring(body)
        return not response.will_close

    @staticmethod
    def _allowed(request: Framed) -> set[int]:
        # 501: a method or a coding; 505: a version; 507: a bound on locks or properties.
        return {501, 505, 507} | ({502} if request.foreign else set())

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()


@pytest.fixture
def prey(tmp_path: Path) -> Iterator[Prey]:
    """A gateway of its own that logs all it can, with files beside its mount."""
    (tmp_path / "outside").mkdir()
    for name in ("outside/sentinel", "outside/a"):
        (tmp_path / name).write_bytes(SENTINEL)
    daemon = headgate.launch(tmp_path, environment={"PYTHONWARNINGS": "always"})
    daemon.stop()
    with (tmp_path / "headgate.toml").open("a") as config:
        config.write('[log]\nlevel = "debug"\n')
    (tmp_path / "files" / "link").symlink_to(tmp_path / "outside")
    with daemon.start():
        prey = Prey(daemon)
        yield prey
        prey.close()


def _outside(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "outside").iterdir()}


def _check_surroundings(prey: Prey, before: dict[str, bytes]) -> None:
    directory = prey.daemon.directory
    assert {path.name for path in directory.iterdir()} <= _OWN
    assert _outside(directory) == before
    log = prey.daemon.log.read_text(errors="replace")
    wrong = [line for line in log.splitlines() if " ERROR " in line or "Warning" in line]
    assert not wrong[:5]
    assert "Traceback" not in log
    assert grammar.PASSWORD not in log


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_hostile_requests(prey: Prey) -> None:
    before = _outside(prey.daemon.directory)
    begin = random.SystemRandom().randrange(1 << 32) if IS_LONG else 0

    def attack(number: int) -> None:
        @seed(number)
        @settings(
            max_examples=ROUND,
            deadline=None,
            database=None,
            derandomize=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(
            st.lists(grammar.requests(), min_size=4, max_size=12),
            st.lists(grammar.NOISE, max_size=1),
        )
        def strike(
            requests: list[tuple[str, str, dict[str, str], bytes, str]], noise: list[bytes]
        ) -> None:
            for request in (*_GROUND, *requests):
                token = prey.locks[-1][1] if prey.locks else ""
                prey.ask(grammar.framed(request, prey.own, token))
            for data in noise:
                prey.shout(data)
            while prey.locks:
                target, token = prey.locks.pop()
                lines = {"Lock-Token": token}
                prey.ask(grammar.framed(("UNLOCK", target, lines, b"", "length"), prey.own))

        strike()

    end = time.monotonic() + SECONDS
    for number in range(begin, begin + 1_000_000):
        attack(number)
        _check_surroundings(prey, before)
        if time.monotonic() > end:
            break
    print(f"\n{sum(prey.statuses.values())} answers: {sorted(prey.statuses.items())}")
    # The search must have reached what it searches.
    assert {200, 201, 204, 207, 400, 403, 404, 405, 409, 412, 415} <= set(prey.statuses)
    assert not IS_LONG or {206, 304, 416, 422, 423, 502} <= set(prey.statuses)
