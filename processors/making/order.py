"""Order: one derived file to make, for whom, and what is told of it afterwards."""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeAlias

import msgspec

from cache.result_file import ResultRecord
from processors.base import Folder, Plan, Source
from processors.grammar.derivation import Derivation, Step
from processors.making.provenance import Provenance, ProvenanceStep
from processors.work.runner import Outcome

OpenSource: TypeAlias = Callable[[], AbstractContextManager[Source | Folder]]
"""Opens the source in the gateway's process, pinned to one version."""


class Order(NamedTuple):
    """One file to make, and for whom."""

    derivation: Derivation
    open_source: OpenSource
    who: str
    in_background: bool


def told_of(order: Order, plan: Plan, outcome: Outcome) -> Provenance:
    """Return how the file of an order came to be, just now."""
    derivation = order.derivation
    made_at_ns = time.time_ns()
    return Provenance(
        id=f"{made_at_ns:016x}{random.getrandbits(64):016x}",
        key=derivation.key,
        template=derivation.template,
        template_digest=derivation.template_digest,
        canonical=_shown(derivation.canonical),
        source=_shown(derivation.source),
        source_version=derivation.source_version,
        steps=tuple(
            ProvenanceStep(step.processor, step.version, _plain(step)) for step in derivation.steps
        ),
        media_type=plan.output.media_type,
        size=outcome.size,
        sha256=outcome.sha256,
        who=order.who,
        made_at_ns=made_at_ns,
        timings=outcome.timings,
    )


def record_of(told: Provenance) -> ResultRecord:
    """Return what the results store keeps beside the bytes."""
    return ResultRecord(
        key=told.key,
        size=told.size,
        sha256=told.sha256,
        media_type=told.media_type,
        made_at_ns=told.made_at_ns,
        timings=told.timings,
        about=msgspec.to_builtins(told),
    )


def _shown(path: str) -> str:
    """Return a path as text that can be told: a name on disk may be no valid Unicode."""
    return path.encode("utf-8", "backslashreplace").decode()


def _plain(step: Step) -> Mapping[str, Any]:
    plain = msgspec.to_builtins(step.params, enc_hook=str, str_keys=True)
    assert isinstance(plain, dict)
    return plain
