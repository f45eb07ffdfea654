"""What one caller may ask for, and what is written down of it."""

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import accounts
from tests.e2e.wire import Answer, ask, dial, head
from tests.servers.daemon import Daemon
from tests.servers.target import Target

HUGE = 64 * 1024 * 1024


def alice_and_bob(daemon: Daemon) -> list[Target]:
    return [
        accounts.as_user(daemon.target, name, accounts.add_user(daemon, name))
        for name in ("alice", "bob")
    ]


def stalled(target: Target, name: str) -> socket.socket:
    """Begin a download and leave it."""
    connection = dial(target)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(head(target, "GET", name))
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def huge_file(daemon: Daemon) -> None:
    with (daemon.directory / "files" / "huge").open("wb") as file:
        os.truncate(file.fileno(), HUGE)


def test_too_many_requests_are_told_when_to_come_again(tmp_path: Path) -> None:
    """Twenty seconds' worth may come at once; another user's share is untouched."""
    with accounts.launch(tmp_path, "\n[limits]\nrequests_per_second = 0.5\n") as daemon:
        alice, bob = alice_and_bob(daemon)
        statuses = [ask(alice, "GET").status for _ in range(12)]
        assert statuses[:10] == [200] * 10
        assert statuses[-1] == 429
        refused = ask(alice, "GET")
        wait = int(refused.header("Retry-After"))
        assert 1 <= wait <= 2
        assert ask(bob, "GET").status == 200
        time.sleep(wait)
        assert ask(alice, "GET").status == 200


def test_too_many_at_once_are_refused_until_one_ends(tmp_path: Path) -> None:
    """A download that its client leaves, or vanishes from, is one until it ends."""
    with accounts.launch(tmp_path, "\n[limits]\nrequests_at_once = 1\n") as daemon:
        huge_file(daemon)
        alice, bob = alice_and_bob(daemon)
        with stalled(alice, "local/huge"):
            refused = ask(alice, "GET")
            assert refused.status == 503
            assert int(refused.header("Retry-After")) >= 1
            assert ask(bob, "GET").status == 200
        begin = time.monotonic()
        while ask(alice, "GET").status != 200:
            assert time.monotonic() - begin < 5
            time.sleep(0.02)
        print(f"\nfree {time.monotonic() - begin:.2f} s after the client vanished")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Daemon]:
    with accounts.launch(tmp_path) as daemon:
        yield daemon


def lines(daemon: Daemon) -> list[dict[str, Any]]:
    text = (daemon.directory / "state" / "audit.jsonl").read_text()
    return [line for line in map(json.loads, text.splitlines()) if line["kind"] == "request"]


def test_every_request_has_its_line(gateway: Daemon) -> None:
    """With its outcome and the bytes that the client counted."""
    alice, _ = alice_and_bob(gateway)
    stranger = accounts.as_user(gateway.target, "alice", "a wrong password")
    content = b"x" * 300_000
    expected: list[tuple[object, ...]] = []

    def step(target: Target, method: str, name: str, body: bytes = b"", **headers: str) -> Answer:
        answer = ask(target, method, name, body or None, **headers)
        outcome = "ok" if answer.ok else "failed" if answer.status >= 500 else "refused"
        credential = {alice: "password", stranger: "refused"}.get(target, "")
        user = target.user or None
        # Whoever is refused at the head is refused unread.
        received = len(body) if answer.ok else 0
        row = (user, credential, method, answer.status, outcome, received, len(answer.body))
        expected.append(row)
        return answer

    step(alice, "PUT", "local/f", content)
    step(alice, "GET", "local/f")
    step(alice, "GET", "local/f", Range="bytes=10-19")
    step(alice, "HEAD", "local/f")
    step(alice, "GET", "local/")
    step(alice, "PROPFIND", "local/", Depth="1")
    step(alice, "COPY", "local/f", Destination="/memory/g")
    step(alice, "DELETE", "local/f")
    step(alice, "GET", "local/f")
    step(gateway.target, "POST", "local/f")
    step(gateway.target, "GET", "memory/g")
    step(stranger, "PUT", "memory/h", b"refused")
    fields = ("user", "credential", "method", "status", "outcome", "received", "sent")
    end = time.monotonic() + 5
    while len(found := lines(gateway)) < len(expected):
        assert time.monotonic() < end
        time.sleep(0.02)
    rows = [tuple(line[name] for name in fields) for line in found]
    assert sorted(rows, key=repr) == sorted(expected, key=repr)
    assert [line["destination"] for line in found if "destination" in line] == ["/memory/g"]


@pytest.mark.slow
def test_a_cut_download_is_cut(gateway: Daemon) -> None:
    huge_file(gateway)
    alice, _ = alice_and_bob(gateway)
    with stalled(alice, "local/huge") as connection:
        for _ in range(1000):
            assert connection.recv(1000)
    end = time.monotonic() + 5
    while not (found := lines(gateway)):
        assert time.monotonic() < end
        time.sleep(0.02)
    (line,) = found
    assert (line["user"], line["status"], line["outcome"]) == ("alice", 200, "cut")
    assert 0 < line["sent"] < HUGE
