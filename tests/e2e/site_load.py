"""Readers and writers of checksummed data, who notice each wrong byte and each lost write."""

import contextlib
import hashlib
import http.client
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

from tests.e2e import wire
from tests.e2e.sites import MOUNTS, Site
from tests.servers.target import Target

SIZE = 300_000
_PAUSE_SECONDS = 0.05
# An answer passes some threads of two processes, each of which waits for its turn.
_TURNS = 10
# Whoever waits for the site waits for twice as long: so the gateway is configured.
_WAITS_SECONDS = 1.0


def content(name: str, number: int, size: int = SIZE) -> bytes:
    """Return what the write `number` of `name` puts there."""
    return hashlib.shake_128(f"{name} {number}".encode()).digest(size)


class Worker(threading.Thread):
    """Writes one file again and again, and reads it after each write.

    `possible` are the writes of which the last one that took hold must be: the last one that was
    acknowledged, and those after it of which nobody knows. Read the attributes after the end.
    """

    def __init__(self, target: Target, name: str, *, size: int = SIZE) -> None:
        super().__init__()
        self.target = target
        self.file = name
        self.size = size
        self.number = 0
        self.possible: set[int] = set()
        self.acknowledged = 0
        self.refused = 0
        self.read = 0
        self.wrong: list[str] = []
        self.statuses: set[int] = set()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_PAUSE_SECONDS):
            try:
                self.step()
            except (OSError, http.client.HTTPException, wire.Fault):
                self.refused += 1  # the answer was cut; what it had begun is in `possible`

    def end(self) -> None:
        """Stop after the step under way."""
        self._ended.set()
        self.join(60)

    def step(self) -> None:
        """Write, and read what is there now."""
        self.number += 1
        self.possible.add(self.number)
        answer = wire.ask(self.target, "PUT", self.file, content(self.file, self.number, self.size))
        self._count(answer)
        if answer.ok:
            self.possible = {self.number}
            self.acknowledged += 1
        self.look()

    def look(self) -> bool:
        """Read the file; note what is wrong with it. Tell whether it was to be had."""
        answer = wire.ask(self.target, "GET", self.file)
        self._count(answer)
        if answer.status == 404 and self.acknowledged:
            self.wrong.append(f"{self.file} is gone")
        if answer.status == 200:
            self.read += 1
            self.judge(answer.body)
        return answer.status == 200

    def judge(self, body: bytes) -> None:
        """Note when this is not what must be there."""
        if not any(body == content(self.file, one, self.size) for one in self.possible):
            older = [
                n for n in range(1, self.number + 1) if body == content(self.file, n, self.size)
            ]
            what = f"write {older}" if older else f"{len(body)} strange bytes"
            self.wrong.append(f"{self.target.url}{self.file}: {what}, not of {self.possible}")

    def _count(self, answer: wire.Answer) -> None:
        self.statuses.add(answer.status)
        if answer.status >= 500:
            self.refused += 1


class Sibling(threading.Thread):
    """Reads a file of the local mount all the time; `seconds` are what each answer took.

    `echoes` are what another process took meanwhile that has nothing to do but to answer: how long
    the machine lets everybody wait.
    """

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.echoes: list[float] = []
        self._target = target
        self._ended = threading.Event()
        wire.put(target, "sibling", b"here")

    def run(self) -> None:
        with (
            subprocess.Popen(
                ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            ) as echo,
            wire.keep(self._target) as connection,
        ):
            assert echo.stdin is not None
            assert echo.stdout is not None
            while not self._ended.wait(0.02):
                began = time.perf_counter()
                assert wire.send(connection, self._target, "GET", "sibling").body == b"here"
                answered = time.perf_counter()
                echo.stdin.write(b"here")
                assert echo.stdout.read(4) == b"here"
                self.seconds.append(answered - began)
                self.echoes.append(time.perf_counter() - answered)

    def end(self) -> None:
        """Stop."""
        self._ended.set()
        self.join(30)


class Load:
    """One worker for each mount of a site, and the sibling, while the block runs."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.workers = {name: Worker(site.target(name), "f") for name in MOUNTS}
        self.sibling = Sibling(site.target("local"))

    def __enter__(self) -> Self:
        for one in (*self.workers.values(), self.sibling):
            one.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for worker in self.workers.values():
            worker.end()
        self.sibling.end()

    def refusals(self) -> dict[str, int]:
        """Return how often each mount has refused."""
        return {name: worker.refused for name, worker in self.workers.items()}

    def check(self, within_seconds: float = 30) -> None:
        """After the block: all recovers by itself, and nothing is wrong or lost, here or there."""
        end = time.monotonic() + within_seconds
        for name, worker in self.workers.items():
            while not _works(worker):
                wire.expect(time.monotonic() < end, f"{name} does not come back: {worker.statuses}")
                time.sleep(0.2)
            wire.expect(not worker.wrong, f"wrong: {worker.wrong[:3]}")
            _arrives(worker, self.site.root(name) / worker.file, end)
        late, machine = _late(self.sibling.seconds), _late(self.sibling.echoes)
        counts = {n: (w.acknowledged, w.read, w.refused) for n, w in self.workers.items()}
        print(
            f"acknowledged, read, refused: {counts};"
            f" of a sibling's {len(self.sibling.seconds)} answers"
            f" 99 % came within {late * 1e3:.0f} ms, an echo's within {machine * 1e3:.0f} ms,"
            f" the slowest in {max(self.sibling.seconds) * 1e3:.0f} ms"
        )
        allowed = min(0.1 + _TURNS * machine, _WAITS_SECONDS)
        wire.expect(
            late < allowed,
            f"a sibling waited: {late * 1e3:.0f} ms; the machine explains {allowed * 1e3:.0f} ms",
        )


def _late(seconds: list[float]) -> float:
    """Return what 99 of 100 keep within."""
    return sorted(seconds)[int(len(seconds) * 0.99)]


def _works(worker: Worker) -> bool:
    acknowledged = worker.acknowledged
    with contextlib.suppress(OSError, http.client.HTTPException, wire.Fault):
        worker.step()
        return worker.acknowledged > acknowledged and worker.look()
    return False


def _arrives(worker: Worker, file: Path, end: float) -> None:
    wanted = [content(worker.file, one, worker.size) for one in worker.possible]
    while file.read_bytes() not in wanted:
        wire.expect(time.monotonic() < end, f"{worker.target.url}: the site has another content")
        time.sleep(0.1)
