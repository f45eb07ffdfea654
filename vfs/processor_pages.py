"""The reference page of processors, printed from their classes."""

import inspect
import json
from collections.abc import Iterator

import msgspec

from processors import registry
from processors.base import Processor
from processors.grammar import catalogue, kinds
from processors.grammar.field_docs import docs_of
from processors.grammar.kinds import Kind

_BUILT_IN = "processors."


def page() -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# Processors"
    yield ""
    yield "What makes derived files. Each processor has a ready template, which needs no"
    yield "configuration; its path stands below the processing mount, such as `/dispel`. A source"
    yield "path stands between two segments `~`. The formats are extensions of the last segment;"
    yield "without one it is the first. Parameters that the path does not hold are added to its"
    yield "last segment: `preview/~/scans/a.tif/~/512,layer=3.jpg`. The common ones are shown in"
    yield "[archives and previews](../howto/archives-and-previews.md)."
    for name in names():
        yield from _processor(registry.find(name))


def names() -> tuple[str, ...]:
    """Return the name of every processor that comes with the gateway."""
    return tuple(
        name
        for name in registry.names()
        if type(registry.find(name)).__module__.startswith(_BUILT_IN)
    )


def _processor(processor: Processor) -> Iterator[str]:
    ready = catalogue.Catalogue().find(processor.name.rpartition(".")[2])
    yield ""
    yield f"## `{processor.name}`"
    yield ""
    yield from (inspect.getdoc(type(processor)) or "").splitlines()
    yield ""
    source = "a folder" if processor.takes_folder else "a file"
    formats = ", ".join(f"`{form}`" for form in processor.formats)
    yield f"- path: `{ready.name}/{ready.pattern}`"
    yield f"- source: {source}"
    yield f"- formats: {formats}"
    yield f"- version: {processor.version}"
    yield ""
    yield "| Parameter | Value | Default | Meaning |"
    yield "|---|---|---|---|"
    docs = docs_of(processor.params)
    for field in msgspec.structs.fields(processor.params):
        kind = kinds.kind_of(field.type)
        if field.name == "format" or kind is None:
            continue
        yield f"| `{field.name}` | {_value(kind)} | {_default(field, kind)} | {docs[field.name]} |"


def _value(kind: Kind) -> str:
    if kind.choices:
        return " or ".join(f"`{choice}`" for choice in kind.choices)
    return kind.what


def _default(field: msgspec.structs.FieldInfo, kind: Kind) -> str:
    if field.required:
        return "required"
    shown = kind.show(field.default)
    return f"`{shown}`" if shown else json.dumps(field.default)
