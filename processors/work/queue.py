"""Queue: who may compute now, so that no user keeps the others out."""

import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from processors.errors import Busy, Cancelled
from processors.work.runner import Progress

# How often one who waits asks whether he is still wanted.
_LOOK_SECONDS = 0.1
_RETRY_SECONDS_MAX = 60


class _Ticket:
    """One who waits. `granted` is set under the queue's lock."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.is_granted = False
        self.is_refused = False
        self.changed = threading.Event()


class Queue:
    """Grants `slots` at once, at most `per_user` of them to one user, round robin over users.

    With `spare` there is one more for somebody who has none, while one user has them all: so nobody
    waits until another's long computations end. `slots`, `length`, `per_user`, `_spare` are fixed.
    `_lock` guards the rest and is held for a few steps of bookkeeping. Nobody waits while holding
    it.
    """

    def __init__(self, *, slots: int, length: int, per_user: int, spare: bool = False) -> None:
        self.slots = slots
        self.length = length
        self.per_user = per_user
        self._spare = spare
        self._lock = threading.Lock()
        self._free = slots
        self._running: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[_Ticket]] = OrderedDict()
        self._count = 0
        self._mean_seconds = 0.1

    @contextmanager
    def turn(
        self, who: str, is_wanted: Callable[[], bool], progress: Callable[[Progress], None]
    ) -> Iterator[None]:
        """Hold a slot inside the block. Raises Busy, or Cancelled while waiting."""
        ticket = _Ticket(who)
        with self._lock:
            self._enter(ticket)
            self._grant()
        try:
            self._wait(ticket, is_wanted, progress)
        except BaseException:
            with self._lock:
                if ticket.is_granted:
                    self._leave(who)
                elif not ticket.is_refused:
                    self._forget(ticket)
            raise
        began = time.monotonic()
        try:
            yield
        finally:
            took = time.monotonic() - began
            with self._lock:
                self._mean_seconds += (took - self._mean_seconds) / 8
                self._leave(who)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._count

    def _enter(self, ticket: _Ticket) -> None:
        line = self._waiting.get(ticket.who)
        if self._count >= self.length and not self._has_room(ticket.who):
            # Not the newcomer goes, if somebody else fills the queue, but the last of his.
            greedy, longest = max(self._waiting.items(), key=lambda item: len(item[1]))
            if len(line or ()) + 1 >= len(longest):
                raise self._busy()
            refused = longest.pop()
            self._drop_if_empty(greedy)
            self._count -= 1
            refused.is_refused = True
            refused.changed.set()
        self._waiting.setdefault(ticket.who, deque()).append(ticket)
        self._count += 1

    def _has_room(self, who: str) -> bool:
        """Tell whether one more of this user would not have to wait at all."""
        if self._free > 0:
            return self._running[who] < self.per_user
        is_held_by_one = not self._free and len(self._running) == 1
        return self._spare and is_held_by_one and not self._running[who]

    def _wait(
        self, ticket: _Ticket, is_wanted: Callable[[], bool], progress: Callable[[Progress], None]
    ) -> None:
        while not ticket.changed.wait(_LOOK_SECONDS):
            if not is_wanted():
                raise Cancelled
            progress(Progress(place=self._place(ticket)))
        if ticket.is_refused:
            raise self._busy()

    def _place(self, ticket: _Ticket) -> int:
        """Return how many rounds of turns it takes at most, about: 1 is next."""
        with self._lock:
            line = self._waiting.get(ticket.who)
            if line is None or ticket not in line:
                return 0
            before = line.index(ticket)
            return 1 + sum(min(len(other), before + 1) for other in self._waiting.values()) - 1

    def _grant(self) -> None:
        """Hand out what is free, one to each user in turn."""
        while True:
            who = next(filter(self._has_room, self._waiting), None)
            if who is None:
                return
            ticket = self._waiting[who].popleft()
            self._waiting.move_to_end(who)
            self._drop_if_empty(who)
            self._count -= 1
            self._free -= 1
            self._running[who] += 1
            ticket.is_granted = True
            ticket.changed.set()

    def _leave(self, who: str) -> None:
        self._free += 1
        self._running[who] -= 1
        if not self._running[who]:
            del self._running[who]
        self._grant()

    def _forget(self, ticket: _Ticket) -> None:
        self._waiting[ticket.who].remove(ticket)
        self._drop_if_empty(ticket.who)
        self._count -= 1

    def _drop_if_empty(self, who: str) -> None:
        if not self._waiting[who]:
            del self._waiting[who]

    def _busy(self) -> Busy:
        """Say when to come again: when what waits now will be done, about."""
        seconds = math.ceil(self._mean_seconds * (self._count + 1) / self.slots)
        error = Busy("too many requests wait to be computed", limit=f"{self.length} may wait")
        error.retry_after_seconds = max(1, min(seconds, _RETRY_SECONDS_MAX))
        return error
