"""Template: a path pattern, bound to a source and to a chain of processors.

A template knows what its paths mean: which source and which parameters a path stands for, and the
one canonical path of a request. `parser` reads paths, `compiling` makes templates.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from processors.base import Processor
from processors.errors import BadValue, ProcessingError
from processors.grammar import kinds
from processors.grammar.derivation import Step
from processors.grammar.kinds import Kind
from processors.grammar.pattern import Part, Placeholder, SourcePattern
from processors.values import Grid, Layers


class TemplateText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template: which files it makes from which source, and how. The table's name is its name."""

    path: str
    """The values of its paths, in order, each as `{name:kind}`; see docs/howto/derived-files.md."""
    source: str
    """The path of the source in the namespace, with values as `{name}`."""
    run: tuple[str, ...]
    """The processors, in order; each takes what the one before it gives."""
    params: Mapping[str, Any] = MappingProxyType({})
    """A table of parameters that no path can change; a table within it is of one processor."""
    formats: tuple[str, ...] = ()
    """The extensions it offers; all that the last processor can make by default."""
    format: str = ""
    """The format of a path without an extension; the first of `formats` by default."""
    grid_order: Literal["xxyy", "yyxx"] = "xxyy"
    """Whether a grid is written x0-x1-y0-y1 or y0-y1-x0-x1."""
    layer_base: Literal[0, 1] = 0
    """The number of the first layer."""


