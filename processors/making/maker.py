"""Maker: gives each derived file its bytes, once, however many ask for it."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping

import msgspec

from cache.errors import ResultsFull
from cache.result_file import ResultFile, ResultRecord
from cache.results import Draft, Results
from cache.variants import Variants
from processors.base import Limits, Plan
from processors.errors import Cancelled, Crashed, NoResultSpace, OverTime
from processors.grammar.derivation import Derivation
from processors.making.asking import Asking
from processors.making.interest import Interest
from processors.making.order import OpenSource, Order, record_of, told_of
from processors.making.provenance import Provenance
from processors.making.questions import Questions
from processors.work.runner import Call, Outcome, Progress, Runner, always, ignore


def _nothing(_key: str) -> None:
    """Recall nothing."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A derived file that is there. `made_at_ns` is Unix time, `timings` are seconds by phase."""

    key: str
    size: int
    sha256: str
    media_type: str
    made_at_ns: int
    provenance: str
    """The id of its Provenance."""
    timings: Mapping[str, float] = {}

    @property
    def file(self) -> str:
        """Its name in the results store."""
        return self.key


class Maker:
    """Makes derived files through a Runner and keeps them in Results. Everything guards itself.

    `record` is given the Provenance of each computation, in the thread that asked: it must not take
    long. `recall` returns that of a key whose file is gone. `variants` has files in other codings,
    `questions` what is known before one is made. Results and Runner are the caller's; `close`
    closes the Runner.
    """

    def __init__(
        self,
        results: Results,
        runner: Runner,
        *,
        limits: Limits,
        record: Callable[[Provenance], None] = ignore,
        recall: Callable[[str], Provenance | None] = _nothing,
    ) -> None:
        self.limits = limits
        self._results = results
        self.variants = Variants(results)
        self._runner = runner
        self._record = record
        self._recall = recall
        self._asking = Asking(runner)
        self._interest = Interest()
        self.questions = Questions(self._asking, limits)

    def find(self, derivation: Derivation, *, now: bool = False) -> ResultFile | None:
        """Open the file if it is there, and mark it as used; with `now` only if it is open."""
        return self._results.get(derivation.key, now=now)

    def cached(self, derivation: Derivation) -> Result | None:
        """Return the file if it is there, and mark it as used."""
        return self._look(derivation.key)

    def make(
        self,
        derivation: Derivation,
        open_source: OpenSource,
        *,
        who: str,
        fresh: bool = False,
        is_wanted: Callable[[], bool] = always,
        progress: Callable[[Progress], None] = ignore,
        in_background: bool = False,
    ) -> Result:
        """Return the file, made now if it is not there, or if it shall be made `fresh`.

        However many ask at once, in this process and others, one computes and the others wait for
        it. Raises what computing raised, to all who wait; Cancelled when `is_wanted` turns false,
        and the computation ends when that is so for all. `progress` is told how far it is. What is
        made `in_background` may take `limits.seconds_background`.
        """
        key = derivation.key
        order = Order(derivation, open_source, who, in_background)
        began_ns = time.time_ns()

        def usable() -> Result | None:
            found = self._look(key)
            return None if fresh and found and found.made_at_ns < began_ns else found

        with self._interest.of(key, is_wanted, progress):
            while True:
                # Looked for only once it is claimed: who asks has looked before.
                made, error, is_own = self._fly(order, is_wanted, usable)
                if made is not None:
                    return made
                if isinstance(error, Cancelled) and is_wanted():
                    continue  # the others left at the moment when this one came
                if isinstance(error, OverTime) and in_background and not is_own:
                    continue  # it was another's time that was over
                if error is not None:
                    raise error
                found = usable()
                if found is not None:
                    return found

    def open(self, result: Result) -> ResultFile:
        """Open a file; FileNotFoundError when it was evicted meanwhile and must be made again."""
        file = self._results.get(result.key)
        if file is None:
            raise FileNotFoundError(result.key)
        return file

    def is_making(self, derivation: Derivation) -> bool:
        """Tell whether somebody in this process waits for a file that is being made."""
        return self._interest.has(derivation.key)

    def purge(self, derivation: Derivation) -> bool:
        """Remove one file and what is remembered of it; tell whether there was one."""
        self.questions.plans.drop(derivation.key)
        return self._results.purge(derivation.key)

    def purge_under(self, template: str, canonical_prefix: str) -> int:
        """Remove the files of a template at a path and below; return how many there were."""
        return self._results.purge_under(template, canonical_prefix)

    def provenance(self, derivation: Derivation) -> Provenance | None:
        """Return how the file came to be that is there, or was."""
        file = self._results.get(derivation.key)
        if file is None:
            return self._recall(derivation.key)
        with file:
            return msgspec.convert(file.record.about, Provenance)

    def close(self) -> None:
        """End what runs."""
        self._runner.close()

    def _fly(
        self,
        order: Order,
        is_wanted: Callable[[], bool],
        usable: Callable[[], Result | None],
    ) -> tuple[Result | None, Exception | None, bool]:
        """Compute, or wait for who does.

        Return what was made, what prevented it, and whether it was this one's to make.
        """
        key = order.derivation.key
        block = int(key[:15], 16)
        made: Result | None = None

        def look() -> None:
            if not is_wanted():
                raise Cancelled

        def is_there(_block: int) -> bool:
            if not self._interest.is_wanted(key):
                raise Cancelled
            nonlocal made
            made = usable()
            return made is not None

        flights = self._results.flights
        flight, is_own = flights.claim(block, block)
        if not is_own:
            return None, flight.wait(block, look=look), False
        error: Exception | None = None
        try:
            if flights.take_off(flight, is_there):
                made = self._compute(order)
        except Exception as failed:  # noqa: BLE001 - it is raised by all who wait
            error = failed
        except BaseException:
            flights.land(flight, Cancelled())
            raise
        flights.land(flight, error)
        return made, error, True

    def _compute(self, order: Order) -> Result:
        derivation = order.derivation
        plan = self.questions.plans.get(derivation.key)
        size = plan.output.size if plan is not None else None
        try:
            with contextlib.ExitStack() as stack:
                draft = stack.enter_context(
                    self._results.begin(
                        derivation.key,
                        size=size,
                        group=derivation.template,
                        place=derivation.canonical,
                    )
                )
                between: list[int] = []
                stack.callback(_close_all, between)
                between += [self._results.scratch() for _ in derivation.steps[1:]]
                began = time.perf_counter()
                plan, outcome = self._run(order, plan, draft, between)
                took = time.perf_counter() - began
                timings = {**outcome.timings, "total": took}
                told = told_of(order, plan, msgspec.structs.replace(outcome, timings=timings))
                record = record_of(told)
                draft.commit(record)
        except ResultsFull as error:
            raise NoResultSpace(str(error)) from error
        except NoResultSpace:
            # A worker met the full disk.
            self._results.budget.is_due.set()
            raise
        self._record(told)
        return _result(record)

    def _run(
        self, order: Order, plan: Plan | None, draft: Draft, between: list[int]
    ) -> tuple[Plan, Outcome]:
        """Fill the draft, and check it against its plan."""
        derivation = order.derivation
        key, limits = derivation.key, self.limits
        is_alone = len(derivation.steps) == 1
        call = Call(
            kind="run",
            steps=derivation.steps,
            limits=limits,
            seconds=limits.seconds_background if order.in_background else limits.seconds,
            who=order.who,
            identity=derivation.source,
            in_background=order.in_background,
            is_planned=plan is not None and is_alone,
        )
        outcome = self._asking.ask(
            key,
            call,
            order.open_source,
            version=derivation.source_version,
            draft=draft,
            between=between,
            is_wanted=lambda: self._interest.is_wanted(key),
            progress=lambda progress: self._interest.tell(key, progress),
        )
        plan = outcome.plan or plan
        assert plan is not None
        size = draft.size
        if size != outcome.size or plan.output.size not in (None, size):
            raise Crashed(f"{size} bytes were written where {plan.output.size} were planned")
        if is_alone:
            self.questions.plans.put(key, plan)
        return plan, outcome

    def _look(self, key: str) -> Result | None:
        file = self._results.get(key)
        if file is None:
            return None
        with file:
            return _result(file.record)


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _result(record: ResultRecord) -> Result:
    return Result(
        key=record.key,
        size=record.size,
        sha256=record.sha256,
        media_type=record.media_type,
        made_at_ns=record.made_at_ns,
        provenance=str(record.about.get("id", "")),
        timings=record.timings,
    )
