"""Parser: one path of a template, read segment by segment.

It never clamps and never guesses. What is wrong is told with one corrected example, for which the
rest of the path is read too.
"""

import difflib
import re

from processors.errors import BadValue
from processors.grammar import kinds
from processors.grammar.kinds import Kind
from processors.grammar.pattern import SEGMENTS_MAX, Placeholder
from processors.grammar.template import Bound, Template
from processors.values import Grid, Range

PATH_MAX = 2_048

BUCKET = re.compile(r"@(0|[1-9][0-9]{0,17})-([1-9][0-9]{0,17})")
"""A part of a long listing. It may stand before any value, and means nothing else."""

_RANGE = kinds.KINDS["range"]
_EXTENSION = re.compile(r"(.*[^.])\.([A-Za-z][A-Za-z0-9]{0,15})")


def parse(template: Template, segments: tuple[str, ...]) -> Bound:
    """Return what the segments behind the template's name say; BadValue."""
    length = sum(len(segment.encode("utf-8", "surrogateescape")) + 1 for segment in segments)
    if length > PATH_MAX:
        raise BadValue(
            "the path is too long",
            asked=f"{length} bytes",
            limit=f"{PATH_MAX} bytes",
            example=f"{template.name}/.help.txt",
        )
    if not segments:
        return _Reading(template).read((), "")
    *before, last = segments
    for extension in sorted(template.formats, key=len, reverse=True):
        stem = last.removesuffix(f".{extension}")
        if stem not in (last, ""):
            found = _attempt(template, (*before, stem), extension)
            if isinstance(found, Bound) and found.is_complete:
                return found
            whole = _attempt(template, segments, "")
            if isinstance(whole, Bound):
                return whole
            raise found if isinstance(found, BadValue) else whole
    whole = _attempt(template, segments, "")
    if isinstance(whole, Bound):
        return whole
    foreign = _EXTENSION.fullmatch(last)
    if foreign is not None:
        found = _attempt(template, (*before, foreign[1]), "")
        if isinstance(found, Bound) and found.is_complete:
            raise BadValue(
                f"the format {foreign[2]!r} is not offered",
                asked=foreign[2],
                limit=", ".join(template.formats),
                example=template.path(found),
            )
    raise whole


def _attempt(template: Template, segments: tuple[str, ...], extension: str) -> Bound | BadValue:
    try:
        return _Reading(template).read(segments, extension)
    except BadValue as error:
        return error


