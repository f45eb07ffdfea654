"""AuthorizedKeys: the keys that open an account at a site, changed over SFTP, line by line."""

import contextlib
import posixpath
import secrets

from providers.errors import AlreadyExists, Denied, NotFound, StorageError, Unsupported
from providers.names import RESERVED_PREFIX
from providers.ssh import wire
from providers.ssh.session import SftpSession
from providers.ssh.status import Refused
from providers.ssh.wire import Attributes

FILE_MAX_BYTES = 1 << 20
"""A longer file of keys is not touched."""


class AuthorizedKeys:
    """The file of keys of the account that a session is logged in to. All attributes are fixed.

    It is replaced in one step, with its permissions, so that nobody is locked out by half a file.
    """

    def __init__(self, session: SftpSession, file: str) -> None:
        self._session = session
        self._file = file

    def add(self, line: str) -> None:
        """Add a line at the end; make the file, and its folder, when there is none."""
        text, attributes = self._read()
        if text and not text.endswith(b"\n"):
            text += b"\n"
        self._write(text + line.encode() + b"\n", attributes)

    def remove(self, line: str) -> bool:
        """Remove just this line, and tell whether it was there. Others are kept byte by byte."""
        text, attributes = self._read()
        lines = text.splitlines(keepends=True)
        kept = [one for one in lines if one.rstrip(b"\r\n") != line.encode()]
        if len(kept) == len(lines):
            return False
        self._write(b"".join(kept), attributes)
        return True

    def _read(self) -> tuple[bytes, Attributes | None]:
        try:
            handle = self._session.open(self._file)
        except NotFound:
            return b"", None
        try:
            attributes = self._session.fstat(handle)
            size = attributes.size or 0
            if size > FILE_MAX_BYTES:
                raise Denied(detail=f"the file of keys is over {FILE_MAX_BYTES} bytes long")
            view = memoryview(bytearray(size))
            return bytes(view[: self._session.read_into(handle, 0, view)]), attributes
        finally:
            self._session.leave_handle(handle)

    def _write(self, text: bytes, old: Attributes | None) -> None:
        session = self._session
        if old is not None and not session.offers("posix-rename@openssh.com"):
            raise Unsupported(
                detail="this server cannot replace the file of keys in one step; change it by hand"
            )
        # Behind a link stands the file that others may share.
        file = session.realpath(self._file) if old is not None else self._file
        folder = posixpath.dirname(file)
        if old is None and folder:
            with contextlib.suppress(Refused, AlreadyExists):
                session.mkdir(folder, Attributes(mode=0o700))
        temporary = posixpath.join(folder, f"{RESERVED_PREFIX}keys-{secrets.token_hex(8)}")
        flags = wire.FOR_WRITING | wire.CREATE | wire.EXCLUSIVE
        handle = session.open(temporary, flags, Attributes(mode=0o600))
        try:
            upload = session.upload(handle)
            upload.write(0, text)
            upload.finish()
            if old is not None and old.mode is not None:
                session.fsetstat(handle, Attributes(mode=old.mode & 0o777))
            if session.offers("fsync@openssh.com"):
                session.fsync(handle)
            session.close_handle(handle)
            if old is None:
                session.rename(temporary, file)
            else:
                session.posix_rename(temporary, file)
        except BaseException:
            with contextlib.suppress(StorageError):
                session.remove(temporary)
            raise
