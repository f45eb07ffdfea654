"""Waiting: what the work for one request knows of who waits for it.

The tree knows no protocol, and a provider no caller. But a computation should end when nobody waits
for it any more, and a thread that waits long should not keep others from working. What serves a
request says so here, for its thread.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import NamedTuple

from processors.work.runner import Progress, always, ignore


class Waiting(NamedTuple):
    """Somebody who waits, by default for ever.

    `blocked` stands around what may take long. `in_background` says that nobody holds a connection
    open for it, so that it may take its time.
    """

    is_wanted: Callable[[], bool] = always
    blocked: Callable[[], AbstractContextManager[None]] = nullcontext
    progress: Callable[[Progress], None] = ignore
    in_background: bool = False


_NOBODY = Waiting()
_waiting: ContextVar[Waiting] = ContextVar("waiting", default=_NOBODY)


def waiting() -> Waiting:
    """Return who waits for what this thread does."""
    return _waiting.get()


@contextmanager
def waited_for(who: Waiting) -> Iterator[None]:
    """Say who waits for what is done inside."""
    token = _waiting.set(who)
    try:
        yield
    finally:
        _waiting.reset(token)
