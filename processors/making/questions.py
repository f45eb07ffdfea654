"""Questions: what the headers of a source tell, found out once for all who ask."""

import mimetypes
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from cache.single import Flights
from processors.base import Limits, Output, Plan
from processors.grammar.derivation import Derivation, Step
from processors.making.asking import Asking
from processors.making.order import OpenSource
from processors.making.remembered import Remembered
from processors.work.runner import Call, Kind, Outcome
from processors.work.wire import identity_of

_PLANS_MAX = 10_000
_FACTS_MAX = 1000
_T = TypeVar("_T")


class Questions:
    """Asks processors what they would do and what they know. Everything guards itself.

    `plans` has what is known of results by their keys; who makes one puts its plan there.
    """

    def __init__(self, asking: Asking, limits: Limits) -> None:
        self.plans: Remembered[Plan] = Remembered(_PLANS_MAX)
        self._asking = asking
        self._limits = limits
        # Between threads alone: a question asked by two processes is answered twice.
        self._flights = Flights(-1)
        self._facts: Remembered[Mapping[str, object]] = Remembered(_FACTS_MAX)
        self._lists: Remembered[tuple[Sequence[object] | None]] = Remembered(_FACTS_MAX)

    def plan(self, derivation: Derivation, open_source: OpenSource, *, who: str = "") -> Plan:
        """Return what the file takes and gives, found out from headers alone.

        Of several steps the first is planned; what the last one gives only the computation tells.
        """

        def ask() -> Plan:
            call = self._call("plan", derivation.steps, who, derivation.source)
            plan = self._ask(derivation.key, call, open_source, derivation.source_version).plan
            assert plan is not None
            if len(derivation.steps) > 1:
                last = derivation.steps[-1]
                plan = msgspec.structs.replace(plan, outputs=(Output(media_type=_media(last)),))
            return plan

        return self._once(self.plans, derivation.key, ask)

    def info(
        self,
        steps: Sequence[Step],
        open_source: OpenSource,
        *,
        source: str = "",
        version: str = "",
        who: str = "",
    ) -> Mapping[str, object]:
        """Return what the first processor tells of a source.

        Remembered where `source`, its path, and `version` are given; then nothing is opened.
        """
        step = steps[0]
        key = repr(("info", step.processor, step.version, source, version))

        def ask() -> Mapping[str, object]:
            call = self._call("info", steps, who, source)
            return self._ask(key, call, open_source, version).info or {}

        return self._once(self._facts, key, ask) if source else ask()

    def values(
        self,
        steps: Sequence[Step],
        name: str,
        open_source: OpenSource,
        *,
        source: str = "",
        version: str = "",
        who: str = "",
    ) -> Sequence[object] | None:
        """Return which values the parameter `name` of the first step can have, None for any.

        Remembered as `info` is. At most 10,000, but for a range.
        """
        step = steps[0]
        key = repr(("values", step.processor, step.version, name, source, version))

        def ask() -> tuple[Sequence[object] | None]:
            call = msgspec.structs.replace(self._call("values", steps, who, source), name=name)
            return (self._ask(key, call, open_source, version).values,)

        return (self._once(self._lists, key, ask) if source else ask())[0]

    def _call(self, kind: Kind, steps: Sequence[Step], who: str, identity: str) -> Call:
        return Call(
            kind=kind,
            steps=steps,
            limits=self._limits,
            seconds=self._limits.seconds,
            who=who,
            identity=identity,
        )

    def _once(self, remembered: Remembered[_T], key: str, ask: Callable[[], _T]) -> _T:
        """Return what is remembered, or ask for it: one thread of all that want it."""
        block = int(identity_of(key)[:15], 16)
        while True:
            found = remembered.get(key)
            if found is not None:
                return found
            flight, is_own = self._flights.claim(block, block)
            if not is_own:
                error = flight.wait(block)
                if error is not None:
                    raise error
                continue
            error = None
            try:
                found = ask()
                remembered.put(key, found)
            except Exception as failed:
                error = failed
                raise
            else:
                return found
            finally:
                self._flights.land(flight, error)

    def _ask(self, key: str, call: Call, open_source: OpenSource, version: str) -> Outcome:
        return self._asking.ask(key, call, open_source, version=version)


def _media(step: Step) -> str:
    """Return the media type of a format that only computing will tell for sure."""
    return mimetypes.guess_type(f"x.{step.params.format}")[0] or "application/octet-stream"
