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
    Cancelled,
    Crashed,
    Malformed,
    OverTime,
    Poisoned,
    SourceChanged,
    TooLarge,
)
from processors.maker import Maker, Result
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
        maker.plan(derive("copy"), Bytes(bytes(3 * MIB + 1)).open)


def test_a_plan_that_was_not_kept_is_a_fault(
    maker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    for wanted in (derive("liar", size=10), derive("liar", size=20)):
        if wanted.canonical.endswith("20"):
            maker.plan(wanted, Bytes(DATA).open)
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
