"""Runner: the contract of what has processors run, in whichever process or machine.

A runner is given a source and a sink of the gateway's process and nothing else of it: no memory is
shared. So a pool of processes on this machine can fill it, and a cluster too.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from processors.base import Folder, Limits, Plan, Source
from processors.grammar.derivation import Step

Kind = Literal["plan", "info", "values", "run"]


class Progress(msgspec.Struct, frozen=True):
    """How far a call is: `place` in the queue while it waits, 0 when it runs; what it does then."""

    done: int = 0
    whole: int = 0
    place: int = 0
    phase: str = ""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be done.

    "plan", "info" and "values" ask the first step, "run" runs all: the output of each is the source
    of the next. `identity` names the source among all sources, for the memo; "" for none.
    `is_planned` says that the plan of the only step is known and need not be made again. What runs
    `in_background` may take long, and must not keep others from running.
    """

    kind: Kind
    steps: Sequence[Step]
    limits: Limits
    seconds: float
    who: str = ""
    identity: str = ""
    name: str = ""
    is_planned: bool = False
    in_background: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came out; of "run" the plan of the last step, unless it was known, size and digest.

    `timings` are seconds by phase; "queue" is what the call waited for its turn.
    """

    plan: Plan | None = None
    info: Mapping[str, object] | None = None
    values: Sequence[object] | None = None
    size: int = 0
    sha256: str = ""
    timings: Mapping[str, float] = {}


class WorkerLost(Exception):
    """What ran the call died in the middle; whether to try again is the caller's to decide."""


class Fault(Exception):
    """The processor failed with something that is no ProcessingError; `text` is its traceback."""

    def __init__(self, text: str) -> None:
        super().__init__(text.strip().rpartition("\n")[2])
        self.text = text


class Runner(ABC):
    """Has calls done; from many threads. Each call blocks its thread until it is done."""

    @abstractmethod
    def call(
        self,
        call: Call,
        source: Source | Folder,
        sinks: Sequence[int] = (),
        *,
        is_wanted: Callable[[], bool],
        progress: Callable[[Progress], None],
    ) -> Outcome:
        """Do it. `sinks` are descriptors of empty files, one for the output of each step.

        Raises what the processor raised, if it is a ProcessingError, and what reading the source
        raised; Busy when too much is waiting, Cancelled soon after `is_wanted` turned false,
        OverTime, Fault, WorkerLost.
        """

    @abstractmethod
    def close(self) -> None:
        """End all that runs. Closing twice is no error."""


def always() -> bool:
    """Say that it is wanted."""
    return True


def ignore(_progress: Any) -> None:  # noqa: ANN401 - whatever is told
    """Take no notice."""
