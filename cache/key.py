"""Key: what a cached file is known by, and the name that it has on disk."""

from hashlib import blake2b
from urllib.parse import quote

import msgspec


class Key(msgspec.Struct, frozen=True):
    """Names one version of one file of one mount. Equal keys mean equal bytes.

    `path` is relative to the mount, with "/" between names; `version` is opaque. The text may hold
    anything, also lone surrogates.
    """

    mount: str
    path: str
    version: str

    def below(self, prefix: str) -> bool:
        """Tell whether the path is `prefix` or lies below it; all paths lie below ""."""
        return not prefix or self.path == prefix or self.path.startswith(prefix + "/")

    def names(self) -> tuple[str, str, str]:
        """Return the names on disk: of the mount's folder, of the path, of the version.

        Two keys may have the same names only by a collision of hashes, so who opens a file compares
        the whole key that stands in it.
        """
        path = blake2b(_bytes(self.path), digest_size=16).hexdigest()
        return (
            folder_name(self.mount),
            path,
            blake2b(_bytes(self.version), digest_size=8).hexdigest(),
        )


def folder_name(mount: str) -> str:
    """Return the name of the folder for the files of `mount`, readable where it is short."""
    readable = "m" + quote(mount, safe="", errors="surrogatepass")
    if len(readable) <= _READABLE_CHARACTERS:
        return readable
    return "h" + blake2b(_bytes(mount), digest_size=16).hexdigest()


_READABLE_CHARACTERS = 120


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
