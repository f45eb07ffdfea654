"""Compiling: from what a configuration says, or a processor itself, to a Template.

Whatever cannot work is told here, before a path is ever read.
"""

import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import get_type_hints

import msgspec

from processors import registry
from processors.base import Processor
from processors.errors import BadValue
from processors.grammar import kinds
from processors.grammar.field_docs import docs_of
from processors.grammar.kinds import Kind
from processors.grammar.pattern import Part, PatternError, Placeholder, parse_pattern, parse_source
from processors.grammar.template import Field, Template, TemplateText


class TemplateError(Exception):
    """A template that cannot work. `key` is the key of its table that is wrong."""

    def __init__(self, key: Sequence[str], text: str) -> None:
        super().__init__(text)
        self.key = tuple(key)


Find = Callable[[str], Processor]


def compile_template(name: str, text: TemplateText, find: Find = registry.find) -> Template:
    """Return the template that `text` says; TemplateError about the first thing wrong in it."""
    chain = _chain(text.run, find)
    try:
        parts = parse_pattern(text.path)
    except PatternError as error:
        raise TemplateError(("path",), f"{text.path!r}: {error}") from None
    try:
        source = parse_source(text.source)
    except PatternError as error:
        raise TemplateError(("source",), f"{text.source!r}: {error}") from None
    fields = _fields(chain)
    fixed = _fixed(text.params, chain, fields)
    named = {part.name for part in parts if isinstance(part, Placeholder)}
    for unknown in sorted(source.names - named):
        raise TemplateError(
            ("source",),
            f"{text.source!r} names the value {unknown!r}, which the path does not hold;"
            f" {_near(unknown, named)}",
        )
    _check_required(chain, fields, fixed, named)
    return Template(
        name=name,
        text=text,
        parts=tuple(_joined(part, fields, fixed, source.names) for part in parts),
        source=source,
        chain=chain,
        fields=fields,
        fixed=fixed,
        formats=_formats(text, chain[-1]),
        digest=_digest(text, fixed),
    )


def ready_template(name: str, processor: Processor) -> Template:
    """Return the template that a processor has without configuration; TemplateError."""
    pattern = processor.pattern
    if not pattern:
        required = [
            field.name
            for field in msgspec.structs.fields(processor.params)
            if field.required and field.name != "format"
        ]
        found = _fields((processor,))
        pattern = "/".join(
            ("{source:path}", *(f"{{{field}:{found[field].kind.name}}}" for field in required))
        )
    return compile_template(
        name,
        TemplateText(path=pattern, source="/{source}", run=(processor.name,)),
        lambda _: processor,
    )


def _chain(names: tuple[str, ...], find: Find) -> tuple[Processor, ...]:
    if not names:
        raise TemplateError(("run",), "it must name at least one processor")
    chain = []
    for name in names:
        try:
            chain.append(find(name))
        except registry.RegistryError as error:
            raise TemplateError(("run",), str(error)) from error
    for processor in chain[1:]:
        if processor.takes_folder:
            raise TemplateError(("run",), f"{processor.name!r} takes a folder, so it comes first")
    return tuple(chain)


def _fields(chain: tuple[Processor, ...]) -> dict[str, Field]:
    """Return the parameters of a chain; where several steps have one, it is the first one's."""
    fields: dict[str, Field] = {}
    for place, processor in enumerate(chain):
        hints = get_type_hints(processor.params, include_extras=True)
        docs = docs_of(processor.params)
        for field in msgspec.structs.fields(processor.params):
            kind = kinds.kind_of(hints[field.name])
            if field.name == "format" or field.name in fields:
                continue
            if kind is None:
                if field.required:
                    raise TemplateError(
                        ("run",),
                        f"{processor.name!r} cannot be used: its parameter {field.name!r} has a"
                        " type that no path can spell",
                    )
                continue
            fields[field.name] = Field(
                step=place,
                kind=kind,
                default=_default(field),
                doc=docs.get(field.name, ""),
            )
    return fields


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _fixed(
    params: Mapping[str, object], chain: tuple[Processor, ...], fields: Mapping[str, Field]
) -> tuple[dict[str, object], ...]:
    """Return the fixed parameters of each step, read as they would be from a path."""
    fixed: list[dict[str, object]] = [{} for _ in chain]
    steps = {processor.name: place for place, processor in enumerate(chain)}
    for key, value in params.items():
        if isinstance(value, Mapping):
            if key not in steps:
                raise TemplateError(
                    ("params", key), f"{key!r} is no processor of 'run'; {_near(key, steps)}"
                )
            own = _fields((chain[steps[key]],))
            for name, inner in value.items():
                fixed[steps[key]][str(name)] = _fix(("params", key, str(name)), inner, own)
        else:
            found = _fix(("params", key), value, fields)
            fixed[fields[key].step][key] = found
    return tuple(fixed)


