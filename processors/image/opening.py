"""Opening: which kind of picture a source is, by its first bytes."""

from processors.base import Context, Source
from processors.errors import UnsupportedFormat
from processors.image import ordinary, tiff_picture
from processors.image.ordinary import OrdinaryPicture
from processors.image.picture import Picture
from processors.image.tiff_picture import TiffPicture

_HEAD = 16


def open_picture(source: Source, context: Context) -> Picture:
    """Return `source` as a picture; UnsupportedFormat when it is none of those that are known."""
    head = source.read_at(0, _HEAD)
    if head.startswith(tiff_picture.MAGIC):
        return TiffPicture(source, context)
    form = ordinary.format_of(head)
    if form is None:
        raise UnsupportedFormat(
            f"{source.name} is no image that can be read", limit="TIFF, PNG, JPEG, WebP, GIF"
        )
    return OrdinaryPicture(source, form, context)