class _Reading:
    """One path while it is read.

    `_fault` is the first thing wrong, `_unknown` are values for which there is no sure example.
    """

    def __init__(self, template: Template) -> None:
        self._template = template
        self._values: dict[str, object] = {}
        self._place = 0
        self._inside: list[str] | None = None
        self._bucket: tuple[int, int] | None = None
        self._format = ""
        self._fault: BadValue | None = None
        self._unknown: set[str] = set()

    def read(self, segments: tuple[str, ...], extension: str) -> Bound:
        """Return what the segments say, or raise the first fault with an example."""
        self._format = extension
        count = 0
        for segment in segments:
            if self._inside is not None:
                self._go_inside(segment)
                continue
            count += 1
            if count > SEGMENTS_MAX:
                self._note(BadValue("it has too many segments", limit=f"{SEGMENTS_MAX}"))
                break
            bucket = BUCKET.fullmatch(segment)
            if bucket is not None and int(bucket[1]) < int(bucket[2]):
                self._bucket = (int(bucket[1]), int(bucket[2]))
                continue
            self._bucket = None
            self._items(segment.split(","))
        self._skip_named()
        bound = self._bound()
        if self._fault is not None:
            self._fault.example = self._example(bound)
            raise self._fault
        return bound

    def _bound(self) -> Bound:
        is_complete = self._place == len(self._template.parts) and self._inside is None
        return Bound(
            values=self._values,
            place=self._place,
            is_complete=is_complete,
            format=self._format or (self._template.formats[0] if is_complete else ""),
            inside=None if self._inside is None else tuple(self._inside),
            bucket=self._bucket,
        )

    def _go_inside(self, segment: str) -> None:
        assert self._inside is not None
        head, *rest = segment.split(",")
        if head != "~":
            self._inside.append(segment)
            return
        part = self._template.parts[self._place]
        assert isinstance(part, Placeholder)
        if not self._inside and not self._template.takes_folder:
            self._note(
                BadValue(
                    "the path between the two '~' is empty", limit="the path of a file or folder"
                )
            )
        self._values[part.name] = "/".join(self._inside)
        self._inside = None
        self._place += 1
        self._items(rest)

    def _items(self, items: list[str]) -> None:
        """Read the items of one segment: values in order, then values by name."""
        names = [item.partition("=")[0] for item in items]
        if sorted(names) == ["x", "y"] and "=" in items[0] and self._long_grid(items):
            return
        for item in items:
            name, equals, text = item.partition("=")
            if equals:
                self._named(name, text)
            else:
                self._positional(item)

    def _positional(self, text: str) -> None:
        self._skip_named()
        parts = self._template.parts
        if self._place == len(parts):
            self._note(
                BadValue(
                    f"{text[:80]!r} is more than the template takes: {self._template.pattern}",
                    asked=text[:80],
                    limit=self._template.pattern,
                )
            )
            return
        part = parts[self._place]
        if isinstance(part, str):
            if text != part:
                self._note(
                    BadValue(f"{part!r} must stand here, not {text[:80]!r}", asked=text[:80])
                )
            self._place += 1
        elif part.is_path:
            if text == "~":
                self._inside = []
                return
            self._note(
                BadValue(
                    f"a path between two segments '~' must stand here, not {text[:80]!r}",
                    asked=text[:80],
                    limit="~/PATH/~",
                )
            )
            self._unknown.add(part.name)
        else:
            self._set(part.name, part.kind, text)
            self._place += 1

    def _named(self, name: str, text: str) -> None:
        template = self._template
        if name == "format":
            if self._format:
                self._note(BadValue("the format is given twice", asked=f"format={text[:80]}"))
            elif text not in template.formats:
                offered = ", ".join(template.formats)
                self._note(BadValue(f"the format {text[:80]!r} is not offered", limit=offered))
            else:
                self._format = text
            return
        kind = template.kind(name)
        if kind is None or kind.name == "path":
            self._note(self._no_such(name))
        elif name in self._values:
            self._note(BadValue(f"{name!r} is given twice", asked=f"{name}={text[:80]}"))
        else:
            self._set(name, kind, text)

    def _no_such(self, name: str) -> BadValue:
        template = self._template
        known = [
            *(part.name for part in template.placeholders if not part.is_path),
            *template.options,
            "format",
        ]
        if any(name in fixed for fixed in template.fixed):
            return BadValue(f"{name!r} is fixed by the template", asked=name[:80])
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return BadValue(
            f"the template takes no {name[:80]!r}{hint}", asked=name[:80], limit=", ".join(known)
        )

    def _long_grid(self, items: list[str]) -> bool:
        """Read "x=0-1200,y=0-400" as the grid, if there is one and x and y mean nothing else."""
        template = self._template
        if template.kind("x") is not None or template.kind("y") is not None:
            return False
        grids = [
            name
            for name in (*(part.name for part in template.placeholders), *template.options)
            if (kind := template.kind(name)) is not None and kind.name == "grid"
        ]
        if len(grids) != 1 or grids[0] in self._values:
            return False
        spans = dict(item.split("=", 1) for item in items)
        kind = template.kind(grids[0])
        assert kind is not None
        try:
            x, y = _RANGE.parse(spans["x"]), _RANGE.parse(spans["y"])
        except BadValue as error:
            self._note(error)
            self._put_example(grids[0], kind, "")
            return True
        assert isinstance(x, Range)
        assert isinstance(y, Range)
        grid = Grid(x.start, x.stop, y.start, y.stop)
        self._values[grids[0]] = grid.turned if template.grid_order == "yyxx" else grid
        return True

    def _set(self, name: str, kind: Kind, text: str) -> None:
        try:
            self._values[name] = kind.parse(text)
        except BadValue as error:
            error.detail = f"{name}: {error.detail}"
            self._note(error)
            self._put_example(name, kind, error.example)

    def _put_example(self, name: str, kind: Kind, repaired: str) -> None:
        """Put a value that can stand where a wrong one was, if one is sure to be there."""
        text = repaired
        if not text and self._template.is_layer(name):
            text = str(self._template.layer_base)
        if not text and kind.name not in ("id", "date", "path"):
            text = kind.example
        if text:
            self._values[name] = kind.parse(text)
        else:
            self._unknown.add(name)

    def _note(self, fault: BadValue) -> None:
        if self._fault is None:
            self._fault = fault

    def _skip_named(self) -> None:
        """Go past the values that a name has given already."""
        parts = self._template.parts
        while self._place < len(parts):
            part = parts[self._place]
            if isinstance(part, str) or part.name not in self._values:
                return
            self._place += 1

    def _example(self, bound: Bound) -> str:
        """Return a path that is right, and as near as can be."""
        template = self._template
        if self._unknown or not bound.values:
            known = []
            for part in template.placeholders:
                if part.name in self._unknown or part.name not in bound.values:
                    break
                known.append(part.name)
            values = {name: bound.values[name] for name in known}
            if not values:
                return f"{template.name}/.help.txt"
            place = len(known)
            bound = Bound(values=values, place=place, is_complete=False)
        return template.path(bound)
