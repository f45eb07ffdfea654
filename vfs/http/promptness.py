"""Promptness: which requests are answered in the thread that serves all connections."""

import time
from collections.abc import Callable, Mapping
from resource import RUSAGE_THREAD, getrusage

from vfs.http.request import Request

SLOW_SECONDS = 0.03
"""Longer than this no request may hold up all others."""

REST_SECONDS = 20.0
"""For so long those of the same kind go to the pool, after one that waited longer."""

KINDS_MAX = 1024

Rule = Callable[[Request], str | None]
"""Returns the mount that a request is for when it may be answered in the loop, else None."""


class Promptness:
    """Knows which methods are cheap where, and which were not.

    `_rules` is fixed. `_slow` is used by the loop's thread alone.
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = rules
        self._slow: dict[tuple[str, str | None], float] = {}

    def allows(self, request: Request) -> bool:
        """Tell whether a request may be tried in the loop."""
        rule = self._rules.get(request.method)
        if rule is None:
            return False
        mount = rule(request)
        if mount is None:
            return False
        if not self._slow:
            return True
        until = self._slow.get((request.method, mount))
        return until is None or time.monotonic() >= until

    def begin(self) -> tuple[float, int]:
        """Return what `end` compares with, before a request is answered in the loop."""
        return time.perf_counter(), getrusage(RUSAGE_THREAD).ru_nvcsw

    def end(self, request: Request, begun: tuple[float, int]) -> None:
        """Learn whether requests of this kind wait.

        On a machine that is short of processors everything takes long. What counts is that the
        thread itself gave the processor away: it waited for a disk or a lock.
        """
        began, waits = begun
        is_slow = time.perf_counter() - began > SLOW_SECONDS
        if is_slow and getrusage(RUSAGE_THREAD).ru_nvcsw > waits:
            self._rest(request)

    def _rest(self, request: Request) -> None:
        if len(self._slow) >= KINDS_MAX:
            self._slow.clear()
        mount = self._rules[request.method](request)
        self._slow[request.method, mount] = time.monotonic() + REST_SECONDS
