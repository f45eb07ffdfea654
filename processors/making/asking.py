"""Asking: has a call done on an opened source, and knows what to do when a worker dies at it."""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import cast

from cache.results import Draft
from processors.base import Folder, Source
from processors.errors import Crashed, Poisoned, SourceChanged
from processors.making.remembered import Remembered
from processors.work.runner import (
    Call,
    Fault,
    Outcome,
    Progress,
    Runner,
    WorkerLost,
    always,
    ignore,
)

_LOG = logging.getLogger(__name__)

# A call is tried so often; one that cost so many workers is not tried again.
_TRIES = 2
_POISONED_MAX = 10_000


class Asking:
    """Tries again once when a worker is lost, and refuses what cost two. All guards itself.

    The keys change with the version of the source, so that another version is tried again.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._lost: Remembered[int] = Remembered(_POISONED_MAX)

    def ask(
        self,
        key: str,
        call: Call,
        open_source: Callable[[], AbstractContextManager[Source | Folder]],
        *,
        version: str,
        draft: Draft | None = None,
        between: Sequence[int] = (),
        is_wanted: Callable[[], bool] = always,
        progress: Callable[[Progress], None] = ignore,
    ) -> Outcome:
        """Have it done on the source in `version`, "" for any; the output goes into `draft`.

        Raises what a Runner raises, but Crashed for a fault, and for a worker lost twice; then
        Poisoned whenever it is asked again. SourceChanged when the source is another by the end.
        """
        if (self._lost.get(key) or 0) >= _TRIES:
            raise Poisoned(
                "computing this failed twice", limit="it is tried again when its source changes"
            )
        sinks = [*between, *([] if draft is None else [draft.fileno()])]
        with open_source() as source:
            if version and source.version != version:
                raise SourceChanged
            for _ in range(_TRIES):
                try:
                    outcome = self._runner.call(
                        call, source, sinks, is_wanted=is_wanted, progress=progress
                    )
                except WorkerLost:
                    _check(source)
                    self._count(key, f"a worker died at {call.identity or 'a source'}")
                except Fault as fault:
                    _check(source)
                    steps = ", ".join(step.processor for step in call.steps)
                    self._count(key, f"{steps} failed at {call.identity}:\n{fault.text}")
                    raise Crashed("the processor failed; the gateway's log says why") from fault
                else:
                    _check(source)
                    self._lost.drop(key)
                    return outcome
                if draft is not None:
                    draft.empty()
                for descriptor in between:
                    os.ftruncate(descriptor, 0)
                    os.lseek(descriptor, 0, os.SEEK_SET)
        raise Crashed("a worker died at it twice")

    def _count(self, key: str, text: str) -> None:
        self._lost.put(key, (self._lost.get(key) or 0) + 1)
        _LOG.warning("%s", text)


def _check(source: Source | Folder) -> None:
    """Raise SourceChanged when the bytes of a file are no longer those that were opened."""
    if hasattr(source, "size"):
        cast("Source", source).read_at(0, 1)
