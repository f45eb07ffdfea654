"""Several gateway processes, and what is left when one is killed."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from processors.work.pool import Pool
from tests.processors.conftest import until
from tests.processors.tiny import Bytes, derive

ROOT = Path(__file__).resolve().parents[3]
TEXT = "some bytes" * 100


class Gateway:
    """One started `gateway.py`."""

    def __init__(self, folder: Path, name: str, log: Path, gate: Path, count: int = 1) -> None:
        program = [sys.executable, "-m", "tests.processors.gateway"]
        self.process = subprocess.Popen(
            [*program, str(folder), TEXT, name, str(log), str(gate), str(count)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def descendants(self) -> set[int]:
        """Return the processes below this one."""
        parents: dict[int, int] = {}
        for place in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = place.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(place.parent.name)] = int(fields[1])
        found: set[int] = set()
        new = {self.process.pid}
        while new:
            new = {pid for pid, parent in parents.items() if parent in new}
            found |= new
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Gateway]]:
    """Return a function that starts a gateway process on one folder."""
    started: list[Gateway] = []

    def run(name: str) -> Gateway:
        started.append(Gateway(tmp_path / "cache", name, tmp_path / "log", tmp_path / "gate"))
        return started[-1]

    yield run
    for gateway in started:
        gateway.end()


def runs(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended, be it that nobody has asked for its status."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_two_gateways_share_one_computation(
    start: Callable[[str], Gateway], tmp_path: Path
) -> None:
    both = [start("gated"), start("gated")]
    until(lambda: runs(tmp_path / "log"))
    (tmp_path / "gate").touch()
    assert [each.line() for each in both] == [sha256(TEXT.encode()).hexdigest()] * 2
    assert len(runs(tmp_path / "log")) == 1


def test_another_takes_over_when_the_one_that_computes_is_killed(
    start: Callable[[str], Gateway], tmp_path: Path
) -> None:
    first = start("gated")
    until(lambda: runs(tmp_path / "log"))
    second = start("gated")
    first.process.send_signal(signal.SIGKILL)
    until(lambda: len(runs(tmp_path / "log")) == 2)
    (tmp_path / "gate").touch()
    assert second.line() == sha256(TEXT.encode()).hexdigest()


@pytest.mark.parametrize("name", ["gated", "loop", "copy"])
def test_nothing_outlives_a_killed_gateway(
    start: Callable[[str], Gateway], tmp_path: Path, name: str
) -> None:
    gateway = start(name)
    until(lambda: runs(tmp_path / "log"))
    below = gateway.descendants()
    assert runs(tmp_path / "log")[0] in below
    assert len(below) == 2
    gateway.process.send_signal(signal.SIGKILL)
    until(lambda: all(is_gone(pid) for pid in below))


def test_a_pool_works_again_when_what_its_workers_are_forked_from_was_killed(
    make_maker: Callable[..., Any],
) -> None:
    maker = make_maker()
    source = Bytes(b"some bytes")
    maker.make(derive("copy"), source.open, who="")
    pool = maker._runner
    worker = pool._idle[0].pid
    os.kill(pool._zygote.pid, signal.SIGKILL)
    until(lambda: is_gone(worker))
    result = maker.make(derive("copy", size=1), source.open, who="")
    assert result.size == 10
    pool.close()
    assert pool._zygote is None


def test_a_gateways_secrets_are_not_its_workers(
    monkeypatch: pytest.MonkeyPatch, make_pool: Callable[..., Pool]
) -> None:
    monkeypatch.setenv("HEADGATE_MASTER_KEY", "secret")
    pool = make_pool()
    pool.warm()
    environment = Path(f"/proc/{pool._idle[0].pid}/environ").read_bytes()
    assert b"secret" not in environment
    limits = Path(f"/proc/{pool._idle[0].pid}/limits").read_text()
    assert "Max core file size        0                    0" in limits


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_storm_of_kills_leaves_whole_results_alone(
    tmp_path: Path, make_maker: Callable[..., Any]
) -> None:
    """Gateways and workers are killed at any moment: what is there afterwards is whole."""
    count, folder, chance = 400, tmp_path / "cache", random.Random(7)
    log, gate = tmp_path / "log", tmp_path / "gate"
    gateways = [Gateway(folder, "copy", log, gate, count) for _ in range(2)]
    until_at = time.monotonic() + 30
    while time.monotonic() < until_at:
        time.sleep(chance.random() / 5)
        victim = chance.randrange(2)
        below = sorted(gateways[victim].descendants())
        if chance.random() < 0.5 and below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(below), signal.SIGKILL)
        else:
            gateways[victim].end()
            until(lambda below=below: all(is_gone(pid) for pid in below))  # type: ignore[misc]
            gateways[victim] = Gateway(folder, "copy", log, gate, count)
    for gateway in gateways:
        gateway.end()
    maker, source = make_maker(), Bytes(TEXT.encode())
    there = 0
    for size in range(count):
        wanted = derive("copy", size=size, log=str(log), gate=str(gate))
        there += maker.cached(wanted) is not None
        with maker.open(maker.make(wanted, source.open, who="")) as file:
            assert file.read_at(0, 1 << 20) == source.data
    assert there > 10