class Field(msgspec.Struct, frozen=True):
    """One parameter of the chain: which step takes it, of what kind, and what it is without."""

    step: int
    kind: Kind
    default: object = msgspec.NODEFAULT
    doc: str = ""

    @property
    def is_required(self) -> bool:
        """Tell whether it has no default."""
        return self.default is msgspec.NODEFAULT


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """What a path says so far. Values are as they are written, before any switch applies.

    `place` is the first part that has no value yet; `inside` are the segments of a source path that
    is not closed. `bucket` is the part of a long listing that is asked for.
    """

    values: Mapping[str, object]
    place: int
    is_complete: bool
    format: str = ""
    inside: tuple[str, ...] | None = None
    bucket: tuple[int, int] | None = None


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """One template. `fixed` are parameters by step that no path can change."""

    name: str
    text: TemplateText
    parts: tuple[Part, ...]
    source: SourcePattern
    chain: tuple[Processor, ...]
    fields: Mapping[str, Field]
    fixed: tuple[Mapping[str, object], ...]
    formats: tuple[str, ...]
    digest: str

    @property
    def grid_order(self) -> str:
        """How a grid is written."""
        return self.text.grid_order

    @property
    def layer_base(self) -> int:
        """The number of the first layer."""
        return self.text.layer_base

    @property
    def placeholders(self) -> Iterator[Placeholder]:
        """The values of the pattern, in order."""
        return (part for part in self.parts if isinstance(part, Placeholder))

    @property
    def pattern(self) -> str:
        """The pattern, as people read it."""
        return "/".join(map(str, self.parts))

    @property
    def options(self) -> dict[str, Field]:
        """The parameters that can only be given by name."""
        positional = {part.name for part in self.placeholders}
        return {
            name: field
            for name, field in self.fields.items()
            if name not in positional and name not in self.fixed[field.step]
        }

    @property
    def takes_folder(self) -> bool:
        """Tell whether the source is a folder."""
        return self.chain[0].takes_folder

    def kind(self, name: str) -> Kind | None:
        """Return the kind of a value that a path can give, or None."""
        for part in self.placeholders:
            if part.name == name:
                return part.kind
        option = self.options.get(name)
        return None if option is None else option.kind

    def source_path(self, values: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
        """Return the source of a request, as far as `values` tell it: see SourcePattern.fill."""
        kind_of = {part.name: part.kind for part in self.placeholders}
        texts = {
            name: kind_of[name].show(value) for name, value in values.items() if name in kind_of
        }
        return self.source.fill(texts)

    def path(self, bound: Bound) -> str:
        """Return the canonical path below the mount of what `bound` says."""
        segments = [self.name]
        for part in self.parts:
            if isinstance(part, str):
                segments.append(part)
            elif part.name not in bound.values:
                break
            elif part.is_path:
                segments += ["~", *filter(None, [str(bound.values[part.name])]), "~"]
            else:
                segments.append(part.kind.show(bound.values[part.name]))
        if bound.inside is not None:
            segments += ["~", *bound.inside]
        if not bound.is_complete:
            return "/".join(segments)
        for name, field in sorted(self.options.items()):
            if name in bound.values:
                value = bound.values[name]
                if self._given(name, value) != field.default:
                    segments[-1] += f",{name}={field.kind.show(value)}"
        extension = f".{bound.format}" if bound.format not in ("", self.formats[0]) else ""
        return "/".join(segments) + extension

    def steps(self, bound: Bound) -> tuple[Step, ...]:
        """Return the chain with the parameters of a complete request; BadValue."""
        given: list[dict[str, object]] = [dict(fixed) for fixed in self.fixed]
        for name, value in bound.values.items():
            field = self.fields.get(name)
            if field is not None:
                given[field.step][name] = self._given(name, value)
        last = len(self.chain) - 1
        steps = []
        for place, processor in enumerate(self.chain):
            chosen = bound.format or self.formats[0] if place == last else processor.formats[0]
            try:
                params = processor.params(**given[place], format=chosen)
                # Bounds that a type states in its annotation hold too.
                msgspec.convert(msgspec.to_builtins(params), processor.params)
            except msgspec.ValidationError as error:
                raise BadValue(str(error)) from error
            steps.append(Step(processor.name, processor.version, params))
        return tuple(steps)

    def corrected(self, bound: Bound, error: ProcessingError) -> str:
        """Return the path that a processor's example means; "" when it means none.

        A processor names parameters to change, as it sees them itself.
        """
        values = dict(bound.values)
        chosen = bound.format
        said = error.example
        for offered in self.formats:
            if said.endswith((f".{offered}", f"format={offered}")):
                chosen = offered
                said = said.removesuffix(f"format={offered}").removesuffix(f".{offered}")
        for item in filter(None, said.split(",")):
            name, equals, text = item.partition("=")
            field = self.fields.get(name)
            if not equals or field is None or name in self.fixed[field.step]:
                return ""
            try:
                values[name] = self._written(name, field.kind.parse(text))
                kind = self.kind(name)
                if kind is not None and kind.parse(kind.show(values[name])) != values[name]:
                    return ""
            except BadValue:
                return ""
        if values == bound.values and chosen == bound.format:
            return ""
        return self.path(msgspec.structs.replace(bound, values=values, format=chosen))

    def _given(self, name: str, value: object) -> object:
        """Return a value as the processor takes it: zero-based, columns before rows."""
        field = self.fields[name]
        value = kinds.adapt(value, field.kind)
        if isinstance(value, Grid):
            return value.turned if self.grid_order == "yyxx" else value
        if self.layer_base and self.is_layer(name) and value is not None:
            if isinstance(value, Layers):
                value = value.shifted(-self.layer_base)
                lowest = min(start for start, _ in value.runs)
            else:
                assert isinstance(value, int)
                value = lowest = value - self.layer_base
            if lowest < 0:
                raise BadValue(
                    "layers are counted from 1 here",
                    asked=str(lowest + self.layer_base),
                    limit="the first layer is 1",
                    example=f"{name}=0",
                )
        return value

    def _written(self, name: str, value: object) -> object:
        """Return a processor's value as it is written in a path of this template."""
        if isinstance(value, Grid):
            return value.turned if self.grid_order == "yyxx" else value
        if self.is_layer(name) and value is not None:
            if isinstance(value, Layers):
                value = value.shifted(self.layer_base)
                kind = self.kind(name)
                if kind is not None and kind.name == "int" and len(value) == 1:
                    return value.runs[0][0]
            elif isinstance(value, int):
                return value + self.layer_base
        return value

    def is_layer(self, name: str) -> bool:
        """Tell whether the switch `layer_base` concerns this value."""
        field = self.fields.get(name)
        return field is not None and (
            field.kind.name == "layers" or (name == "layer" and field.kind.name == "int")
        )

    def values_of(self, name: str, values: Sequence[object]) -> Sequence[object]:
        """Return values that a processor knows as they are written in a path."""
        if not self.layer_base or not self.is_layer(name):
            return values
        if isinstance(values, range):
            return range(values.start + self.layer_base, values.stop + self.layer_base)
        return [self._written(name, value) for value in values]
