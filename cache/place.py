"""Place: a path of a mount as the index has it."""

from typing import Self

import msgspec


class Place(msgspec.Struct, frozen=True):
    """Names one path of one mount; the root of a mount is "" and its own parent."""

    mount: str
    path: str

    @property
    def is_root(self) -> bool:
        """Tell whether this is the mount's root."""
        return not self.path

    @property
    def parent(self) -> Self:
        """Return the folder that this lies in."""
        return type(self)(self.mount, self.path.rpartition("/")[0])

    @property
    def name(self) -> bytes:
        """Return the last name, as the index has it."""
        return _bytes(self.path.rpartition("/")[2])

    @property
    def key(self) -> tuple[bytes, bytes]:
        """Return what rows of this path are found by."""
        return _bytes(self.mount), _bytes(self.path)

    @property
    def below(self) -> tuple[bytes, bytes, bytes]:
        """Return mount, lower and upper bound of the paths below this one, without itself."""
        mount, path = self.key
        # "0" is what follows "/"; UTF-8 has no byte 0xFF.
        return (mount, path + b"/", path + b"0") if path else (mount, b"\0", b"\xff")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
