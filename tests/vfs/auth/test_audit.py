"""Every request leaves one whole line, whatever it asked for and whoever else writes."""

import errno
import json
import logging
import multiprocessing
import os
import stat
import subprocess
import time
import timeit
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vfs.auth.audit import CUT, LOOK_SECONDS, RETRY_SECONDS, TEXT_MAX, Audit, AuditRecord

LOST = pytest.mark.logs("lines are lost until it can be")


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.seconds = 10.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def audit(tmp_path: Path, clock: Clock) -> Iterator[Audit]:
    audit = Audit(tmp_path / "audit.jsonl", now=clock)
    yield audit
    audit.close()


def record(path: str = "/site-a/f", **fields: Any) -> AuditRecord:
    given: dict[str, Any] = {
        "time": 1_700_000_000.25,
        "request": "0123456789abcdef",
        "user": "alice",
        "credential": "password",
        "address": "192.0.2.7",
        "method": "GET",
        "path": path,
        "status": 200,
        "outcome": "ok",
        "received": 0,
        "sent": 1234,
        "ms": 3.14159,
    }
    return AuditRecord(**given | fields)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_request_is_one_line(audit: Audit) -> None:
    audit.write(record())
    audit.write(record(user=None, method="MOVE", destination="/b", status=403, outcome="refused"))
    first, second = lines(audit.path)
    assert first == {
        "time": "2023-11-14T22:13:20.250Z",
        "kind": "request",
        "request": "0123456789abcdef",
        "user": "alice",
        "credential": "password",
        "address": "192.0.2.7",
        "method": "GET",
        "path": "/site-a/f",
        "status": 200,
        "outcome": "ok",
        "received": 0,
        "sent": 1234,
        "ms": 3.14,
    }
    assert (second["user"], second["destination"]) == (None, "/b")


def test_an_event_is_one_line(audit: Audit) -> None:
    audit.note("user added", user="bob", by="root", groups=2, kind="request")
    (line,) = lines(audit.path)
    moment = datetime.fromisoformat(line.pop("time"))
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert line == {
        "kind": "event",
        "action": "user added",
        "user": "bob",
        "by": "root",
        "groups": 2,
    }


