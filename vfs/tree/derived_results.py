"""Results: derived files, and the documents about them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from cache.result_file import ResultFile
from processors.base import Limits, Params, Plan
from processors.errors import (
    Busy,
    Cancelled,
    Crashed,
    NoResultSpace,
    OverTime,
    ProcessingError,
    SourceChanged,
)
from processors.grammar.derivation import Derivation, Step
from processors.grammar.template import Template
from processors.making.maker import Maker, Result
from providers.base import Entry, Kind, Reader
from providers.errors import NotFound
from vfs.tree import derived_documents as documents
from vfs.tree import paths
from vfs.tree.audience import audience
from vfs.tree.computed import Touch
from vfs.tree.derived_hits import DerivedHits, Hit
from vfs.tree.derived_levels import Levels
from vfs.tree.derived_path import DerivedPath
from vfs.tree.derived_reader import DerivedReader, MadeReader, Remarks, Told
from vfs.tree.derived_source import Origin, origin_of
from vfs.tree.steps import Steps

_TRIES = 3
"""A result that is evicted before it is opened is made again, so often."""


class DerivedResults:
    """Names derived files exactly and has them made. All attributes are fixed.

    `hits` opens those that were found before, at a fraction of what it takes to name one.
    """

    def __init__(
        self, maker: Maker, steps: Steps, levels: Levels, *, mount: str, limits: Limits
    ) -> None:
        self._maker = maker
        self._steps = steps
        self._levels = levels
        self._mount = mount
        self._limits = limits
        self.hits = DerivedHits(maker, steps)

    def derivation(self, found: DerivedPath) -> tuple[Derivation, Origin]:
        """Return what names the result of a path, and its source as it is now."""
        template = found.whole
        source = found.source
        assert source is not None
        with explained(found):
            steps = found.steps
        origin = self._origin(template, source)
        derivation = Derivation(
            template=template.name,
            template_digest=template.digest,
            canonical=found.canonical,
            source=source,
            source_version=origin.version,
            steps=steps,
        )
        return derivation, origin

    def open(
        self,
        found: DerivedPath,
        path: str,
        who: str,
        refusing: Callable[[], AbstractContextManager[None]],
    ) -> Reader:
        """Return a reader of what was `found` at `path`.

        A file that is not there is made later, and planned if it is asked about; `refusing` stands
        around that, for its errors.
        """
        name = paths.basename(f"/{path}")
        derivation, origin = self.derivation(found)

        def make() -> tuple[ResultFile, Remarks]:
            with refusing():
                return self._make(found, derivation, origin, who)

        def foresee() -> Told | None:
            with refusing():
                output = self._plan(found, derivation, origin, who).output
            return None if output.size is None else (output.size, output.media_type)

        def describe(told: Told) -> Entry:
            return _entry(name, derivation, origin, *told)

        file = self._maker.find(derivation)
        if file is None:
            return DerivedReader(
                self._remarks(derivation), make, foresee, describe, self._maker.variants
            )
        remarks = self._remarks(derivation, file, "hit")
        entry = describe((file.record.size, file.record.media_type))
        touches = (Touch(origin.path, is_read=True),)
        self.hits.put(path, Hit(derivation, origin, file.record, entry, remarks, touches))
        return MadeReader(entry, remarks, file, self._maker.variants)

    def plan(self, found: DerivedPath, who: str) -> Plan:
        """Return what a result takes and gives; nothing is made."""
        derivation, origin = self.derivation(found)
        return self._plan(found, derivation, origin, who)

    def listed(self, found: DerivedPath) -> Entry | None:
        """Return the entry of a result that is there already."""
        derivation, origin = self.derivation(found)
        made = self._maker.cached(derivation)
        if made is None:
            return None
        name = paths.basename(f"/{derivation.canonical}")
        return _entry(name, derivation, origin, made.size, made.media_type)

    def remake(self, found: DerivedPath, who: str) -> Result:
        """Make a result once more."""
        derivation, origin = self.derivation(found)
        with explained(found):
            return self._compute(derivation, origin, who, fresh=True)

    def made(self, found: DerivedPath, who: str) -> tuple[Derivation, Result]:
        """Return a result, made if it is not there."""
        derivation, origin = self.derivation(found)
        with explained(found):
            return derivation, self._compute(derivation, origin, who)

    def purge(self, found: DerivedPath) -> None:
        """Forget a result."""
        self._maker.purge(self.derivation(found)[0])

    def asked(
        self, template: Template, who: str, name: str, source: str
    ) -> Sequence[object] | None:
        """Return which values a parameter can have for a source, None if any."""
        field = template.fields.get(name)
        if field is None or field.step:
            return None
        origin = self._origin(template, source)
        return self._maker.questions.values(
            _first(template), name, origin.open, source=source, version=origin.version, who=who
        )

    def document(self, found: DerivedPath, name: str, who: str) -> tuple[bytes, int]:
        """Return a document called `name` about a result, and when it was changed."""
        derivation, origin = self.derivation(found)
        match found.document:
            case ".cost.json":
                text = documents.dumped(self._cost(found, derivation, origin, who))
            case ".prov.json":
                provenance = self._maker.provenance(derivation)
                if provenance is None:
                    raise NotFound(detail="it has not been made yet; read it first")
                text = documents.provenance_of(provenance)
            case _:
                with explained(found):
                    result = self._compute(derivation, origin, who)
                text = f"{result.sha256}  {name.removesuffix('.sha256')}\n".encode()
        return text, origin.mtime_ns

    def info(self, found: DerivedPath, who: str) -> tuple[bytes, int]:
        """Return what is worth knowing at a level, and when that was changed."""
        template = found.whole
        told = documents.info_of(template, found.bound, self._limits)
        source = found.source
        if source is None:
            entry = self._levels.entry(template, found.bound)
            return documents.dumped(told), entry.mtime_ns
        origin = self._origin(template, source)
        with explained(found):
            told["content"] = self._maker.questions.info(
                _first(template), origin.open, source=source, version=origin.version, who=who
            )
        told["source"] = origin.about
        return documents.dumped(told), origin.mtime_ns

    def _plan(self, found: DerivedPath, derivation: Derivation, origin: Origin, who: str) -> Plan:
        with explained(found):
            return self._maker.questions.plan(derivation, origin.open, who=who)

    def _cost(
        self, found: DerivedPath, derivation: Derivation, origin: Origin, who: str
    ) -> Mapping[str, object]:
        made = self._maker.cached(derivation)
        plan: Plan | ProcessingError
        try:
            plan = self._plan(found, derivation, origin, who)
        except ProcessingError as error:
            plan = error
        return documents.cost_of(
            derivation.canonical,
            plan,
            cached_bytes=None if made is None else made.size,
            source=origin.about,
        )

    def _make(
        self, found: DerivedPath, derivation: Derivation, origin: Origin, who: str
    ) -> tuple[ResultFile, Remarks]:
        """Return the file of a result that was not there, and what is remarked of it."""
        for _ in range(_TRIES):
            waits = self._maker.is_making(derivation)
            with explained(found):
                result = self._compute(derivation, origin, who)
            try:
                file = self._maker.open(result)
            except FileNotFoundError:
                continue  # it was evicted at this moment
            return file, self._remarks(derivation, file, "wait" if waits else "miss")
        raise NoResultSpace("it is evicted as soon as it is made", limit="processing.size_bytes")

    def _compute(
        self, derivation: Derivation, origin: Origin, who: str, *, fresh: bool = False
    ) -> Result:
        """Have a result made for whoever this thread works for, and only as long as he waits."""
        here = audience()
        with here.blocked():
            return self._maker.make(
                derivation,
                origin.open,
                who=who,
                fresh=fresh,
                is_wanted=here.is_wanted,
                progress=here.progress,
                in_background=here.in_background,
            )

    def _remarks(
        self, derivation: Derivation, file: ResultFile | None = None, cache: str = ""
    ) -> Remarks:
        remarks = {"canonical": paths.join(self._mount, derivation.canonical)}
        if file is not None:
            remarks |= {"cache": cache, "provenance": str(file.record.about.get("id", ""))}
            if cache != "hit":
                remarks["timing"] = _timing(file.record.timings)
        return remarks

    def _origin(self, template: Template, source: str) -> Origin:
        entry = self._levels.source(template, source)
        return origin_of(
            self._steps, entry, source, limit=self._limits.members, without=self._mount
        )


_PASSING = (Busy, Cancelled, Crashed, NoResultSpace, OverTime, SourceChanged)
"""Of these no other path is a way out."""


@contextmanager
def explained(found: DerivedPath) -> Iterator[None]:
    """Make a whole path of what a processor gives as a corrected example.

    The error is another one then: many who wait may be raised the same.
    """
    try:
        yield
    except ProcessingError as error:
        template = found.whole
        example = template.corrected(found.bound, error)
        if not example and not isinstance(error, _PASSING):
            example = f"{template.name}/.help.txt"
        raise error.copied(example=example) from error


def _entry(name: str, derivation: Derivation, origin: Origin, size: int, media_type: str) -> Entry:
    return Entry(name, Kind.FILE, size, origin.mtime_ns, derivation.key, media_type)


def _first(template: Template) -> tuple[Step, ...]:
    """Return the first step without parameters, for questions about a source."""
    processor = template.chain[0]
    return (Step(processor.name, processor.version, Params()),)


def _timing(timings: Mapping[str, float]) -> str:
    """Return the phases as Server-Timing has them, in milliseconds."""
    return ", ".join(
        f"{name};dur={seconds * 1000:.2f}" for name, seconds in sorted(timings.items())
    )
