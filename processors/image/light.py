"""Light: pixels of any colour scheme and type, as grey or RGB for a viewer's eyes."""

import struct
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from processors.errors import UnsupportedFormat
from processors.image.picture import Look, Pixels

Tones = Literal["auto", "full", "minmax", "percentiles"]

_BYTE = 255
_SHORT = 16
_GREY, _COLOUR = 1, 3


class Light:
    """Turns the pixels of a layer into grey or RGB, with opacity where the layer has it.

    `before` is done before pixels are averaged: a palette cannot be averaged, and white may be
    zero. `after` brings the averages to eight bits.
    """

    def __init__(self, look: Look, band: int | None) -> None:
        self._look = look
        self._band = band
        kind = np.dtype(look.dtype).kind
        if kind == "c":
            raise UnsupportedFormat("complex numbers have no grey", asked=look.dtype)
        if band is None and look.colour in {"cielab", "filter-array", "linear-raw"}:
            raise UnsupportedFormat(f"no preview is made of {look.colour}", example="band=0")
        self._colours = _GREY
        if band is None and self._is_colour():
            self._colours = _COLOUR
        self.has_alpha = band is None and look.has_alpha and kind == "u"
        self.channels = self._colours + self.has_alpha
        """Samples of a pixel once it is light."""
        self.is_byte = (look.bits <= _BYTE.bit_length() and kind == "u") or self._is_palette
        """Whether the whole range of the type is what a viewer should see."""

    @property
    def _is_palette(self) -> bool:
        return self._band is None and self._look.colour == "palette"

    def _is_colour(self) -> bool:
        colour, samples = self._look.colour, self._look.samples
        return (
            self._is_palette
            or (colour == "rgb" and samples >= _COLOUR)
            or (colour == "separated" and samples > _COLOUR and self._look.dtype == "uint8")
        )

    @property
    def top(self) -> float:
        """The brightest value of the type; 1 of floats."""
        if self._is_palette:
            return _BYTE
        kind = np.dtype(self._look.dtype).kind
        if kind == "f":
            return 1.0
        return float((1 << (self._look.bits - (kind == "i"))) - 1)

    def before(self, block: Pixels) -> Pixels:
        """Return a block of raw pixels as light, in their own type."""
        look = self._look
        if self._band is not None:
            return block[:, :, self._band : self._band + 1]
        if self._is_palette:
            return self._palette()[block[:, :, 0]]
        if look.colour == "separated" and self._colours == _COLOUR:
            ink = block[:, :, :4].astype(np.uint16)
            return ((_BYTE - ink[:, :, :3]) * (_BYTE - ink[:, :, 3:]) // _BYTE).astype(np.uint8)
        found = block[:, :, : self.channels]
        if look.colour == "white-is-zero" and np.dtype(look.dtype).kind == "u":
            whole = np.array((1 << look.bits) - 1, look.dtype)
            found = found.copy()
            found[:, :, 0] = whole - found[:, :, 0]
        return found

    def _palette(self) -> NDArray[np.uint8]:
        colours = np.frombuffer(self._look.colour_map, np.uint16).reshape(_COLOUR, -1).T
        # Some programs write eight bits where sixteen are meant.
        shift = 8 if colours.max(initial=0) > _BYTE else 0
        return (colours >> shift).astype(np.uint8)

    def tones(
        self, light: NDArray[np.float64], tones: Tones, shares: tuple[float, float]
    ) -> "Span":
        """Return which values become black and white; of colours the same for all three."""
        if tones == "auto":
            tones = "full" if self.is_byte else "percentiles"
        if tones == "full":
            return Span(0.0, self.top)
        values = light[:, :, : self._colours]
        finite = values[np.isfinite(values)]
        if not finite.size:
            return Span(0.0, 1.0)
        if tones == "minmax":
            return Span(float(finite.min()), float(finite.max()))
        low, high = np.percentile(finite, shares)
        return Span(float(low), float(high))

    def after(self, light: NDArray[np.float64], span: "Span") -> NDArray[np.uint8]:
        """Return light as bytes; what is no number becomes black."""
        whole = (span.high - span.low) or 1.0
        scaled = (light - span.low) * (_BYTE / whole)
        if self.has_alpha:
            scaled[:, :, self._colours] = light[:, :, self._colours] * (_BYTE / self.top)
        np.nan_to_num(scaled, copy=False, nan=0.0, posinf=_BYTE, neginf=0.0)
        return (np.clip(scaled, 0, _BYTE) + 0.5).astype(np.uint8)


class Span:
    """The values that become black and white."""

    BYTES = 16

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high

    def packed(self) -> bytes:
        """Return both as bytes."""
        return struct.pack("<dd", self.low, self.high)

    @classmethod
    def unpacked(cls, data: bytes | memoryview) -> "Span":
        """Return what `packed` made."""
        return cls(*struct.unpack("<dd", data))
