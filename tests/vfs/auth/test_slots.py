"""Counts are shared by processes, stay bounded, and outlive whoever is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.daemon import REPOSITORY
from vfs.auth import slots as module
from vfs.auth.errors import Throttled
from vfs.auth.slots import Slot, Slots
from vfs.auth.throttle import FREE_TRIES_MAX, Throttle

ADD = """
import sys
from pathlib import Path
from vfs.auth.slots import Slot, Slots
with Slots(Path(sys.argv[1]), tables=2, most=100) as slots:
    print("ready", flush=True)
    for _ in range(int(sys.argv[2])):
        with slots.turn():
            slot = slots.get(1, "key") or Slot(0, 0.0, 0.0)
            slot.number += 1
            slots.put(1, "key", slot)
"""


def adding(file: Path, times: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", ADD, str(file), str(times)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


def number(file: Path) -> int:
    with Slots(file, tables=2, most=100) as slots, slots.turn():
        slot = slots.get(1, "key")
        return slot.number if slot else 0


def test_processes_count_together(tmp_path: Path) -> None:
    file = tmp_path / "slots"
    running = [adding(file, 2000) for _ in range(3)]
    for process in running:
        process.communicate(timeout=60)
    assert number(file) == 6000


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    file = tmp_path / "slots"
    with adding(file, 10**9) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while not number(file):
            time.sleep(0.01)
        process.kill()
    assert number(file) > 0


def test_a_stopped_process_holds_nobody_up_for_long(tmp_path: Path) -> None:
    file = tmp_path / "slots"
    with adding(file, 10**9) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        with Slots(file, tables=2, most=100) as slots, slots.turn():
            took = time.monotonic() - begin
        process.kill()
    # Once to open the file, once for its turn.
    assert took < 2 * module.WAIT_SECONDS + 1


def test_another_boot_wipes_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "slots"
    adding(file, 3).communicate(timeout=60)
    assert number(file) == 3
    boot = tmp_path / "boot"
    boot.write_text("another")
    monkeypatch.setattr(module, "_BOOT_ID", boot)
    assert number(file) == 0


def test_a_file_that_is_not_ours_is_taken_over(tmp_path: Path) -> None:
    file = tmp_path / "slots"
    file.write_bytes(os.urandom(100_000))
    assert number(file) == 0


def test_without_its_file_a_process_counts_by_itself(tmp_path: Path) -> None:
    with Slots(tmp_path / "none" / "slots", tables=1, most=1) as slots, slots.turn():
        slots.put(0, "key", Slot(1, 1.0, 1.0))
        assert slots.get(0, "key") == Slot(1, 1.0, 1.0)


KEYS = st.text(max_size=5) | st.sampled_from(["\udc80", "x" * 5000])


@given(st.lists(st.tuples(st.integers(0, 1), KEYS, st.integers(0, 2**64 - 1)), max_size=60))
def test_it_holds_what_was_put_last(steps: list[tuple[int, str, int]]) -> None:
    """As long as no bucket is full, and never the number of another key."""
    slots = Slots(None, tables=2, most=8)
    known: dict[tuple[int, str], int] = {}
    for at, (table, key, count) in enumerate(steps, start=1):
        slots.put(table, key, Slot(count, float(at), 0.0))
        known[table, key] = count
        found = slots.get(table, key)
        assert found is not None
        assert found.number == count
    for table in (0, 1):
        newest = list(dict.fromkeys(key for at, key, _ in reversed(steps) if at == table))
        for key in newest[:8]:
            found = slots.get(table, key)
            assert found is not None
            assert found.number == known[table, key]
        for key in newest[8:]:
            assert slots.get(table, key) is None


def test_failed_logins_count_in_all_processes(tmp_path: Path) -> None:
    one, two = (Throttle(tmp_path / "logins") for _ in "ab")
    for throttle, _ in zip((one, two) * FREE_TRIES_MAX, range(FREE_TRIES_MAX), strict=False):
        throttle.check("192.0.2.1", "ann")
        throttle.failed("192.0.2.1", "ann")
    for throttle in (one, two):
        with pytest.raises(Throttled):
            throttle.check("192.0.2.1", "ann")
        throttle.close()