def _fix(key: tuple[str, ...], value: object, fields: Mapping[str, Field]) -> object:
    field = fields.get(key[-1])
    if field is None:
        raise TemplateError(
            key, f"no processor of 'run' takes {key[-1]!r}; {_near(key[-1], fields)}"
        )
    try:
        if isinstance(value, list):
            return field.kind.parse("+".join(map(_text, value)))
        return field.kind.parse(_text(value))
    except BadValue as error:
        raise TemplateError(key, error.detail) from None


def _text(value: object) -> str:
    if isinstance(value, bool | float | int):
        return kinds.shown(value)
    return str(value)


def _joined(
    part: Part,
    fields: Mapping[str, Field],
    fixed: tuple[Mapping[str, object], ...],
    in_source: frozenset[str],
) -> Part:
    """Return a part of the pattern, its kind completed by what the parameter of its name is."""
    if isinstance(part, str):
        return part
    field = fields.get(part.name)
    if part.is_path and part.name in in_source:
        return part
    if field is None:
        if part.name in in_source and part.kind.name != "list":
            return part
        raise TemplateError(
            ("path",),
            f"no processor of 'run' takes {part.name!r}, and the source does not name it;"
            f" {_near(part.name, fields)}",
        )
    if part.name in fixed[field.step]:
        raise TemplateError(
            ("params", part.name), f"{part.name!r} stands in the path, so it cannot be fixed"
        )
    if not kinds.fits(part.kind.name, field.kind):
        raise TemplateError(
            ("path",),
            f"{part.name!r} is {field.kind.what}, so its kind is {field.kind.name!r},"
            f" not {part.kind.name!r}",
        )
    return Placeholder(part.name, _narrowed(part.kind, field.kind))


def _narrowed(narrow: Kind, wide: Kind) -> Kind:
    return wide if wide.name in (narrow.name, "choice") else narrow


def _check_required(
    chain: tuple[Processor, ...],
    fields: Mapping[str, Field],
    fixed: tuple[Mapping[str, object], ...],
    named: set[str],
) -> None:
    for place, processor in enumerate(chain):
        for field in msgspec.structs.fields(processor.params):
            name = field.name
            is_given = name in named and name in fields and fields[name].step == place
            if field.required and not (is_given or name in fixed[place]):
                raise TemplateError(
                    ("path",),
                    f"{processor.name!r} needs the parameter {name!r}; put it into the path, or fix"
                    " it with 'params'",
                )


def _formats(text: TemplateText, last: Processor) -> tuple[str, ...]:
    """Return the formats that a template offers, its default first."""
    for offered in text.formats:
        if offered not in last.formats:
            raise TemplateError(
                ("formats",),
                f"{last.name!r} does not make {offered!r}; it makes {', '.join(last.formats)}",
            )
    formats = text.formats or last.formats
    if not text.format:
        return formats
    if text.format not in formats:
        raise TemplateError(
            ("format",), f"{text.format!r} is not among the formats {', '.join(formats)}"
        )
    return (text.format, *(offered for offered in formats if offered != text.format))


def _digest(text: TemplateText, fixed: tuple[Mapping[str, object], ...]) -> str:
    """Return what stands for all that the text says about the bytes of a result."""
    said = msgspec.json.encode(
        (
            text.path,
            text.source,
            text.run,
            [{name: kinds.shown(value) for name, value in step.items()} for step in fixed],
            text.formats,
            text.format,
            text.grid_order,
            text.layer_base,
        ),
        order="sorted",
    )
    return hashlib.blake2b(said, digest_size=16).hexdigest()


def _near(name: str, known: Mapping[str, object] | set[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are: {', '.join(sorted(known)) or 'none'}"
