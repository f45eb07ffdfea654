"""Ordinary images, PNG, JPEG, WebP and GIF, through Pillow, within limits."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from processors.base import Context, Source
from processors.errors import Malformed, ProcessingError, TooLarge, UnsupportedFormat
from processors.image.picture import Look, Picture, Pixels
from processors.stream import SourceFile
from processors.values import Grid

# Pillow only warns of what is up to twice its own limit; here that is a refusal like any other.
warnings.simplefilter("error", Image.DecompressionBombWarning)

_ORIENTATION = 274
# What libjpeg can decode to directly: a half, a quarter, an eighth.
_JPEG_LEVELS = 4
_JPEG_LEAST = 64
# To Pillow's modes from what becomes of them: samples, dtype, colour.
_LOOKS = {
    "L": (1, "uint8", "black-is-zero"),
    "LA": (2, "uint8", "black-is-zero"),
    "RGB": (3, "uint8", "rgb"),
    "RGBA": (4, "uint8", "rgb"),
    "I;16": (1, "uint16", "black-is-zero"),
    "I": (1, "int32", "black-is-zero"),
}
_BECOMES = {"1": "L", "P": "RGBA", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "I;16B": "I"}
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}


def format_of(head: bytes) -> str | None:
    """Return Pillow's name of the format that a file with this start has, or None."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


class OrdinaryPicture(Picture):
    """Reads an image that Pillow can decode; frames of an animation are its layers.

    A JPEG has levels: the decoder makes them as it reads. Everything else is decoded whole, and is
    refused before that where the whole would be too large.
    """

    def __init__(self, source: Source, form: str, context: Context) -> None:
        self._source = source
        self._context = context
        self._form = form
        self._layers: int | None = None
        self._decoded: tuple[tuple[int, int], Pixels] | None = None
        limits = context.limits
        if source.size > limits.segment_bytes:
            raise TooLarge(
                f"a {form} file is decoded at once and is too large for that",
                asked=f"{source.size} bytes",
                limit=f"{limits.segment_bytes} bytes",
            )
        with self._opened(0, 0) as image:
            self._size = image.size
            # Told by the first frame; a later one of an animation may have a mode of its own.
            self._mode = self._plain(image)
            self._layers = 1 if not getattr(image, "is_animated", False) else None
            self._turn = self._orientation(image)

    @property
    def layers(self) -> int:
        """How many frames there are. An animated GIF is read to its end for that."""
        if self._layers is None:
            with self._opened(0, 0) as image:
                self._layers = min(int(image.n_frames), self._context.limits.pages)  # type: ignore[attr-defined]
        return self._layers

    def levels(self, layer: int) -> int:  # noqa: D102
        return _JPEG_LEVELS if self._form == "JPEG" and min(self._size) >= _JPEG_LEAST else 1

    def look(self, layer: int, level: int = 0) -> Look:  # noqa: D102
        width, height = (-(-side >> level) for side in self._size)
        samples, dtype, colour = _LOOKS[self._mode]
        return Look(
            width=width,
            height=height,
            samples=samples,
            dtype=dtype,
            bits=np.dtype(dtype).itemsize * 8,
            colour=colour,
            tile_width=width,
            tile_height=height,
            has_alpha=self._mode in {"LA", "RGBA"},
        )

    def read(self, layer: int, level: int, grid: Grid) -> Pixels:  # noqa: D102
        if self._decoded is None or self._decoded[0] != (layer, level):
            self._decoded = ((layer, level), self._decode(layer, level))
        return self._decoded[1][grid.y0 : grid.y1, grid.x0 : grid.x1]

    def turn(self, layer: int) -> int:  # noqa: D102
        return self._turn

    def _decode(self, layer: int, level: int) -> Pixels:
        look = self.look(layer, level)
        limit = self._context.limits.segment_decoded_bytes
        size = look.width * look.height * look.pixel_bytes
        if size > limit:
            raise TooLarge(
                f"a {self._form} image is decoded at once and is too large for that",
                asked=f"{look.width} x {look.height} pixels, {size} bytes",
                limit=f"{limit} bytes",
            )
        with self._context.phase("decode"), self._opened(layer, level) as image:
            image.load()
            plain = image if image.mode == self._mode else image.convert(self._mode)
            pixels: Pixels = np.asarray(plain)
        if pixels.shape[:2] != (look.height, look.width):
            raise Malformed(f"the image is not as large as it says: {pixels.shape[:2]}")
        return pixels.reshape(look.height, look.width, look.samples)

    @contextmanager
    def _opened(self, layer: int, level: int) -> Iterator[Image.Image]:
        """Open the image at a frame; whatever Pillow raises becomes an error of ours."""
        file = io.BufferedReader(SourceFile(self._source, self._context), 1 << 16)
        try:
            with Image.open(file, formats=[self._form]) as image:
                for number in range(1, layer + 1):
                    image.seek(number)
                    self._context.check()
                if level:
                    width, height = image.size
                    image.draft(None, (width >> level, height >> level))
                yield image
        except ProcessingError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
            raise TooLarge(
                f"the {self._form} image has too many pixels",
                limit=f"{Image.MAX_IMAGE_PIXELS} pixels",
            ) from error
        except Exception as error:
            # Decoders raise of every kind at hostile bytes, from SyntaxError to struct.error.
            raise Malformed(f"the {self._form} image is damaged") from error

    def _plain(self, image: Image.Image) -> str:
        mode = image.mode
        if self._form in {"GIF", "WEBP"} and getattr(image, "is_animated", False):
            return "RGBA"
        if mode == "RGB" and "transparency" in image.info:
            return "RGBA"
        plain = _BECOMES.get(mode, mode)
        if plain not in _LOOKS:
            raise UnsupportedFormat(f"a {self._form} image of mode {mode}")
        return plain

    def _orientation(self, image: Image.Image) -> int:
        if self._form == "GIF":
            return 1
        try:
            found = image.getexif().get(_ORIENTATION, 1)
        except (SyntaxError, ValueError, OSError, struct.error, KeyError, TypeError, IndexError):
            return 1  # a damaged EXIF block: the pixels are sound
        return found if isinstance(found, int) and 1 <= found <= 8 else 1  # noqa: PLR2004 - EXIF has eight
