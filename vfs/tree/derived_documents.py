"""Documents: what can be read about templates, levels and results, beside the data itself."""

from collections.abc import Mapping

import msgspec

from processors.base import Limits, Plan
from processors.errors import ProcessingError
from processors.grammar.kinds import Kind
from processors.grammar.parser import PATH_MAX
from processors.grammar.pattern import SEGMENTS_MAX
from processors.grammar.template import Bound, Template
from processors.making.provenance import Provenance

_HELP = """\
A path below {mount} is a file that is made when it is read.

In every folder:
  .help.txt    this text
  .info.json   values, options, formats, limits, and what the source holds
Beside a result, its own name and then:
  .cost.json   what making it would read and give; nothing is made
  .sha256      the digest of its bytes; it is made for that
  .prov.json   how it was made; not there before it was made
  .info.json   as in the folder above
For example {example}.cost.json

Values can be given by name, in any order: layer=12,grid=0-64-0-64. Options only so, behind a comma
in the last segment. The extension of the last segment chooses the format. The query of a URL stands
for a segment of names: ?layer=12&grid=0-64-0-64. A long folder is cut into parts such as @0-500.
DELETE forgets a result, or all below a folder.
"""


def dumped(content: object) -> bytes:
    """Return JSON that people can read."""
    return msgspec.json.format(msgspec.json.encode(content, enc_hook=str), indent=2) + b"\n"


def help_of_mount(mount: str) -> bytes:
    """Return the help of the mount itself. It names no template: not all are for everybody."""
    text = _HELP.format(mount=mount, example=f"{mount}/TEMPLATE/VALUES")
    return f"{text}\nList {mount} for the templates; each has a .help.txt of its own.\n".encode()


def help_of(mount: str, template: Template) -> bytes:
    """Return the help of a template."""
    pattern = f"{mount}/{template.name}/{template.pattern}"
    lines = [pattern, "", "Values, in this order:"]
    lines += [
        f"  {part.name}: {_line(template, part.name, part.kind)}" for part in template.placeholders
    ]
    if template.options:
        lines += ["", "Options, by name:"]
    for name, field in sorted(template.options.items()):
        default = field.kind.show(field.default)
        lines.append(f"  {name}={default}: {_line(template, name, field.kind)}")
    lines += [
        "",
        f"Formats: {', '.join(template.formats)}; {template.formats[0]} without an extension.",
        *(f"{text[0].upper()}{text[1:]}." for text in _conventions(template).values()),
        "",
        _HELP.format(mount=mount, example=pattern),
    ]
    return "\n".join(lines).encode()


def info_of_mount(mount: str, limits: Limits) -> dict[str, object]:
    """Return what is worth knowing of the mount."""
    return {"mount": mount, "limits": _limits(limits)}


def info_of(template: Template, bound: Bound, limits: Limits) -> dict[str, object]:
    """Return what is worth knowing of a template, at one of its levels."""
    return {
        "template": template.name,
        "pattern": template.pattern,
        "path": template.path(bound),
        "values": [_described(template, part.name, part.kind) for part in template.placeholders],
        "options": [
            _described(template, name, field.kind) | {"default": field.kind.show(field.default)}
            for name, field in sorted(template.options.items())
        ],
        "formats": template.formats,
        "default_format": template.formats[0],
        "conventions": _conventions(template),
        "processors": [
            {"name": processor.name, "version": processor.version} for processor in template.chain
        ],
        "limits": _limits(limits),
    }


def cost_of(
    canonical: str,
    plan: Plan | ProcessingError,
    *,
    cached_bytes: int | None,
    source: Mapping[str, object],
) -> dict[str, object]:
    """Return what a result takes and gives; why it cannot be made, when it cannot."""
    told: dict[str, object] = {
        "canonical": canonical,
        "cached": cached_bytes is not None,
        "source": source,
    }
    if isinstance(plan, ProcessingError):
        return told | {
            "refused": str(plan),
            "asked": plan.asked,
            "limit": plan.limit,
            "example": plan.example,
        }
    size = plan.output.size if cached_bytes is None else cached_bytes
    return told | {
        "output_bytes": size,
        "media_type": plan.output.media_type,
        "bytes_read": plan.bytes_wanted,
        "bytes_decoded": plan.decoded_bytes,
        "memory_bytes": plan.memory_bytes,
        "pixels": plan.pixels,
    }


def provenance_of(provenance: Provenance) -> bytes:
    """Return how a result was made."""
    return dumped(msgspec.to_builtins(provenance, enc_hook=str))


def _described(template: Template, name: str, kind: Kind) -> dict[str, object]:
    field = template.fields.get(name)
    told: dict[str, object] = {"name": name, "kind": kind.name, "what": kind.what}
    if field is not None and field.doc:
        told["doc"] = field.doc
    if kind.choices:
        told["choices"] = kind.choices
    if kind.of_none:
        told["or"] = kind.of_none
    return told


def _line(template: Template, name: str, kind: Kind) -> str:
    field = template.fields.get(name)
    doc = f" {field.doc}" if field is not None and field.doc else ""
    none = f", or {kind.of_none}" if kind.of_none else ""
    return f"{kind.what}{none}.{doc}"


def _conventions(template: Template) -> dict[str, str]:
    told = {}
    order = "x0-x1-y0-y1" if template.grid_order == "xxyy" else "y0-y1-x0-x1"
    if any(field.kind.name == "grid" for field in template.fields.values()):
        told["grid"] = (
            f"a grid is {order}, in pixels from 0, columns x and rows y, without the ends;"
            " x=0-64,y=0-32 is the same in any order"
        )
    if any(map(template.is_layer, template.fields)):
        told["layer"] = (
            f"layers are counted from {template.layer_base}; a range ends before its second number"
        )
    return told


def _limits(limits: Limits) -> dict[str, object]:
    return {
        **msgspec.structs.asdict(limits),
        "path_bytes": PATH_MAX,
        "path_segments": SEGMENTS_MAX,
    }
