"""Meta: what a file says of a layer: sizes, tags, and where on earth or under which lens it was."""

import json
import math
from collections.abc import Iterable, Mapping

from processors.base import MIB, Context, Output, Params, Plan, Processor, Sink, Source
from processors.builtin.preview import choices, facts
from processors.errors import ProcessingError
from processors.image.opening import open_picture
from processors.image.picture import Picture
from processors.image.tiff_picture import TiffPicture
from processors.tiff import geokeys, ome
from processors.tiff.tags import Tags, shown_tags

_MEDIA_TYPES = {"json": "application/json", "txt": "text/plain; charset=utf-8"}


class MetaParams(Params, frozen=True, kw_only=True):
    """What metadata take."""

    layer: int = 0
    """Which layer, counted from zero; of an animation the frame."""


class Meta(Processor):
    """Tells what a file says of a layer: its size and type, and the tags of a TIFF by their names.

    Long values are told by their first items and their number, never whole. Of a GeoTIFF it adds
    the projection and the corners, of an OME-TIFF the sizes and the names of channels.
    """

    name = "meta"
    pattern = "{source:path}/{layer:int}"
    params = MetaParams
    formats = ("json", "txt")

    def plan(self, source: Source, params: MetaParams, context: Context) -> Plan:  # noqa: D102
        open_picture(source, context).checked(params.layer)
        return Plan(
            outputs=(Output(media_type=_MEDIA_TYPES[params.format]),), memory_bytes=64 * MIB
        )

    def run(self, source: Source, params: MetaParams, sink: Sink, context: Context) -> None:  # noqa: D102
        picture = open_picture(source, context)
        found = _found(picture, source, params.layer, context)
        if params.format == "json":
            text = json.dumps(found, indent=1, allow_nan=False)
        else:
            text = "\n".join(_lines(found))
        sink.write(f"{text}\n".encode())

    def info(self, source: Source, context: Context) -> Mapping[str, object]:  # noqa: D102
        return facts(open_picture(source, context))

    def values(self, name: str, source: Source, context: Context) -> Iterable[object] | None:  # noqa: D102
        return choices(name, source, context)


def _found(picture: Picture, source: Source, layer: int, context: Context) -> dict[str, object]:
    look = picture.checked(layer)
    levels = [picture.look(layer, level) for level in range(picture.levels(layer))]
    found: dict[str, object] = {
        "size_bytes": source.size,
        "layers": picture.layers,
        "layer": layer,
        "width": look.width,
        "height": look.height,
        "samples": look.samples,
        "dtype": look.dtype,
        "bits": look.bits,
        "colour": look.colour,
        "levels": [[level.width, level.height] for level in levels],
    }
    if not isinstance(picture, TiffPicture):
        return found
    form = picture.file.geometry(layer)
    found |= {
        "codec": form.codec,
        "tile": [form.tile_width, form.tile_height],
        "is_tiled": form.is_tiled,
        "is_planar": form.is_planar,
    }
    tags = Tags(*picture.file.directory(layer), context.limits)
    found["tags"] = shown_tags(tags)
    # The first page speaks for the file; a damaged description leaves the rest readable.
    first = tags if layer == 0 else Tags(*picture.file.directory(0), context.limits)
    for name, read in (("geo", geokeys.read), ("ome", ome.read)):
        try:
            more = read(tags if name == "geo" else first)
        except ProcessingError as error:
            more = {"error": str(error)}
        if more:
            found[name] = _plain(more)
    return found


def _plain(value: object) -> object:
    """Return `value` as JSON can hold it."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
    return value


def _lines(found: Mapping[str, object], before: str = "") -> Iterable[str]:
    for key, value in found.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{before}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"{before}{key}: {_one_line(text)}"


def _one_line(text: str) -> str:
    """Return `text` without anything that would start a new line or move a terminal's cursor."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
