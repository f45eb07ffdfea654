"""FilesApp: files by plain GET, HEAD and PUT."""

import logging
import mimetypes
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

from providers.base import Entry, Reader
from providers.errors import IsADirectory, NotFound, StorageError
from vfs import errors
from vfs.auth.caller import Caller
from vfs.tree.tree import Tree

BLOCK_BYTES = 256 * 1024

StartResponse = Callable[[str, list[tuple[str, str]]], Any]

_log = logging.getLogger(__name__)


class FilesApp:
    """A WSGI application over the tree. Stateless."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        """Answer one request; a StorageError becomes the status that the table gives."""
        caller = Caller(address=environ.get("REMOTE_ADDR", ""))
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "surrogateescape")
        try:
            match environ["REQUEST_METHOD"]:
                case "GET" | "HEAD" as method:
                    return self._get(caller, path, start, body=method == "GET")
                case "PUT":
                    return self._put(caller, path, environ, start)
                case method:
                    return _text(start, "405 Method Not Allowed", f"{method} is not served")
        except StorageError as error:
            row = errors.meaning(error)
            _log.log(row.level, "%s", error)
            return _text(start, f"{row.status} Refused", errors.sentence(error))

    def _get(
        self, caller: Caller, path: str, start: StartResponse, *, body: bool
    ) -> Iterable[bytes]:
        try:
            reader = self._tree.open(caller, path)
        except IsADirectory:
            lines = _listing(self._tree.scandir(caller, path))
            start("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
            return lines if body else []
        entry = reader.entry
        kind = entry.media_type or mimetypes.guess_type(entry.name)[0]
        start(
            "200 OK",
            [
                ("Content-Type", kind or "application/octet-stream"),
                ("Content-Length", str(entry.size)),
                ("Last-Modified", formatdate(entry.mtime_ns // 10**9, usegmt=True)),
                ("ETag", f'"{quote(entry.version)}"'),
            ],
        )
        if body:
            return _blocks(reader)
        reader.close()
        return []

    def _put(
        self, caller: Caller, path: str, environ: dict[str, Any], start: StartResponse
    ) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or None
        size = int(length) if length is not None else None
        try:
            writer = self._tree.create(caller, path, size_hint=size)
        except NotFound:
            return _text(start, "409 Conflict", f"{path}: its folder does not exist")
        received = 0
        with writer:
            while block := environ["wsgi.input"].read(BLOCK_BYTES):
                writer.write(block)
                received += len(block)
            if size is not None and received != size:
                detail = f"{received} of {size} bytes came; nothing was stored"
                return _text(start, "400 Bad Request", detail)
            writer.commit()
        start("201 Created" if writer.created else "204 No Content", [("Content-Length", "0")])
        return []


def _text(start: StartResponse, status: str, text: str) -> list[bytes]:
    body = f"{text}\n".encode(errors="backslashreplace")
    start(
        status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    )
    return [body]


def _listing(entries: Iterator[Entry]) -> Iterator[bytes]:
    for entry in entries:
        yield f"{entry.name}{'/' if entry.is_folder else ''}\n".encode(errors="backslashreplace")


def _blocks(reader: Reader) -> Iterator[bytes]:
    with reader:
        offset = 0
        while block := reader.read_at(offset, BLOCK_BYTES):
            yield block
            offset += len(block)