def test_the_file_is_for_its_owner_alone(audit: Audit) -> None:
    before = os.umask(0)
    try:
        audit.write(record())
    finally:
        os.umask(before)
    assert stat.S_IMODE(audit.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/plain name", "/plain name"),
        ("/größe/図", "/größe/図"),
        ('/a\n{"user": "root"}', '/a\\n{"user": "root"}'),
        ("/\x1b[2J", "/\\x1b[2J"),
        ("/\x9b2J\x7f", "/\\x9b2J\\x7f"),
        ("/\u202egpj.exe", "/\\u202egpj.exe"),
        ("/\u2028", "/\\u2028"),
        ("/\udcff", "/\\udcff"),
        ("/\\x1b", "/\\\\x1b"),
        ("/" + "x" * TEXT_MAX, "/" + "x" * (TEXT_MAX - 1) + CUT),
        ("\x1b" * TEXT_MAX, "\\x1b" * (TEXT_MAX // 4) + CUT),
    ],
)
def test_what_could_break_a_line_or_a_terminal_is_escaped(
    audit: Audit, text: str, shown: str
) -> None:
    audit.write(record(text, destination=text, user=text, method=text))
    (line,) = lines(audit.path)
    assert line["path"] == line["destination"] == line["user"] == line["method"] == shown


@given(texts=st.lists(st.text(st.characters(), max_size=30), min_size=5, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_one_printable_line_that_tells_what_it_was(
    audit: Audit, texts: list[str]
) -> None:
    user, path, method, address, credential = texts
    with audit.path.open("wb"):
        pass
    audit.write(record(path, user=user, method=method, address=address, credential=credential))
    text = audit.path.read_bytes().decode()
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    line = json.loads(text)
    for field, was in (("user", user), ("path", path), ("method", method)):
        back = line[field].encode("latin-1", "backslashreplace").decode("unicode_escape")
        assert back == was


def test_a_line_is_bounded(audit: Audit) -> None:
    """Even if every text is as long and as wide as can be."""
    long = "\U0001f600" * 100_000
    audit.write(
        record(
            long,
            request=long,
            user=long,
            credential=long,
            address=long,
            method=long,
            destination=long,
        )
    )
    assert audit.path.stat().st_size < 7 * (4 * TEXT_MAX + 64)


def test_a_file_that_was_moved_away_is_made_anew(audit: Audit, clock: Clock) -> None:
    audit.write(record("/1"))
    audit.path.rename(audit.path.with_suffix(".1"))
    clock.seconds += LOOK_SECONDS / 2
    audit.write(record("/2"))
    clock.seconds += LOOK_SECONDS
    audit.write(record("/3"))
    assert [line["path"] for line in lines(audit.path.with_suffix(".1"))] == ["/1", "/2"]
    assert [line["path"] for line in lines(audit.path)] == ["/3"]


def test_reopen_takes_the_new_file_at_once(audit: Audit) -> None:
    audit.write(record("/1"))
    audit.path.rename(audit.path.with_suffix(".1"))
    audit.reopen()
    audit.write(record("/2"))
    assert [line["path"] for line in lines(audit.path)] == ["/2"]


@LOST
def test_an_unwritable_file_fails_no_request_and_is_tried_again(
    audit: Audit, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    audit.path.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        audit.open()
    for _ in range(3):
        audit.write(record())
        clock.seconds += RETRY_SECONDS
    (told,) = (r.getMessage() for r in caplog.records if r.levelno == logging.ERROR)
    assert told == (
        f"audit log '{audit.path}' cannot be written: Is a directory; lines are lost until it can"
        " be: make room, or correct its owner and mode"
    )
    audit.path.rmdir()
    audit.write(record("/again"))
    event, line = lines(audit.path)
    assert (event["action"], event["lines"]) == ("audit lines lost", 3)
    assert line["path"] == "/again"
    assert audit.lost == 3
    assert "works again; 3 lines are lost" in caplog.text


@LOST
def test_between_two_tries_the_file_is_left_alone(audit: Audit, clock: Clock) -> None:
    audit.path.mkdir()
    audit.write(record())
    audit.path.rmdir()
    clock.seconds += RETRY_SECONDS - 1
    audit.write(record())
    assert not audit.path.exists()
    clock.seconds += 1
    audit.write(record())
    assert audit.path.exists()


@LOST
def test_a_pipe_is_refused_and_holds_up_nobody(audit: Audit) -> None:
    os.mkfifo(audit.path)
    audit.write(record())
    assert audit.lost == 1


@LOST
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_fails_no_request_and_spoils_no_other_line(
    tmp_path: Path, clock: Clock
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine mounts no tmpfs")
    audit = Audit(disk / "audit.jsonl", now=clock)
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(40 << 10))
        while not audit.lost:
            audit.write(record())
        ballast.unlink()
        clock.seconds += RETRY_SECONDS
        audit.write(record("/after"))
        *before, event, last = audit.path.read_text().splitlines()
        broken = [line for line in before if not line.endswith("}")]
        assert len(broken) <= 1
        assert json.loads(event)["lines"] == 1
        assert json.loads(last)["path"] == "/after"
    finally:
        audit.close()
        subprocess.run(["umount", str(disk)], check=True)


@LOST
def test_a_line_cut_short_is_ended_before_the_next(
    audit: Audit, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes half a line, then nothing, then all again."""
    written = os.write

    def half(descriptor: int, data: bytes) -> int:
        if not data.startswith(b'{"time"'):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(descriptor, data[: len(data) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        audit.write(record("/1"))
    clock.seconds += RETRY_SECONDS
    audit.write(record("/2"))
    torn, event, line = audit.path.read_text().splitlines()
    assert not torn.endswith("}")
    assert json.loads(event)["lines"] == 1
    assert json.loads(line)["path"] == "/2"


def _fill(path: Path, writer: int, count: int) -> None:
    audit = Audit(path)
    for number in range(count):
        audit.write(record(f"/{writer}/{number}/" + "x" * (number % 1000)))
    audit.close()


def test_lines_of_several_processes_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_fill, args=(path, n, 2000)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    found = lines(path)
    assert len({line["path"] for line in found}) == len(found) == 6000


def _microseconds(action: Callable[[], object]) -> float:
    # In processor time, so that a busy machine does not count.
    return min(timeit.repeat(action, timer=time.thread_time, number=2000, repeat=5)) / 2000 * 1e6


def test_a_line_costs_microseconds(
    audit: Audit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Encoding under 5 and writing under 10 where nothing else runs; here there is some room."""
    whole = _microseconds(lambda: audit.write(record(time=time.time())))
    line = record()
    written = _microseconds(lambda: audit.write(line))
    monkeypatch.setattr(audit, "_append", bool)
    encoded = _microseconds(lambda: audit.write(line))
    with capsys.disabled():
        print(f"\naudit: encode {encoded:.2f} us, with write {written:.2f} us ({whole:.2f})")
    assert encoded < 25
    assert written < 50
