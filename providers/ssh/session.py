"""The operations of SFTP version 3, with the extensions that OpenSSH and others add."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from providers.errors import StorageError, Unsupported
from providers.ssh import batch, transfer, wire
from providers.ssh.batch import Small
from providers.ssh.exchange import Request
from providers.ssh.requests import Requests
from providers.ssh.transfer import IN_FLIGHT, Upload
from providers.ssh.wire import Attributes

# A flush, a checksum or a copy at the server takes as long as its disks need.
_PATIENCE_SECONDS: Final = 300.0
_COPY_PIECE_BYTES: Final = 256 << 20
_NOTHING = Attributes()


class FileSystem(msgspec.Struct, frozen=True):
    """How full a file system is, as statvfs(2) tells it; sizes in units of `fragment_size`."""

    block_size: int
    fragment_size: int
    blocks: int
    blocks_free: int
    blocks_available: int
    files: int
    files_free: int
    files_available: int
    file_system: int
    flags: int
    name_max: int


class SftpSession(Requests):
    """One SFTP session: every method may be called by many threads at once.

    Paths are the server's, as `str` by surrogateescape. Errors are leaves of `providers.errors`;
    `status.Refused` where the server does not tell the cause. An extension that the server does not
    offer raises Unsupported.
    """

    # Files

    def open(
        self, path: str, flags: int = wire.FOR_READING, attributes: Attributes = _NOTHING
    ) -> bytes:
        """Return the handle of an opened file."""
        how = wire.u32(flags) + wire.pack_attributes(attributes)
        return self.handle(wire.OPEN, wire.name(path) + how, path=path)

    def close_handle(self, handle: bytes) -> None:
        """Close a handle; raise what the server could not write."""
        self.done(wire.CLOSE, wire.string(handle))

    def leave_handle(self, handle: bytes) -> None:
        """Close a handle that was read from, without waiting for the answer."""
        self.dialogue.ask(None, (Request(wire.CLOSE, wire.string(handle)),))

    def fstat(self, handle: bytes) -> Attributes:
        """Return the attributes of an open file."""
        return self.attributes(wire.FSTAT, wire.string(handle))

    def fsetstat(self, handle: bytes, attributes: Attributes) -> None:
        """Set those attributes of an open file that are not None."""
        self.done(wire.FSETSTAT, wire.string(handle) + wire.pack_attributes(attributes))

    def fsync(self, handle: bytes) -> None:
        """Return when what was written is on the server's disk."""
        self._extension("fsync@openssh.com", wire.string(handle))

    def read_into(self, handle: bytes, offset: int, view: memoryview) -> int:
        """Fill `view` from `offset`; return how much there was, less only at the file's end.

        Up to 64 pieces are asked for at once and received straight into `view`.
        """
        return transfer.read_into(self, handle, offset, view)

    def blocks(
        self, handle: bytes, offset: int, size: int, *, ahead: int = IN_FLIGHT
    ) -> Iterator[memoryview]:
        """Yield `size` bytes in order, with `ahead` blocks on their way. See `transfer.ranges`."""
        return transfer.blocks(self, handle, offset, size, ahead=ahead)

    def ranges(
        self, handle: bytes, spans: Iterable[tuple[int, int]], *, ahead: int = IN_FLIGHT
    ) -> Iterator[memoryview]:
        """Yield the bytes of each (offset, size), in order. See `transfer.ranges`."""
        return transfer.ranges(self, handle, spans, ahead=ahead)

    def upload(self, handle: bytes) -> Upload:
        """Return what writes to an open file, many pieces at once."""
        return Upload(self, handle)

    def open_read(self, path: str, first: int = 0) -> tuple[bytes, Attributes, bytes]:
        """Return a handle, the attributes and the first bytes of a file, in two round trips."""
        handle = self.open(path)
        named = wire.string(handle)
        exchange = self.dialogue.exchange()
        requests = [Request(wire.FSTAT, named, tag=wire.FSTAT)]
        if first:
            head = named + wire.span(0, min(first, self.read_size))
            requests.append(Request(wire.READ, head, tag=wire.READ))
        self.dialogue.ask(exchange, requests)
        self.dialogue.wait(exchange)
        attributes, data = _NOTHING, b""
        try:
            for tag, kind, body, _ in exchange.replies:
                if kind == wire.STATUS:
                    self.check(body, path)
                elif tag == wire.FSTAT:
                    self.expect(wire.ATTRS, kind)
                    attributes, _ = self.parse(wire.parse_attributes, body)
                else:
                    self.expect(wire.DATA, kind)
                    data, _ = self.parse(wire.parse_string, body)
        except StorageError:
            if self.alive:
                self.leave_handle(handle)
            raise
        return handle, attributes, data

    def get_many(self, paths: Iterable[str], size: int) -> Generator[Small | StorageError]:
        """Yield what stands at many paths, small files whole. See `batch.get_many`."""
        return batch.get_many(self, paths, size)

    # Names

    def stat(self, path: str) -> Attributes:
        """Return the attributes of what `path` leads to."""
        return self.attributes(wire.STAT, wire.name(path), path=path)

    def lstat(self, path: str) -> Attributes:
        """Return the attributes of `path`, of a link its own."""
        return self.attributes(wire.LSTAT, wire.name(path), path=path)

    def stat_many(
        self, paths: Sequence[str], *, follow: bool = True
    ) -> Iterator[tuple[str, Attributes | StorageError]]:
        """Yield the attributes of each path, or its error, in any order."""
        return batch.stat_many(self, paths, follow=follow)

    def enter(
        self, folder: str, looked_at: Sequence[str]
    ) -> tuple[bytes | StorageError, dict[str, Attributes | StorageError]]:
        """Return the handle of a folder, and what stands at some paths. See `batch.enter`."""
        return batch.enter(self, folder, looked_at)

    def members(
        self, path: str, handle: bytes | None = None, *, is_far: bool = False
    ) -> Generator[tuple[str, Attributes]]:
        """Yield the members of a folder with what `lstat` would tell. See `batch.members`."""
        return batch.members(self, path, handle, is_far=is_far)

    def setstat(self, path: str, attributes: Attributes) -> None:
        """Set those attributes that are not None, of what `path` leads to."""
        self.done(wire.SETSTAT, wire.name(path) + wire.pack_attributes(attributes), path=path)

    def lsetstat(self, path: str, attributes: Attributes) -> None:
        """Set those attributes that are not None, of a link its own."""
        packed = wire.name(path) + wire.pack_attributes(attributes)
        self._extension("lsetstat@openssh.com", packed, path=path)

    def mkdir(self, path: str, attributes: Attributes = _NOTHING) -> None:
        """Make a folder."""
        self.done(wire.MKDIR, wire.name(path) + wire.pack_attributes(attributes), path=path)

    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        self.done(wire.RMDIR, wire.name(path), path=path)

    def remove(self, path: str) -> None:
        """Remove a file or a link."""
        self.done(wire.REMOVE, wire.name(path), path=path)

    def rename(self, source: str, target: str) -> None:
        """Rename; what is at `target` stays, and the server refuses."""
        self.done(wire.RENAME, wire.name(source) + wire.name(target), path=source)

    def posix_rename(self, source: str, target: str) -> None:
        """Rename as rename(2) does: what is at `target` is replaced in one step."""
        names = wire.name(source) + wire.name(target)
        self._extension("posix-rename@openssh.com", names, path=source)

    def hardlink(self, source: str, target: str) -> None:
        """Make `target` another name of `source`; refused when it exists."""
        names = wire.name(source) + wire.name(target)
        self._extension("hardlink@openssh.com", names, path=source)

    def readlink(self, path: str) -> str:
        """Return where a link leads, as it is written."""
        return self.one_name(wire.READLINK, wire.name(path), path=path)

    def symlink(self, target: str, path: str) -> None:
        """Make a link at `path` that leads to `target`.

        The order on the wire is that of OpenSSH, which all others follow, not that of the draft.
        """
        self.done(wire.SYMLINK, wire.name(target) + wire.name(path), path=path)

    def realpath(self, path: str) -> str:
        """Return the absolute path without links; "." gives the folder where a login starts."""
        return self.one_name(wire.REALPATH, wire.name(path), path=path)

    def expand_path(self, path: str) -> str:
        """Return the absolute path, with "~" and "~user" resolved by the server."""
        self._need("expand-path@openssh.com", path)
        name = wire.string(b"expand-path@openssh.com")
        return self.one_name(wire.EXTENDED, name, wire.name(path), path=path)

    # What only some servers do

    def copy_data(self, source: bytes, target: bytes, size: int) -> None:
        """Copy `size` bytes from the beginning of one open file to that of another, at the server.

        In pieces, so that a server that works can be told from one that hangs.
        """
        for offset in range(0, size, _COPY_PIECE_BYTES):
            piece = min(_COPY_PIECE_BYTES, size - offset)
            self._extension(
                "copy-data",
                wire.string(source) + wire.u64(offset) + wire.u64(piece),
                wire.string(target) + wire.u64(offset),
            )

    def statvfs(self, path: str) -> FileSystem:
        """Return how full the file system is that holds `path`."""
        self._need("statvfs@openssh.com", path)
        body = self.extended("statvfs@openssh.com", wire.name(path), path=path)
        return FileSystem(*self.parse(wire.parse_u64s, body, 11))

    def check_file(self, path: str, algorithms: Sequence[str]) -> tuple[str, bytes]:
        """Return the first of `algorithms` that the server has, and the digest of a whole file."""
        self._need("check-file", path)
        wanted = wire.string(",".join(algorithms).encode())
        kind, body = self.request(
            wire.EXTENDED,
            wire.string(b"check-file-name") + wire.name(path) + wanted,
            wire.u64(0) + wire.u64(0) + wire.u32(0),
            path=path,
            patience_seconds=_PATIENCE_SECONDS,
        )
        self.expect(wire.EXTENDED_REPLY, kind)
        algorithm, end = self.parse(wire.parse_string, body)
        if algorithm == b"check-file":  # some servers say the extension's name first
            algorithm, end = self.parse(wire.parse_string, body, end)
        return algorithm.decode("ascii", "replace"), body[end:]

    def _extension(self, extension: str, *parts: wire.Bytes, path: str = "") -> None:
        """Send an extended request that is answered by a status."""
        self._need(extension, path)
        self.done(
            wire.EXTENDED,
            wire.string(extension.encode()),
            *parts,
            path=path,
            patience_seconds=_PATIENCE_SECONDS,
        )

    def _need(self, extension: str, path: str) -> None:
        if not self.offers(extension):
            raise Unsupported(path, detail=f"the SFTP server does not offer {extension}")
