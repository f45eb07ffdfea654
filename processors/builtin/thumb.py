"""Thumb: a preview of one of a few sizes, for pages that show many."""

from typing import ClassVar, Literal

from processors.base import Context, Params, Plan, Sink, Source
from processors.builtin.preview import Preview, PreviewParams

Side = Literal[64, 128, 256, 512]


class ThumbParams(Params, frozen=True, kw_only=True):
    """What a thumbnail takes."""

    layer: int = 0
    """Which layer, counted from zero; of an animation the frame."""

    size: Side = 256
    """The longer side in pixels, one of four, so that every page asks for the same few files."""


class Thumb(Preview):
    """Makes a thumbnail: a preview of a fixed size with all else as a preview has it by default."""

    name = "thumb"
    pattern = "{source:path}/{size:int}"
    params: ClassVar[type[Params]] = ThumbParams
    formats = ("jpg", "png", "webp")

    def plan(self, source: Source, params: ThumbParams, context: Context) -> Plan:  # type: ignore[override]  # noqa: D102
        return super().plan(source, _preview(params), context)

    def run(self, source: Source, params: ThumbParams, sink: Sink, context: Context) -> None:  # type: ignore[override]  # noqa: D102
        super().run(source, _preview(params), sink, context)


def _preview(params: ThumbParams) -> PreviewParams:
    return PreviewParams(format=params.format, layer=params.layer, size=params.size)
