"""Packs and parses packets of SFTP version 3 (draft-ietf-secsh-filexfer-02).

Names are `str` by surrogateescape. Every length that comes from the server is checked against what
is there: Malformed otherwise. Extended attributes are skipped.
"""

import stat
import struct
from typing import Final

import msgspec

INIT: Final = 1
VERSION: Final = 2
OPEN: Final = 3
CLOSE: Final = 4
READ: Final = 5
WRITE: Final = 6
LSTAT: Final = 7
FSTAT: Final = 8
SETSTAT: Final = 9
FSETSTAT: Final = 10
OPENDIR: Final = 11
READDIR: Final = 12
REMOVE: Final = 13
MKDIR: Final = 14
RMDIR: Final = 15
REALPATH: Final = 16
STAT: Final = 17
RENAME: Final = 18
READLINK: Final = 19
SYMLINK: Final = 20
STATUS: Final = 101
HANDLE: Final = 102
DATA: Final = 103
NAME: Final = 104
ATTRS: Final = 105
EXTENDED: Final = 200
EXTENDED_REPLY: Final = 201

FOR_READING: Final = 0x01
FOR_WRITING: Final = 0x02
APPEND: Final = 0x04
CREATE: Final = 0x08
TRUNCATE: Final = 0x10
EXCLUSIVE: Final = 0x20
WRITE_NEW: Final = FOR_WRITING | CREATE | TRUNCATE

# What a reply may hold. OpenSSH stays below 256 KiB; some servers send longer listings.
MAX_PACKET: Final = 1 << 20

HEADER: Final = struct.Struct(">IBI")  # length of what follows, kind, id
_U32: Final = struct.Struct(">I")
_U64: Final = struct.Struct(">Q")
_PAIR: Final = struct.Struct(">II")
_SPAN: Final = struct.Struct(">QI")
_COMMON: Final = struct.Struct(">QIIIII")  # the attributes when all four flags are set

_SIZE = 0x1
_OWNER = 0x2
_MODE = 0x4
_TIMES = 0x8
_EXTENDED = 0x80000000
_ALL = _SIZE | _OWNER | _MODE | _TIMES

Bytes = bytes | bytearray | memoryview


class Malformed(ValueError):
    """A packet does not hold what its kind must hold."""


class Attributes(msgspec.Struct, frozen=True, gc=False):
    """What the server tells of a file, or what it shall set; None where nothing is said.

    `mtime` and `atime` are whole seconds and go together; so do `uid` and `gid`.
    """

    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    atime: int | None = None
    mtime: int | None = None

    @property
    def is_folder(self) -> bool:
        """Tell whether the mode says that this is a folder."""
        return self.mode is not None and stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Tell whether the mode says that this is a regular file."""
        return self.mode is not None and stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        """Tell whether the mode says that this is a symbolic link."""
        return self.mode is not None and stat.S_ISLNK(self.mode)


def packet(kind: int, number: int, *parts: Bytes) -> bytes:
    """Return a whole packet; for INIT `number` is the version."""
    return b"".join((HEADER.pack(sum(map(len, parts)) + 5, kind, number), *parts))


def string(value: Bytes) -> bytes:
    """Return `value` with its length before it."""
    return _U32.pack(len(value)) + value


def name(path: str) -> bytes:
    """Return a path as a string of the protocol."""
    return string(path.encode("utf-8", "surrogateescape"))


def u32(value: int) -> bytes:
    """Return a number of 32 bits."""
    return _U32.pack(value)


def u64(value: int) -> bytes:
    """Return a number of 64 bits."""
    return _U64.pack(value)


def span(offset: int, size: int) -> bytes:
    """Return an offset and a length, as READ and WRITE want them."""
    return _SPAN.pack(offset, size)


def pack_attributes(attributes: Attributes) -> bytes:
    """Return the attributes that are not None, with their flags."""
    flags = 0
    parts = []
    if attributes.size is not None:
        flags |= _SIZE
        parts.append(_U64.pack(attributes.size))
    if attributes.uid is not None and attributes.gid is not None:
        flags |= _OWNER
        parts.append(_PAIR.pack(attributes.uid, attributes.gid))
    if attributes.mode is not None:
        flags |= _MODE
        parts.append(_U32.pack(attributes.mode))
    if attributes.mtime is not None:
        flags |= _TIMES
        atime = attributes.mtime if attributes.atime is None else attributes.atime
        parts.append(_PAIR.pack(atime, attributes.mtime))
    return _U32.pack(flags) + b"".join(parts)


def parse_u32(body: Bytes, offset: int = 0) -> int:
    """Return the number at `offset`."""
    try:
        return int(_U32.unpack_from(body, offset)[0])
    except struct.error:
        raise Malformed("a number is cut short") from None


def parse_u64s(body: Bytes, count: int) -> tuple[int, ...]:
    """Return the first `count` numbers of 64 bits."""
    try:
        return struct.unpack_from(f">{count}Q", body)
    except struct.error:
        raise Malformed("a row of numbers is cut short") from None


def parse_string(body: Bytes, offset: int = 0) -> tuple[bytes, int]:
    """Return the string at `offset` and the offset behind it."""
    start = offset + 4
    end = start + parse_u32(body, offset)
    if end > len(body):
        raise Malformed("a string is longer than its packet")
    return bytes(body[start:end]), end


def parse_attributes(body: Bytes, offset: int = 0) -> tuple[Attributes, int]:
    """Return the attributes at `offset` and the offset behind them."""
    flags = parse_u32(body, offset)
    offset += 4
    try:
        if flags == _ALL:
            return Attributes(*_COMMON.unpack_from(body, offset)), offset + 28
        size = uid = gid = mode = atime = mtime = None
        if flags & _SIZE:
            (size,) = _U64.unpack_from(body, offset)
            offset += 8
        if flags & _OWNER:
            uid, gid = _PAIR.unpack_from(body, offset)
            offset += 8
        if flags & _MODE:
            (mode,) = _U32.unpack_from(body, offset)
            offset += 4
        if flags & _TIMES:
            atime, mtime = _PAIR.unpack_from(body, offset)
            offset += 8
    except struct.error:
        raise Malformed("attributes are cut short") from None
    if flags & _EXTENDED:
        count = parse_u32(body, offset)
        offset += 4
        for _ in range(2 * count):
            _, offset = parse_string(body, offset)
    return Attributes(size, uid, gid, mode, atime, mtime), offset


def parse_names(body: bytes) -> list[tuple[str, Attributes]]:
    """Return the names in a NAME reply, with their attributes; the long form is skipped."""
    unpack = _U32.unpack_from
    found = []
    offset = 4
    end = len(body)
    try:
        for _ in range(parse_u32(body)):
            start = offset + 4
            offset = start + unpack(body, offset)[0]
            if offset > end:
                raise Malformed("a name is longer than its packet")
            text = body[start:offset].decode("utf-8", "surrogateescape")
            offset += 4 + unpack(body, offset)[0]
            attributes, offset = parse_attributes(body, offset)
            found.append((text, attributes))
    except struct.error:
        raise Malformed("a list of names is cut short") from None
    return found


def parse_extensions(body: bytes) -> dict[str, bytes]:
    """Return the pairs of a VERSION reply, behind the version."""
    extensions = {}
    offset = 0
    while offset < len(body):
        key, offset = parse_string(body, offset)
        value, offset = parse_string(body, offset)
        extensions[key.decode("utf-8", "replace")] = value
    return extensions
