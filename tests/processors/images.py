"""Images that tests make, and what is made of them."""

import io
from typing import Any

import msgspec
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from processors.base import Params, Processor
from processors.testing import BytesSource, PlainContext, result


def made(kind: Processor, data: bytes, context: PlainContext | None = None, **values: Any) -> bytes:
    """Return what a processor makes, asked by the way that a request comes."""
    params: Params = msgspec.convert({"format": "png", **values}, kind.params)
    return result(kind, BytesSource(data), params, context)


def pixels_of(data: bytes) -> NDArray[Any]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def picture(form: str, image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def pyramid(full: NDArray[Any], factors: tuple[int, ...] = (2, 4, 8)) -> bytes:
    """Return a pyramid whose levels differ in brightness, so that one can tell which was read."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(full, tile=(64, 64), subifds=len(factors))
        for number, factor in enumerate(factors, 1):
            level = full[::factor, ::factor] * 0 + np.array(number * 20, full.dtype)
            writer.write(level, tile=(64, 64), subfiletype=1)
    return file.getvalue()
