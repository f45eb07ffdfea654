"""What a server takes while it is loaded: processor time and memory of all its processes."""

import contextlib
import threading
import time
from pathlib import Path
from typing import Self

_SAMPLE_SECONDS = 0.1

_SPARED = 200
"""How many times as long as a look at memory takes there is none.

The system walks through all pages for it: 2 ms of a process of 60 MiB, and of a small one next to
nothing. With a look each 100 ms that alone was the 99th percentile of the larger server's latency.
"""


def tree(process: int) -> list[int]:
    """Return a process and all beneath it."""
    found, waiting = [], [process]
    while waiting:
        one = waiting.pop()
        found.append(one)
        for task in _listed(Path(f"/proc/{one}/task")):
            with contextlib.suppress(OSError):
                waiting += map(int, (task / "children").read_text().split())
    return found


def cpu_seconds(process: int) -> float:
    """Return the processor time of a process so far, by its own clock."""
    try:
        return time.clock_gettime((~process << 3) | 2)
    except OSError:
        return 0.0


def pss_mib(process: int) -> float:
    """Return the memory of a process; what it shares is divided by how many share it."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


class Meter:
    """Measures a process with all beneath it for a `with` block.

    `memory` is the most that all took together, `largest` the most of one process, in MiB; both
    are looked at from a thread of their own.
    """

    def __init__(self, process: int) -> None:
        self._process = process
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.cpu = 0.0
        self.memory = 0.0
        self.largest = 0.0

    def __enter__(self) -> Self:
        self._before = {process: cpu_seconds(process) for process in tree(self._process)}
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        now = {process: cpu_seconds(process) for process in tree(self._process)}
        self.cpu = sum(seconds - self._before.get(p, 0.0) for p, seconds in now.items())
        self._end.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        pause = _SAMPLE_SECONDS
        while not self._end.wait(pause):
            began = time.thread_time()
            self._look()
            pause = max(_SAMPLE_SECONDS, _SPARED * (time.thread_time() - began))

    def _look(self) -> None:
        each = [pss_mib(process) for process in tree(self._process)]
        self.memory = max(self.memory, sum(each))
        self.largest = max(self.largest, *each)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
