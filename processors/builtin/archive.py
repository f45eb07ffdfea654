"""Archive: a folder as one file, the same bytes each time."""

import io
import os
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from processors.base import MIB, Context, Folder, Member, Output, Params, Plan, Processor, Sink
from processors.builtin.members import check_name, members_of, opened, shown
from processors.errors import BadValue, Malformed, TooLarge
from processors.stream import pieces

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_FILE_MODE = 0o100644
_UNIX = 3
# What a zip can say of time: from 1980 on, until 2107, in steps of two seconds.
_ZIP_FIRST = (1980, 1, 1, 0, 0, 0)
_ZIP_LAST = (2107, 12, 31, 23, 59, 58)
_TAR_LAST = 0o77777777777
_LONGEST_NAME = 0xFFFF
_SECOND_NS = 1_000_000_000
# A deflate level changes the bytes: raise the version with it.
_LEVEL = 6


class ArchiveParams(Params, frozen=True, kw_only=True):
    """What an archive takes."""

    compression: Literal["stored", "deflate"] = "stored"
    """How the members of a zip are packed. A tar packs nothing and takes `stored` alone. With
    `stored` the size of the archive is known before it is made."""

    times: Literal["members", "constant"] = "members"
    """The times of the members: their own, in UTC and whole seconds (in a zip to two), or the same
    for all, 1980 in a zip and 1970 in a tar."""

    top: bool = True
    """Puts everything into one folder with the name of the source."""

    def __post_init__(self) -> None:
        if self.format == "tar" and self.compression != "stored":
            raise BadValue(
                "a tar packs nothing",
                asked=f"compression={self.compression}",
                limit="compression=stored",
            )


class Archive(Processor):
    """Packs every file beneath a folder into a zip or a tar, sorted by path.

    Names are UTF-8; owners and modes are not kept, nor folders that hold no file. A member that
    changes while it is packed fails the whole: an archive never mixes two versions.
    """

    name = "archive"
    pattern = "{source:path}/{compression:id}"
    params = ArchiveParams
    formats = ("zip", "tar")
    takes_folder = True

    def plan(self, source: Folder, params: ArchiveParams, context: Context) -> Plan:  # noqa: D102
        members = members_of(source, context)
        names = [_name(source, member, params) for member in members]
        whole = sum(member.size for member in members)
        if params.format == "tar":
            size: int | None = _tar_size(members, names, params)
            media_type = "application/x-tar"
        else:
            stored = params.compression == "stored"
            size = _zip_size(members, names) if stored else None
            media_type = "application/zip"
        least = size if size is not None else 0
        if least > context.limits.output_bytes:
            raise TooLarge(
                f"{source.name} is too large for one archive",
                asked=f"{least} bytes",
                limit=f"{context.limits.output_bytes} bytes",
            )
        return Plan(
            outputs=(Output(media_type=media_type, size=size),),
            bytes_wanted=whole,
            decoded_bytes=whole,
            memory_bytes=64 * MIB + 2048 * len(members),
        )

    def run(self, source: Folder, params: ArchiveParams, sink: Sink, context: Context) -> None:  # noqa: D102
        members = members_of(source, context)
        if params.format == "tar":
            _write_tar(source, members, params, sink, context)
        else:
            _write_zip(source, members, params, sink, context)

    def info(self, source: Folder, context: Context) -> Mapping[str, object]:  # noqa: D102
        members = members_of(source, context)
        whole = sum(member.size for member in members)
        names = [_name(source, member, ArchiveParams(format="tar")) for member in members]
        return {
            "members": len(members),
            "bytes": whole,
            "tar_bytes": _tar_size(members, names, ArchiveParams(format="tar")),
            "zip_stored_bytes": _zip_size(members, names),
        }


def _name(folder: Folder, member: Member, params: ArchiveParams) -> str:
    name = f"{folder.name}/{member.path}" if params.top and folder.name else member.path
    check_name(name)
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Malformed(f"the name {shown(name)} is no UTF-8 and cannot be archived") from None
    if size > _LONGEST_NAME:
        raise Malformed(f"the name {shown(name)} is too long", limit=f"{_LONGEST_NAME} bytes")
    # To Windows a backslash parts folders, and a colon names a drive: "..\" would leave the folder.
    if params.format == "zip" and ("\\" in name or ":" in name.partition("/")[0]):
        raise Malformed(f"the name {shown(name)} is not safe in a zip; a tar takes it")
    return name


