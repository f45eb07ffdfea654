"""What goes wrong: killed workers, bombs, loops, changing sources, clients that leave."""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from processors.errors import (
    Busy,
    Cancelled,
    Crashed,
    Malformed,
    NoResultSpace,
    OverTime,
    Poisoned,
    SourceChanged,
    TooLarge,
)
from processors.making.maker import Maker, Result
from tests.cache.test_full import small_disk  # noqa: F401 - a fixture
from tests.processors.conftest import until
from tests.processors.tiny import MIB, Bytes, derive

DATA = bytes(range(256)) * 1000


def read(maker: Maker, result: Result) -> bytes:
    with maker.open(result) as file:
        return file.read_at(0, 1 << 30)


def runs(log: Path) -> list[int]:
    """Return the worker of each run that a tiny processor noted."""
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_killed_worker_is_replaced_once(maker: Maker, tmp_path: Path) -> None:
    log = tmp_path / "log"
    wanted = derive("kill-once", log=str(log))
    result = maker.make(wanted, Bytes(DATA).open, who="")
    assert read(maker, result) == b"half of it, all of it"
    assert len(set(runs(log))) == 2


def test_a_worker_killed_from_outside_is_replaced(maker: Maker, tmp_path: Path) -> None:
    source, log, gate = Bytes(DATA), tmp_path / "log", tmp_path / "gate"
    wanted = derive("gated", log=str(log), gate=str(gate))
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(maker.make, wanted, source.open, who="")
        until(lambda: runs(log))
        os.kill(runs(log)[0], signal.SIGKILL)
        until(lambda: len(runs(log)) == 2)
        gate.touch()
        assert read(maker, asked.result(30)) == DATA


