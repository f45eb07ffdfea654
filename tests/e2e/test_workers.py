"""Several workers are one gateway: what one was told holds in the other, and one may die."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests import planted
from tests.e2e import accounts, pack
from tests.e2e.wire import (
    ask,
    credentials,
    keep,
    lock_body,
    put,
    send,
)
from tests.servers import headgate
from tests.servers.daemon import REPOSITORY, Daemon

COUNT = 2
REVOKED_SECONDS = 5
XML = "application/xml"
PROPPATCH = (
    b'<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>'
    b'<x:colour xmlns:x="urn:test">red</x:colour></D:prop></D:set></D:propertyupdate>'
)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with headgate.launch(tmp_path, workers=COUNT) as daemon:
        until("all are there", lambda: "Serving on" in daemon.log.read_text())
        yield daemon


def until(what: str, is_so: Callable[[], bool], seconds: float = 10) -> float:
    """Wait until something is so; return how long it took."""
    begin = time.monotonic()
    while not is_so():
        assert time.monotonic() - begin < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - begin


def test_a_lock_taken_through_one_holds_in_the_other(daemon: Daemon) -> None:
    target = daemon.target.beneath(headgate.LOCAL)
    with pack.each(daemon) as ((one, _), (two, _)):
        assert send(one, target, "PUT", "f", b"old").status == 201
        took = send(one, target, "LOCK", "f", lock_body(), Depth="0", Content_Type=XML)
        token = took.header("Lock-Token")
        assert took.status == 200
        assert send(two, target, "PUT", "f", b"new").status == 423
        assert send(two, target, "DELETE", "f").status == 423
        assert send(two, target, "PUT", "f", b"new", If=f"({token})").status == 204
        assert send(two, target, "UNLOCK", "f", Lock_Token=token).status == 204
        assert send(one, target, "PUT", "f", b"newer").status == 204


def test_of_many_that_want_one_lock_one_gets_it(daemon: Daemon) -> None:
    target = daemon.target.beneath(headgate.LOCAL)
    put(target, "f", b"x")
    for _ in range(10):
        taken: list[str] = []

        def take(taken: list[str] = taken) -> None:
            answer = ask(target, "LOCK", "f", lock_body(), Depth="0", Content_Type=XML)
            assert answer.status in (200, 423)
            if answer.ok:
                taken.append(answer.header("Lock-Token"))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (token,) = taken
        assert ask(target, "UNLOCK", "f", Lock_Token=token).status == 204


def test_a_property_follows_its_file_through_both(daemon: Daemon) -> None:
    target = daemon.target.beneath(headgate.LOCAL)
    with pack.each(daemon) as ((one, _), (two, _)):
        assert send(one, target, "PUT", "f", b"x").status == 201
        assert send(one, target, "PROPPATCH", "f", PROPPATCH, Content_Type=XML).status == 207
        assert b"red" in send(two, target, "PROPFIND", "f", Depth="0").body
        assert send(two, target, "MOVE", "f", Destination=target.url + "g").status == 201
        assert send(one, target, "GET", "f").status == 404
        assert b"red" in send(one, target, "PROPFIND", "g", Depth="0").body


def test_an_upload_in_parts_may_go_through_both(daemon: Daemon) -> None:
    target, upload = daemon.target, "remote.php/dav/uploads/ann/film"
    final = f"{target.url}remote.php/dav/files/ann/{headgate.LOCAL}/film"
    with pack.each(daemon) as ((one, _), (two, _)):
        assert send(one, target, "MKCOL", upload, Destination=final).status == 201
        for number, connection in enumerate((two, one, two), start=1):
            part = bytes([number]) * 100_000
            name = f"{upload}/{number:05d}"
            assert send(connection, target, "PUT", name, part, Destination=final).status == 201
        done = send(one, target, "MOVE", f"{upload}/.file", Destination=final)
        assert done.status in (201, 204), done.body
        body = send(two, target, "GET", f"{headgate.LOCAL}/film").body
    assert body == b"".join(bytes([number]) * 100_000 for number in (1, 2, 3))


def test_a_reload_is_taken_by_both_or_by_none(daemon: Daemon, tmp_path: Path) -> None:
    config = tmp_path / "headgate.toml"
    text = config.read_text()
    (tmp_path / "more").mkdir()
    mount = f'\n[mounts."/more"]\nprovider = "local"\nroot = "{tmp_path / "more"}"\n'
    before = pack.workers(daemon)
    with pack.each(daemon) as both:
        config.write_text(text + mount)
        told = accounts.plain("reload", "--config", config)
        assert told == f"process {daemon.pid}: the new configuration is in force: 2 mounts"
        for connection, _ in both:
            assert send(connection, daemon.target, "PROPFIND", "more/", Depth="0").status == 207
        config.write_text(text + mount.replace("local", "memory").replace("root", "#"))
        daemon.signal(signal.SIGHUP)
        until("refused", lambda: "needs a gateway of one process" in daemon.log.read_text())
        for connection, _ in both:
            assert send(connection, daemon.target, "PROPFIND", "more/", Depth="0").status == 207
    assert pack.workers(daemon) == before


def test_who_takes_a_dead_ones_place_has_what_is_in_force(daemon: Daemon, tmp_path: Path) -> None:
    """Not what the file says by now."""
    config = tmp_path / "headgate.toml"
    text = config.read_text()
    (tmp_path / "more").mkdir()
    config.write_text(f'{text}\n[mounts."/more"]\nprovider = "local"\nroot = "{tmp_path}/more"\n')
    accounts.plain("reload", "--config", config)
    config.write_text("nonsense")
    gone = pack.workers(daemon)[0]
    signal_to(gone, signal.SIGKILL)
    pack.until_replaced(daemon, gone, COUNT)
    with pack.each(daemon) as both:
        for connection, _ in both:
            assert send(connection, daemon.target, "PROPFIND", "more/", Depth="0").status == 207


def test_revocation_holds_in_both_within_five_seconds(tmp_path: Path) -> None:
    """An app password, and a token that the gateway made."""
    with accounts.launch(tmp_path / "own", workers=COUNT) as daemon:
        target = daemon.target
        accounts.add_user(daemon, "ann")
        phone = accounts.add_app_password(daemon, "ann", "phone")
        token = planted.add(accounts.command(daemon, "token", "issue", "--user", "ann"))
        shown = [
            (
                credentials(accounts.as_user(target, "ann", phone))["Authorization"],
                ("app-password", "revoke", "ann", "phone"),
                "",
            ),
            (f"Bearer {token}", ("token", "revoke"), token),
        ]
        with pack.each(daemon) as both:
            for header, revoke, given in shown:

                def status(number: int, header: str = header) -> int:
                    return send(both[number][0], target, "GET", Authorization=header).status

                assert [status(number) for number in (0, 1, 0, 1)] == [200] * 4
                accounts.command(daemon, *revoke, given=given)
                begin = time.monotonic()
                for number in (0, 1):
                    is_refused = partial(lambda n, ask: ask(n) == 401, number, status)
                    until("refused", is_refused, REVOKED_SECONDS)
                print(f"\n{revoke[0]} revoked in both after {time.monotonic() - begin:.2f} s")


def test_wrong_passwords_count_in_both(tmp_path: Path) -> None:
    """Of guesses by both workers as few are verified as by one."""
    with accounts.launch(tmp_path / "own", workers=COUNT) as daemon:
        accounts.add_user(daemon, "ann")
        statuses: list[int] = []
        with pack.each(daemon) as both:
            begin = time.monotonic()
            for guess in range(500):
                for connection, _ in both:
                    wrong = accounts.as_user(daemon.target, "ann", f"wrong {guess}")
                    statuses.append(send(connection, wrong, "GET").status)
            seconds = time.monotonic() - begin
    verified = statuses.count(401)
    print(f"\n{verified} of {len(statuses)} were verified in {seconds:.1f} s")
    assert statuses.count(429) == len(statuses) - verified
    assert verified <= allowed(seconds)


@pytest.mark.slow
def test_ten_thousand_wrong_passwords_at_once_count_in_both(tmp_path: Path) -> None:
    with accounts.launch(tmp_path / "own", workers=COUNT) as daemon:
        accounts.add_user(daemon, "ann")
        begin = time.monotonic()
        host, port = daemon.target.host, str(daemon.target.port)
        argv = (sys.executable, "-m", "tests.e2e.guessing", host, port, "ann")
        done = subprocess.run(
            [*argv, "10000", "16", "127.0.0.1"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        seconds = time.monotonic() - begin
    answers = json.loads(done.stdout)
    print(f"\n{answers} in {seconds:.1f} s")
    assert set(answers) <= {"401", "429"}
    # Those that are verified at the same moment have all passed before one has failed.
    assert answers["401"] <= allowed(seconds) + COUNT - 1


def allowed(seconds: float) -> int:
    """Return how many tries pass in a time: five are free, then after 1 s, 2 s, 4 s ..."""
    return 6 + math.ceil(seconds).bit_length()


def test_a_worker_that_is_killed_is_replaced_and_takes_no_lock_along(daemon: Daemon) -> None:
    target = daemon.target.beneath(headgate.LOCAL)
    put(target, "f", b"old")
    with pack.each(daemon) as both:
        connection, gone = both[0]
        took = send(connection, target, "LOCK", "f", lock_body(), Depth="0", Content_Type=XML)
        signal_to(gone, signal.SIGKILL)
        # Nobody is refused meanwhile: the supervisor holds the dead one's socket.
        for _ in range(20):
            assert ask(target, "PUT", "f", b"new").status == 423
        pack.until_replaced(daemon, gone, COUNT)
        token = took.header("Lock-Token")
        assert ask(target, "PUT", "f", b"new", If=f"({token})").status == 204


def test_a_worker_that_is_asked_to_end_is_replaced(daemon: Daemon) -> None:
    """It ends its transfers; clients that come meanwhile are taken by the other."""
    gone = pack.workers(daemon)[0]
    signal_to(gone, signal.SIGTERM)
    pack.until_replaced(daemon, gone, COUNT)
    with pack.each(daemon) as both:
        assert len(both) == COUNT


def test_no_worker_outlives_its_supervisor(daemon: Daemon) -> None:
    before = pack.workers(daemon)
    daemon.signal(signal.SIGKILL)
    daemon.wait()
    until("all gone", lambda: not any(map(pack.is_running, before)), 5)
    daemon.start()  # and the port is free


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_transfers_end(daemon: Daemon, number: signal.Signals) -> None:
    target = daemon.target.beneath(headgate.LOCAL)
    data = b"0123456789abcdef" * (1 << 20)
    put(target, "big", data)
    with keep(daemon.target) as connection:
        connection.request("GET", target.path("big"))
        answer = connection.getresponse()
        began = answer.read(1000)
        before = pack.workers(daemon)
        daemon.signal(number)
        time.sleep(0.3)
        assert began + answer.read() == data
    assert daemon.wait() == 0
    assert not any(map(pack.is_running, before))


def test_a_second_signal_stops_at_once(daemon: Daemon) -> None:
    target = daemon.target.beneath(headgate.LOCAL)
    put(target, "big", bytes(16 << 20))
    with socket.create_connection((daemon.target.host, daemon.target.port)) as stalled:
        stalled.sendall(f"GET {target.path('big')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        stalled.recv(100)
        before = pack.workers(daemon)
        daemon.signal(signal.SIGTERM)
        time.sleep(0.5)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(5) == 128 + signal.SIGTERM
    assert not any(map(pack.is_running, before))


def test_a_gateway_whose_workers_die_at_once_gives_up(daemon: Daemon) -> None:
    killed: set[int] = set()
    end = time.monotonic() + 30
    while "the gateway gives up" not in daemon.log.read_text():
        assert time.monotonic() < end
        for worker in pack.workers(daemon)[-1:]:
            if worker not in killed and len(pack.workers(daemon)) == COUNT:
                killed.add(worker)
                signal_to(worker, signal.SIGKILL)
        time.sleep(0.02)
    assert daemon.wait() == 1


def test_a_second_gateway_on_the_port_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    """Also though the port is shared by the workers of the first."""
    other = tmp_path / "other"
    other.mkdir()
    config = (tmp_path / "headgate.toml").read_text()
    (other / "headgate.toml").write_text(config.replace(str(tmp_path / "state"), str(other)))
    done = subprocess.run(
        [*daemon.argv[:-1], str(other / "headgate.toml")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "the port is in use" in done.stderr


def test_one_of_them_sweeps_and_when_it_dies_the_other(daemon: Daemon, tmp_path: Path) -> None:
    lock = tmp_path / "state" / "sweep.lock"
    until("somebody sweeps", lambda: pack.holder(daemon, lock) is not None)
    first = pack.holder(daemon, lock)
    assert first is not None
    time.sleep(0.5)
    assert pack.holder(daemon, lock) == first
    signal_to(first, signal.SIGKILL)
    until("another sweeps", lambda: pack.holder(daemon, lock) not in (None, first), 15)


def test_a_start_and_a_reload_are_one_line_each_in_the_audit_log(
    daemon: Daemon, tmp_path: Path
) -> None:
    accounts.plain("reload", "--config", tmp_path / "headgate.toml")
    for number in range(20):
        put(daemon.target.beneath(headgate.LOCAL), f"f{number}", b"x")
    path = tmp_path / "state" / "audit.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    events = [line["action"] for line in lines if line["kind"] == "event"]
    assert events == ["gateway started", "configuration reloaded"]


def test_one_uploads_what_both_accept_and_when_it_dies_the_other(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    mounts = {"far": {"provider": "local", "root": str(origin), "cache": "write"}}
    with headgate.launch(tmp_path, mounts=mounts, workers=COUNT) as daemon:
        target = daemon.target.beneath("far")
        lead = tmp_path / "state" / "pending" / "%2Ffar" / "lead.lock"
        with pack.each(daemon) as both:
            for number in range(20):
                connection, _ = both[number % COUNT]
                sent = send(connection, target, "PUT", f"f{number}", b"%d" % number)
                assert sent.status == 201
                # What one has accepted the other shows, be it uploaded or not.
                other, _ = both[(number + 1) % COUNT]
                assert send(other, target, "GET", f"f{number}").body == b"%d" % number
        until("somebody uploads", lambda: pack.holder(daemon, lead) is not None)
        first = pack.holder(daemon, lead)
        assert first is not None
        signal_to(first, signal.SIGKILL)
        put(target, "last", b"last")
        until("all arrived", lambda: len(list(origin.glob("[fl]*"))) == 21)
        assert pack.holder(daemon, lead) not in (None, first)
    assert (origin / "last").read_bytes() == b"last"


def signal_to(process: int, number: signal.Signals) -> None:
    """Send a signal to a worker."""
    os.kill(process, number)
