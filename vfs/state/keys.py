"""Paths and user text as bytes.

A file's name need not be valid UTF-8; it is carried by `surrogateescape`, which no text column
takes. As bytes it survives, and bytes compare by their values alone: all that is beneath a path
is one range, free of wildcards. The key of "/" is empty, of "/a/b" it is b"/a/b".
"""

from vfs.state.errors import Invalid


def encode(text: str) -> bytes:
    """Return user text as bytes; Invalid for a lone surrogate."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise Invalid("text may not hold a lone surrogate") from error


def decode(data: bytes) -> str:
    """Return what `encode` was given."""
    return data.decode("utf-8", "surrogateescape")


def key(path: str) -> bytes:
    """Return the key of a canonical path; Invalid for any other."""
    if path == "/":
        return b""
    if not path.startswith("/") or path.endswith("/") or "//" in path or "\x00" in path:
        raise Invalid("a path here starts with one slash and has no empty name")
    return encode(path)


def path_of(key: bytes) -> str:
    """Return the path of a key."""
    return decode(key) or "/"


def split(key: bytes) -> tuple[bytes, bytes]:
    """Return the key of the folder and the name; the root is the nameless member of itself."""
    folder, _, name = key.rpartition(b"/")
    return folder, name


def chain(key: bytes) -> list[bytes]:
    """Return `key` and the keys of all folders above it, the root last."""
    keys = [key]
    while key:
        key = key.rpartition(b"/")[0]
        keys.append(key)
    return keys


def beneath(key: bytes) -> tuple[bytes, bytes]:
    """Return the range, start included and end not, of all keys beneath `key`, itself not."""
    return key + b"/", key + b"0"  # "0" follows "/"


def overlap(one: bytes, other: bytes) -> bool:
    """Tell whether one of the two is, or is beneath, the other."""
    return (one + b"/").startswith(other + b"/") or (other + b"/").startswith(one + b"/")