def test_what_kills_workers_is_refused_until_the_source_changes(
    maker: Maker, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    wanted = derive("kill", log=str(log))
    with pytest.raises(Crashed):
        maker.make(wanted, Bytes(DATA).open, who="")
    assert len(runs(log)) == 2
    with pytest.raises(Poisoned):
        maker.make(wanted, Bytes(DATA).open, who="")
    assert len(runs(log)) == 2
    changed = derive("kill", log=str(log), version="v2")
    with pytest.raises(Crashed):
        maker.make(changed, Bytes(DATA, "v2").open, who="")
    assert read(maker, maker.make(derive("copy"), Bytes(DATA).open, who="")) == DATA


def test_a_fault_is_logged_and_poisons_at_the_second_time(
    maker: Maker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "log"
    wanted = derive("fault", log=str(log))
    for _ in range(2):
        with pytest.raises(Crashed, match="log says why"):
            maker.make(wanted, Bytes(DATA).open, who="")
    assert "ZeroDivisionError" in caplog.text
    with pytest.raises(Poisoned):
        maker.make(wanted, Bytes(DATA).open, who="")
    assert len(runs(log)) == 2


def test_a_bomb_is_refused_and_hurts_nobody(maker: Maker) -> None:
    source = Bytes(DATA)
    with ThreadPoolExecutor(2) as threads:
        bomb = threads.submit(maker.make, derive("bomb"), source.open, who="eve")
        for n in range(5):
            assert maker.make(derive("copy", size=n), source.open, who="ann").size == len(DATA)
        error = bomb.exception(30)
    assert isinstance(error, TooLarge)
    assert error.limit == f"{256 * MIB} bytes"


@pytest.mark.parametrize("gate", ["polite", "rude"])
def test_an_endless_loop_ends(make_maker: Callable[..., Maker], gate: str) -> None:
    maker = make_maker(limits={"seconds": 0.5})
    began = time.monotonic()
    with pytest.raises(OverTime, match="stopped"):
        maker.make(derive("loop", gate=gate), Bytes(DATA).open, who="")
    assert time.monotonic() - began < 10
    assert maker.make(derive("copy"), Bytes(DATA).open, who="").size == len(DATA)


def test_a_result_may_not_be_larger_than_allowed(make_maker: Callable[..., Maker]) -> None:
    maker = make_maker(limits={"output_bytes": 3 * MIB})
    with pytest.raises(TooLarge, match="result is larger"):
        maker.make(derive("fill", size=3 * MIB + 1), Bytes(DATA).open, who="")
    assert maker.make(derive("fill", size=3 * MIB), Bytes(DATA).open, who="").size == 3 * MIB
    with pytest.raises(TooLarge, match="result is larger"):
        maker.questions.plan(derive("copy"), Bytes(bytes(3 * MIB + 1)).open)


def test_a_plan_that_was_not_kept_is_a_fault(
    maker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    for wanted in (derive("liar", size=10), derive("liar", size=20)):
        if wanted.canonical.endswith("20"):
            maker.questions.plan(wanted, Bytes(DATA).open)
        with pytest.raises(Crashed):
            maker.make(wanted, Bytes(DATA).open, who="")
        assert maker.cached(wanted) is None
    assert "wrote 10 bytes and had planned 9" in caplog.text


def test_a_source_that_changes_in_the_middle_gives_nothing(maker: Maker, tmp_path: Path) -> None:
    source, log, gate = Bytes(DATA), tmp_path / "log", tmp_path / "gate"
    wanted = derive("gated", log=str(log), gate=str(gate))
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(maker.make, wanted, source.open, who="")
        until(lambda: runs(log))
        source.version = "v2"
        gate.touch()
        assert isinstance(asked.exception(30), SourceChanged)
    assert maker.cached(wanted) is None
    with pytest.raises(SourceChanged):
        maker.make(wanted, Bytes(DATA, "v2").open, who="")


def test_a_local_file_that_changes_in_the_middle_gives_nothing(
    maker: Maker, tmp_path: Path
) -> None:
    """The worker has read all it wants from the descriptor: the gateway looks once more."""
    file, log, gate = tmp_path / "source", tmp_path / "log", tmp_path / "gate"
    file.write_bytes(DATA)
    wanted = derive("gated", log=str(log), gate=str(gate))
    with file.open("rb") as opened, ThreadPoolExecutor(1) as threads:
        source = Bytes(DATA)
        source.fileno = opened.fileno  # type: ignore[method-assign]
        asked = threads.submit(maker.make, wanted, source.open, who="")
        until(lambda: runs(log))
        source.version = "v2"
        gate.touch()
        assert isinstance(asked.exception(30), SourceChanged)
    assert maker.cached(wanted) is None


def test_what_reading_the_source_raises_is_raised(maker: Maker) -> None:
    class Broken(Bytes):
        def read_at(self, offset: int, size: int) -> bytes:
            raise Malformed("the disk is on fire")

    with pytest.raises(Malformed, match="on fire"):
        maker.make(derive("copy"), Broken(DATA).open, who="")


def test_the_computation_ends_when_the_last_who_waits_has_left(
    maker: Maker, tmp_path: Path
) -> None:
    source, log = Bytes(DATA), tmp_path / "log"
    wanted = derive("loop", log=str(log))
    here = [threading.Event() for _ in range(3)]

    def waiting(left: threading.Event) -> Result:
        return maker.make(wanted, source.open, who="", is_wanted=lambda: not left.is_set())

    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(waiting, left) for left in here]
        until(lambda: len(maker._interest._waiting.get(wanted.key, ())) == 3)
        until(lambda: runs(log))
        for left in here[:2]:
            left.set()
        time.sleep(0.5)
        assert Path(f"/proc/{runs(log)[0]}").exists()
        here[2].set()
        for each in asked:
            assert isinstance(each.exception(10), Cancelled)
    until(lambda: not Path(f"/proc/{runs(log)[0]}").exists())
    assert len(runs(log)) == 1


def test_who_comes_when_the_last_one_leaves_is_served(maker: Maker, tmp_path: Path) -> None:
    source, log, gate = Bytes(DATA), tmp_path / "log", tmp_path / "gate"
    wanted = derive("gated", log=str(log), gate=str(gate))
    left = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(
            maker.make, wanted, source.open, who="", is_wanted=lambda: not left.is_set()
        )
        until(lambda: runs(log))
        left.set()
        second = threads.submit(maker.make, wanted, source.open, who="")
        gate.touch()
        assert read(maker, second.result(20)) == DATA
        assert first.exception(20) is None or isinstance(first.exception(20), Cancelled)


def test_a_full_disk_is_said_and_hurts_nobody(
    small_disk: Path,  # noqa: F811 - the fixture
    make_maker: Callable[..., Maker],
) -> None:
    maker = make_maker(folder=small_disk / "cache")
    source = Bytes(DATA)
    for _ in range(2):
        with pytest.raises(NoResultSpace):
            maker.make(derive("fill", size=2 * MIB), source.open, who="")
    wanted = derive("copy")
    result = maker.make(wanted, source.open, who="")
    assert read(maker, result) == DATA
    maker.questions.plan(derive("copy", size=1), Bytes(bytes(MIB)).open)
    with pytest.raises(NoResultSpace):
        maker.make(derive("copy", size=1), Bytes(bytes(MIB)).open, who="")


@pytest.mark.logs("cannot be read")
def test_a_cache_that_cannot_be_written_is_said(maker: Maker, tmp_path: Path) -> None:
    source = Bytes(DATA)
    maker.make(derive("copy"), source.open, who="")
    folder = tmp_path / "cache" / "results"
    folder.rename(tmp_path / "away")
    folder.write_text("in the way")
    # What was just made is open, and needs no folder.
    assert maker.make(derive("copy"), source.open, who="").size == len(DATA)
    with pytest.raises(NoResultSpace, match="Not a directory"):
        maker.make(derive("copy", size=1), source.open, who="")


def test_workers_are_replaced_after_a_while(
    make_maker: Callable[..., Maker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("processors.work.pool.TASKS_MAX", 3)
    maker, log = make_maker(workers=1), tmp_path / "log"
    for number in range(9):
        maker.make(derive("copy", size=number, log=str(log)), Bytes(DATA).open, who="")
    assert [len(set(runs(log)[at : at + 3])) for at in (0, 3, 6)] == [1, 1, 1]
    assert len(set(runs(log))) == 3


def test_a_stopped_worker_costs_its_time_and_no_more(
    make_maker: Callable[..., Maker], tmp_path: Path
) -> None:
    maker, log = make_maker(limits={"seconds": 1}), tmp_path / "log"
    with ThreadPoolExecutor(1) as threads:
        wanted = derive("loop", log=str(log))
        asked = threads.submit(maker.make, wanted, Bytes(DATA).open, who="")
        until(lambda: runs(log))
        os.kill(runs(log)[0], signal.SIGSTOP)
        assert isinstance(asked.exception(20), OverTime)
    until(lambda: not Path(f"/proc/{runs(log)[0]}").exists())


def test_closing_ends_what_runs_and_what_waits(
    make_maker: Callable[..., Maker], tmp_path: Path
) -> None:
    maker, log = make_maker(workers=1), tmp_path / "log"
    with ThreadPoolExecutor(2) as threads:
        wanted = [derive("loop", size=size, log=str(log)) for size in (1, 2)]
        asked = [threads.submit(maker.make, one, Bytes(DATA).open, who="") for one in wanted]
        until(lambda: runs(log))
        maker.close()
        for each in asked:
            assert isinstance(each.exception(20), Busy)
    maker.close()
