"""Audience: what the work for one request knows of who waits for it.

The tree knows no protocol, and a provider no caller. But a computation should end when nobody waits
for it any more, and a thread that waits long should not keep others from working. What serves a
request says so here, for its thread.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import NamedTuple

from processors.work.runner import Progress, always, ignore


class Audience(NamedTuple):
    """Somebody who waits, by default for ever.

    `blocked` stands around what may take long. `in_background` says that nobody holds a connection
    open for it, so that it may take its time.
    """

    is_wanted: Callable[[], bool] = always
    blocked: Callable[[], AbstractContextManager[None]] = nullcontext
    progress: Callable[[Progress], None] = ignore
    in_background: bool = False


_NOBODY = Audience()
_audience: ContextVar[Audience] = ContextVar("audience", default=_NOBODY)


def audience() -> Audience:
    """Return who waits for what this thread does."""
    return _audience.get()


@contextmanager
def waited_for(who: Audience) -> Iterator[None]:
    """Say who waits for what is done inside."""
    token = _audience.set(who)
    try:
        yield
    finally:
        _audience.reset(token)