def _contents(folder: Folder, member: Member, context: Context) -> Iterator[bytes]:
    with opened(folder, member) as source:
        yield from pieces(source, context)


def _tar_header(member: Member, name: str, params: ArchiveParams) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = member.size
    info.mode = _FILE_MODE & 0o777
    if params.times == "members":
        info.mtime = min(max(0, member.mtime_ns // _SECOND_NS), _TAR_LAST)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _padded(size: int, block: int) -> int:
    return -(-size // block) * block


def _tar_size(members: list[Member], names: list[str], params: ArchiveParams) -> int:
    size = sum(
        len(_tar_header(member, name, params)) + _padded(member.size, tarfile.BLOCKSIZE)
        for member, name in zip(members, names, strict=True)
    )
    return _padded(size + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE)


def _write_tar(
    folder: Folder, members: list[Member], params: ArchiveParams, sink: Sink, context: Context
) -> None:
    written = 0
    for done, member in enumerate(members):
        header = _tar_header(member, _name(folder, member, params), params)
        sink.write(header)
        for piece in _contents(folder, member, context):
            sink.write(piece)
        end = _padded(member.size, tarfile.BLOCKSIZE)
        sink.write(bytes(end - member.size))
        written += len(header) + end
        context.progress(done + 1, len(members))
    whole = _padded(written + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE)
    sink.write(bytes(whole - written))


def _zip_size(members: list[Member], names: list[str]) -> int:
    """Return the size of a stored zip, as zipfile lays it out."""
    limit = zipfile.ZIP64_LIMIT
    offset = 0
    directory = 0
    for member, name in zip(members, names, strict=True):
        long = len(name.encode())
        # Local header, then central header; each is longer where it needs 64 bits.
        is_large = member.size > limit
        directory += 46 + long
        fields = 2 * is_large + (offset > limit)
        directory += 4 + 8 * fields if fields else 0
        offset += 30 + long + 20 * _needs_zip64(member) + member.size
    needs_zip64 = len(members) > zipfile.ZIP_FILECOUNT_LIMIT or max(offset, directory) > limit
    return offset + directory + 22 + (56 + 20) * needs_zip64


def _needs_zip64(member: Member) -> bool:
    # Deflate makes bytes that do not pack a little longer; zipfile allows for a twentieth.
    return member.size * 1.05 > zipfile.ZIP64_LIMIT


def _write_zip(
    folder: Folder, members: list[Member], params: ArchiveParams, sink: Sink, context: Context
) -> None:
    method = zipfile.ZIP_STORED if params.compression == "stored" else zipfile.ZIP_DEFLATED
    with (
        _Output(sink, context.limits.output_bytes) as file,
        zipfile.ZipFile(file, "w", method, compresslevel=_LEVEL) as archive,
    ):
        for done, member in enumerate(members):
            info = zipfile.ZipInfo(_name(folder, member, params), _zip_time(member, params))
            info.compress_type = method
            info.create_system = _UNIX
            info.external_attr = _FILE_MODE << 16
            info.file_size = member.size
            with archive.open(info, "w", force_zip64=_needs_zip64(member)) as into:
                for piece in _contents(folder, member, context):
                    into.write(piece)
            context.progress(done + 1, len(members))


def _zip_time(member: Member, params: ArchiveParams) -> tuple[int, int, int, int, int, int]:
    if params.times == "constant":
        return _ZIP_FIRST
    # Compared as numbers first: datetime takes no more than the year 9999.
    seconds = min(max(0, member.mtime_ns // _SECOND_NS), _TAR_LAST)
    time = datetime.fromtimestamp(seconds, UTC)
    parts = (time.year, time.month, time.day, time.hour, time.minute, time.second)
    return min(max(parts, _ZIP_FIRST), _ZIP_LAST)


class _Output(io.RawIOBase):
    """Writes into the file of a sink at any position, as zipfile does.

    It returns to each member's header when the checksum is known, so that no member needs a data
    descriptor, which programs that unpack while they receive do not take.
    """

    def __init__(self, sink: Sink, limit: int) -> None:
        super().__init__()
        self._file = sink.fileno()
        self._limit = limit
        self._at = 0
        self._size = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def write(self, data: "ReadableBuffer", /) -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        if self._at + size > self._limit:
            raise TooLarge("the archive is too large", limit=f"{self._limit} bytes")
        while view:
            done = os.pwrite(self._file, view, self._at)
            self._at += done
            view = view[done:]
        self._size = max(self._size, self._at)
        return size
