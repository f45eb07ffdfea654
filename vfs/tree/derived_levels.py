"""Levels: the folders below the processing mount, and which values they hold.

Listing computes nothing. Values come from the names that match the pattern of the source, and
from the header of the source. A long level is cut into buckets; so a folder holds some 500 names.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from processors.errors import BadValue
from processors.grammar import kinds
from processors.grammar.pattern import Placeholder
from processors.grammar.template import Bound, Template
from providers.base import Entry
from providers.errors import NotADirectory, NotFound
from vfs.tree import paths
from vfs.tree.computed import NO_SOURCE, Sees
from vfs.tree.steps import Steps

NAMES_MAX = 500
"""Names in one folder, before they are cut into buckets."""
VALUES_MAX = 100_000
"""Different values of one level that are looked at."""

Asked = Callable[[str, str], Sequence[object] | None]
"""Returns which values the parameter of a name can have for the source at a path."""


class Levels:
    """Finds the values of levels. All attributes are fixed."""

    def __init__(self, steps: Steps, mount: str) -> None:
        self._steps = steps
        self._mount = mount

    def entry(self, template: Template, bound: Bound) -> Entry:
        """Return the entry of what a level leads to; NotFound when there is nothing like it."""
        try:
            if bound.inside is not None:
                return self._inside(bound)
            path, rest = template.source_path(bound.values)
            if not rest:
                return self.source(template, path)
            entry = self._steps.stat(path)
            is_begun = any(_is_within(template, bound, name) for name in bound.values)
            is_there = not is_begun or next(self._matching(template, bound), None) is not None
        except (NotFound, NotADirectory) as error:
            raise NotFound(detail=NO_SOURCE) from error
        if not (entry.is_folder and is_there):
            raise NotFound(detail=NO_SOURCE)
        return entry

    def source(self, template: Template, path: str) -> Entry:
        """Return the entry of a source; NotFound, or BadValue when it is of the wrong sort."""
        try:
            entry = self._steps.stat(path)
        except (NotFound, NotADirectory) as error:
            raise NotFound(detail=NO_SOURCE) from error
        if entry.is_folder is not template.takes_folder:
            takes, found = ("folder", "file") if template.takes_folder else ("file", "folder")
            raise BadValue(
                f"the template {template.name!r} takes a {takes}, and {path} is a {found}",
                asked=path,
                limit=f"a {takes}",
                example=f"{template.name}/.help.txt",
            )
        return entry

    def values(
        self, template: Template, bound: Bound, sees: Sees, asked: Asked
    ) -> Sequence[object] | None:
        """Return the values that the next part of the pattern can have, None if any."""
        part = template.parts[bound.place]
        assert isinstance(part, Placeholder)
        if part.name in template.source.names:
            return self._from_store(template, bound, part, sees)
        if part.kind.choices:
            return [part.kind.parse(choice) for choice in part.kind.choices]
        source, rest = template.source_path(bound.values)
        if rest:
            return None
        found = asked(part.name, source)
        if found is None:
            return None
        return template.values_of(part.name, _parsed(part, found))

    def inside(self, bound: Bound, sees: Sees) -> Iterator[Entry]:
        """Yield what lies between the two "~": folders, and files that look like folders."""
        assert bound.inside is not None
        path = "/" + "/".join(bound.inside)
        if not self._steps.stat(path).is_folder:
            return
        for entry in self._steps.members(path):
            place = paths.join(path, entry.name)
            if place != self._mount and sees(place) and entry.name != "~":
                yield entry

    def _inside(self, bound: Bound) -> Entry:
        assert bound.inside is not None
        path = "/" + "/".join(bound.inside)
        if paths.is_within(path, self._mount):
            raise NotFound(path)
        return self._steps.stat(path)

    def _from_store(
        self, template: Template, bound: Bound, part: Placeholder, sees: Sees
    ) -> Sequence[object] | None:
        _, rest = template.source_path(bound.values)
        if f"{{{part.name}}}" not in rest:
            return None
        found: set[object] = set()
        for match, place in self._matching(template, bound):
            try:
                value = part.kind.parse(match[part.name])
            except BadValue:
                continue
            if sees(place):
                found.add(value)
            if len(found) >= VALUES_MAX:
                break
        return sorted(found, key=_order)

    def _matching(self, template: Template, bound: Bound) -> Iterator[tuple[re.Match[str], str]]:
        """Yield the names in the store that the next segment of the source can be."""
        folder, rest = template.source_path(bound.values)
        kind_of = {part.name: part.kind for part in template.placeholders}
        pattern = ""
        seen: set[str] = set()
        for piece in rest:
            name = piece[1:-1]
            if piece not in _open(rest):
                pattern += re.escape(piece)
            elif name in seen:
                pattern += f"(?P={name})"
            else:
                seen.add(name)
                pattern += f"(?P<{name}>{kind_of[name].spelling})"
        depth = len(paths.relative(folder, paths.ROOT).split("/")) if folder != paths.ROOT else 0
        is_last = depth + 1 == len(template.source.segments)
        wants_folder = template.takes_folder if is_last else True
        form = re.compile(pattern, re.ASCII)
        for entry in self._steps.members(folder):
            match = form.fullmatch(entry.name)
            if match is not None and entry.is_folder is wants_folder:
                yield match, paths.join(folder, entry.name)


def cut(
    values: Sequence[object], bucket: tuple[int, int] | None
) -> tuple[Sequence[object], list[str]]:
    """Return what a folder shows of `values`: some of them, or the names of buckets."""
    start, stop = bucket or (0, len(values))
    stop = min(stop, len(values))
    count = max(0, stop - start)
    if count <= NAMES_MAX:
        return values[start:stop], []
    step = NAMES_MAX
    while count > step * NAMES_MAX:
        step *= NAMES_MAX
    return (), [f"@{at}-{min(at + step, stop)}" for at in range(start, stop, step)]


def _parsed(part: Placeholder, found: Sequence[object]) -> Sequence[object]:
    """Return values as they came from a worker, as the pattern's own kind has them."""
    if isinstance(found, range):
        return found
    return [value if isinstance(value, int) else part.kind.parse(str(value)) for value in found]


def shown(part: Placeholder, value: object) -> str:
    """Return the name of a value in a listing."""
    return kinds.shown(value) if isinstance(value, int) else part.kind.show(value)


def _open(rest: Sequence[str]) -> frozenset[str]:
    return frozenset(piece for piece in rest if piece.startswith("{"))


def _is_within(template: Template, bound: Bound, name: str) -> bool:
    """Tell whether a bound value is part of the first segment that is not whole."""
    path, _ = template.source_path(bound.values)
    depth = 0 if path == paths.ROOT else path.count("/")
    return f"{{{name}}}" in template.source.segments[depth]


def _order(value: object) -> tuple[str, object]:
    return (type(value).__name__, value)
