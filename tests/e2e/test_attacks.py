"""Who holds a narrowed credential gets no more by it, and what is secret reaches no file."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import planted
from tests.e2e.wire import Answer, Fault, ask, credentials, done, keep, lock, send
from tests.servers import headgate
from tests.servers.daemon import Daemon
from tests.servers.target import Target
from vfs.auth.passwords import hash_password

PASSWORD = planted.plant()
TABLES = """
[users.alice]
password_hash = "{hash}"

[[rules]]
path = "/memory"
who = ["user:alice"]
rights = ["list", "read", "create", "modify", "delete", "lock", "share"]
"""
UPLOADS = "remote.php/dav/uploads/alice/"


@pytest.fixture(params=("loop", "cheroot"))
def gateway(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """Start a gateway with one user, who has a folder `lent` and all rights on it."""
    tables = TABLES.format(hash=hash_password(PASSWORD))
    with headgate.launch(tmp_path, more=tables, engine=request.param) as daemon:
        done(ask(alice(daemon), "MKCOL", "memory/lent"), "MKCOL")
        yield daemon


def alice(gateway: Daemon) -> Target:
    return Target(url=gateway.target.url, user="alice", password=PASSWORD)


def bearer(gateway: Daemon, *rights: str) -> Target:
    """Return the gateway as somebody sees it to whom Alice lent her folder."""
    wish = json.dumps({"path": "/memory/lent", "rights": rights}).encode()
    kind = {"Content_Type": "application/json"}
    made = done(ask(alice(gateway), "POST", ".headgate-shares", wish, **kind), "POST")
    token = planted.add(json.loads(made.body)["token"])
    return Target(url=gateway.target.url, user="share", password=token)


def statuses(*answers: Answer) -> list[int]:
    return [answer.status for answer in answers]


def test_uploads_of_the_maker_are_hidden_from_a_share(gateway: Daemon) -> None:
    """The bearer neither sees nor takes, changes or ends what the maker is sending elsewhere."""
    done(ask(alice(gateway), "MKCOL", UPLOADS + "one"), "MKCOL")
    done(ask(alice(gateway), "PUT", UPLOADS + "one/1", b"not lent"), "PUT")
    thief = bearer(gateway, "read", "create", "modify")
    assert b"one" not in ask(thief, "PROPFIND", UPLOADS, Depth="1").body
    assert statuses(
        ask(thief, "PROPFIND", UPLOADS + "one", Depth="1"),
        ask(thief, "PUT", UPLOADS + "one/1", b"mine now"),
        ask(thief, "MOVE", UPLOADS + "one/.file", Destination="/memory/lent/loot"),
        ask(thief, "DELETE", UPLOADS + "one"),
    ) == [404, 404, 404, 404]
    done(ask(alice(gateway), "MOVE", UPLOADS + "one/.file", Destination="/memory/f"), "MOVE")
    assert ask(alice(gateway), "GET", "memory/f").body == b"not lent"


def test_a_share_can_upload_in_parts(gateway: Daemon) -> None:
    guest = bearer(gateway, "read", "create")
    done(ask(guest, "MKCOL", UPLOADS + "two"), "MKCOL")
    done(ask(guest, "PUT", UPLOADS + "two/1", b"parts"), "PUT")
    done(ask(guest, "MOVE", UPLOADS + "two/.file", Destination="/memory/lent/f"), "MOVE")
    assert ask(alice(gateway), "GET", "memory/lent/f").body == b"parts"


def test_locks_of_the_maker_hold_against_a_share(gateway: Daemon) -> None:
    """Its token is there for all to read who may list; it is of use to its holder alone."""
    token = lock(alice(gateway), "memory", depth="infinity")
    thief = bearer(gateway, "read", "create", "modify")
    assert token[1:-1].encode() in ask(thief, "PROPFIND", "memory/lent", Depth="0").body
    assert statuses(
        ask(thief, "PUT", "memory/lent/f", b"1", If=f"({token})"),
        ask(thief, "LOCK", "memory/lent", If=f"({token})"),
        ask(thief, "UNLOCK", "memory/lent", Lock_Token=token),
    ) == [423, 403, 403]
    assert ask(alice(gateway), "PUT", "memory/lent/f", b"1", If=f"({token})").status == 201
    assert ask(alice(gateway), "UNLOCK", "memory/lent", Lock_Token=token).status == 204
    own = lock(thief, "memory/lent/f")
    assert ask(thief, "PUT", "memory/lent/f", b"2", If=f"({own})").status == 204


def test_no_token_gets_into_the_audit_log_by_a_wrong_field(gateway: Daemon) -> None:
    """Neither by the user name of a program with one field, nor in the URL of a Destination."""
    guest = bearer(gateway, "read", "create")
    token, host = guest.password, f"{guest.host}:{guest.port}"
    done(ask(guest, "PUT", "memory/lent/f", b"1"), "PUT")
    for user in (token, f"{token}x", f"https://{token}", planted.add("hga_" + "b3" * 16)):
        as_user = Target(url=guest.url, user=user, password="x-oauth-basic")
        assert ask(as_user, "GET", "memory/lent/f").status in {401, 429}
    for destination, status in (
        (f"http://share:{token}@{host}/memory/lent/g", 201),
        (f"/memory/lent/h?authz={token}", 400),
        (f"http://share:{token}@elsewhere.example/h", 502),
        (f"share:{token}@{host}", 400),
    ):
        answer = ask(guest, "COPY", "memory/lent/f", Destination=destination)
        assert (answer.status, destination) == (status, destination)
    audit = gateway.directory / "state" / "audit.jsonl"
    planted.check_file(audit)
    kept = [json.loads(line) for line in audit.read_text().splitlines()]
    assert f"http://{host}/memory/lent/g" in [line.get("destination") for line in kept]


def test_who_is_logged_in_is_served_during_a_flood_of_wrong_passwords(gateway: Daemon) -> None:
    """From many addresses, so that no address has to wait; also who has to log in anew."""
    user = alice(gateway)
    done(ask(user, "GET", "memory/"), "GET")
    over = threading.Event()

    def guess(number: int) -> None:
        name = f"guest{number}"
        with keep(user, source=f"127.0.1.{number}") as connection:
            while not over.is_set():
                stranger = Target(url=user.url, user=name, password="wrong")
                with contextlib.suppress(Fault):
                    send(connection, stranger, "GET", "memory/")

    with ThreadPoolExecutor(100) as threads:
        for number in range(1, 101):
            threads.submit(guess, number)
        time.sleep(0.5)
        longest = {"Basic ": 0.0, "basic ": 0.0}
        # The spelling is new each time, so that the gateway has not seen this header before.
        for extra in range(1, 6):
            shown = credentials(user)["Authorization"].removeprefix("Basic ")
            for scheme, before in longest.items():
                new = "" if scheme == "Basic " else " " * extra
                began = time.monotonic()
                answer = ask(user, "GET", "memory/", Authorization=f"{scheme}{new}{shown}")
                longest[scheme] = max(before, time.monotonic() - began)
                assert answer.status == 200
        over.set()
    assert longest["Basic "] < 1
    assert longest["basic "] < 2
