"""Folders below the processing mount: what they are, and what they list. Nothing is computed."""

import time
from collections.abc import Iterator, Mapping
from functools import partial

from processors.errors import OutOfRange
from processors.grammar.catalogue import Catalogue
from processors.grammar.pattern import Placeholder
from processors.grammar.template import Bound, Template
from processors.values import Layers
from providers.base import Entry, Kind
from vfs.tree.computed import Sees
from vfs.tree.derived_levels import Levels, cut, shown
from vfs.tree.derived_path import DerivedPath
from vfs.tree.derived_results import DerivedResults
from vfs.tree.steps import Steps


class DerivedFolders:
    """Knows the folders of a catalogue. All attributes are fixed."""

    def __init__(
        self, catalogue: Catalogue, steps: Steps, levels: Levels, results: DerivedResults
    ) -> None:
        self._catalogue = catalogue
        self._steps = steps
        self._levels = levels
        self._results = results
        self.began_ns = time.time_ns()

    def entry(self, found: DerivedPath, name: str, who: str) -> Entry:
        """Return the entry of a folder called `name`; NotFound, OutOfRange when there is none."""
        if found.template is None:
            return _folder(name, self.began_ns)
        source = self._levels.entry(found.template, found.bound)
        self._check_value(found, who)
        return _folder(name, source.mtime_ns)

    def members(self, found: DerivedPath, above: Entry, sees: Sees) -> Iterator[Entry]:
        """Yield what a folder holds. `above` is its entry."""
        template, bound = found.template, found.bound
        if template is None:
            for name in self._catalogue.names():
                if self._shows(name, sees):
                    yield _folder(name, self.began_ns)
        elif bound.inside is not None:
            yield from self._inside(found, above, sees)
        else:
            part = template.parts[bound.place]
            if isinstance(part, str):
                yield from self._named(part, found, bound.values, above)
            elif part.is_path:
                yield _folder("~", above.mtime_ns)
            else:
                yield from self._values(found, part, above, sees)

    def _inside(self, found: DerivedPath, above: Entry, sees: Sees) -> Iterator[Entry]:
        template, bound = found.whole, found.bound
        assert bound.inside is not None
        for entry in self._levels.inside(bound, sees):
            yield _folder(entry.name, entry.mtime_ns)
        below = "/".join(bound.inside)
        if self._steps.stat(f"/{below}").is_folder is template.takes_folder:
            path = next(part.name for part in template.placeholders if part.is_path)
            yield from self._named("~", found, {**bound.values, path: below}, above)

    def _shows(self, name: str, sees: Sees) -> bool:
        if self._catalogue.is_ready(name):
            return True
        return sees(self._catalogue.find(name).source_path({})[0])

    def _values(
        self, found: DerivedPath, part: Placeholder, above: Entry, sees: Sees
    ) -> Iterator[Entry]:
        template, bound = found.whole, found.bound
        asked = partial(self._results.asked, template, "")
        values = self._levels.values(template, bound, sees, asked)
        if values is None:
            return
        some, buckets = cut(values, bound.bucket)
        for name in buckets:
            yield _folder(name, above.mtime_ns)
        for value in some:
            yield from self._named(
                shown(part, value), found, {**bound.values, part.name: value}, above
            )

    def _named(
        self, name: str, found: DerivedPath, values: Mapping[str, object], above: Entry
    ) -> Iterator[Entry]:
        """Yield the folder of the next part; where it is the last, the results that are there."""
        template, place = found.whole, found.bound.place + 1
        if place < len(template.parts):
            yield _folder(name, above.mtime_ns)
            return
        for chosen in template.formats:
            bound = Bound(values=values, place=place, is_complete=True, format=chosen)
            entry = self._results.listed(DerivedPath(template=template, bound=bound))
            if entry is not None:
                yield entry

    def _check_value(self, found: DerivedPath, who: str) -> None:
        """Raise OutOfRange when the source has nothing at the last value of a level."""
        template, bound = found.whole, found.bound
        if found.source is None or bound.bucket is not None:
            return
        part, place = _last(template, bound)
        if part is None or part.name in template.source.names:
            return
        before = Bound(values=bound.values, place=place, is_complete=False)
        asked = partial(self._results.asked, template, who)
        values = self._levels.values(template, before, _everything, asked)
        value = bound.values[part.name]
        if isinstance(value, Layers):
            if len(value) > 1:
                return
            value = value.runs[0][0]
        if values is None or value in values:
            return
        first = {**bound.values, part.name: values[0]} if values else {}
        raise OutOfRange(
            f"{part.name}: the source has no {shown(part, value)}",
            asked=shown(part, value),
            limit=f"{shown(part, values[0])} to {shown(part, values[-1])}" if values else "none",
            example=template.path(Bound(values=first, place=place + 1, is_complete=False)),
        )


def _last(template: Template, bound: Bound) -> tuple[Placeholder | None, int]:
    """Return the last part of a level that has a value, and where it stands."""
    for place in range(bound.place - 1, -1, -1):
        part = template.parts[place]
        if isinstance(part, Placeholder):
            return part, place
    return None, 0


def _folder(name: str, mtime_ns: int) -> Entry:
    return Entry(name, Kind.FOLDER, 0, mtime_ns, f"level-{mtime_ns:x}")


def _everything(_path: str) -> bool:
    return True
