"""Ome: what the description of an OME-TIFF says of sizes, order, pixel size and channels."""

from typing import Final
from xml.parsers import expat

from processors.errors import Malformed
from processors.tiff.tags import TEXT_SHOWN, Tags

_DESCRIPTION: Final = 270
_TEXT_MOST = 8 << 20
_START_MOST = 4_096
_IMAGES_MOST = 16
_CHANNELS_MOST = 64
_PIXELS = (
    *("SizeX", "SizeY", "SizeZ", "SizeC", "SizeT", "DimensionOrder", "Type"),
    *("PhysicalSizeX", "PhysicalSizeXUnit", "PhysicalSizeY", "PhysicalSizeYUnit"),
    *("PhysicalSizeZ", "PhysicalSizeZUnit", "TimeIncrement", "TimeIncrementUnit"),
)


def read(tags: Tags) -> dict[str, object]:
    """Return the images that an OME description names, {} when there is none.

    Malformed when it is no XML, or defines entities.
    """
    text = tags.text(_DESCRIPTION, _TEXT_MOST)
    if "<OME" not in text[:_START_MOST] and ":OME" not in text[:_START_MOST]:
        return {}
    listener = _Listener()
    listener.listen(text)
    return {"images": listener.images, "image_count": listener.count}


class _Listener:
    """Takes from the elements of a description what is wanted, and keeps nothing else."""

    def __init__(self) -> None:
        self.images: list[dict[str, object]] = []
        self.count = 0
        self._channels: list[str] = []

    def listen(self, text: str) -> None:
        """Read the whole text."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._start
        parser.StartDoctypeDeclHandler = _refuse
        parser.EntityDeclHandler = _refuse
        try:
            parser.Parse(text.encode("utf-8", "replace"), True)
        except expat.ExpatError as error:
            raise Malformed(f"the OME description is no XML: {error}") from None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        match name.rpartition(" ")[2]:
            case "Image":
                self.count += 1
                self._channels = []
                if self.count <= _IMAGES_MOST:
                    image = {"name": attributes.get("Name", "")[:TEXT_SHOWN]}
                    self.images.append({**image, "channels": self._channels})
            case "Pixels" if self.images and self.count <= _IMAGES_MOST:
                known = {key: attributes[key][:TEXT_SHOWN] for key in _PIXELS if key in attributes}
                self.images[-1].update(known)
            case "Channel" if len(self._channels) < _CHANNELS_MOST:
                self._channels.append(attributes.get("Name", "")[:TEXT_SHOWN])


def _refuse(*_: object) -> None:
    raise Malformed("the OME description defines a document type or entities")
