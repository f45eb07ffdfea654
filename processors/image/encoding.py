"""Encoding: bytes of grey or RGB as a PNG, JPEG or WebP, the same bytes each time."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FORMATS = ("png", "jpg", "webp")
MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_PNG_LEVEL = 6
_WEBP_EFFORT = 4
_WHITE = 255
# EXIF's eight ways to turn an image upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def encoded(pixels: NDArray[np.uint8], form: str, *, quality: int, turn: int = 1) -> bytes:
    """Return `pixels` (rows, columns, one to four channels) as a file of format `form`.

    JPEG knows no opacity: what is not opaque lies on white there.
    """
    channels = pixels.shape[2]
    flat = pixels[:, :, 0] if channels == 1 else pixels
    image = Image.fromarray(np.ascontiguousarray(flat), _MODES[channels])
    if turn in _TURNS:
        image = image.transpose(_TURNS[turn])
    options: dict[str, Any] = {"compress_level": _PNG_LEVEL}
    if form != "png":
        options = {"quality": quality}
    if form == "webp":
        options["method"] = _WEBP_EFFORT
    if form == "jpg" and image.mode in {"LA", "RGBA"}:
        below = Image.new("RGBA", image.size, (_WHITE,) * 4)
        grey = image.mode == "LA"
        image = Image.alpha_composite(below, image.convert("RGBA")).convert("L" if grey else "RGB")
    file = io.BytesIO()
    image.save(file, {"jpg": "JPEG"}.get(form, form.upper()), **options)
    return file.getvalue()
