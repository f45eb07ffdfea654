"""PUT and PATCH: files, whole or in part, that appear only when they are whole."""

import functools
from collections.abc import Callable
from typing import Protocol

from providers.base import Entry
from providers.errors import IsADirectory, NotADirectory, NotFound
from vfs.http.bad_request import BadRequest
from vfs.http.conditions import Verdict
from vfs.http.dates import http_date, parse_unix_time
from vfs.http.etags import make_etag
from vfs.http.ranges import Span, parse_content_range, parse_update_range
from vfs.http.request import Request, Response
from vfs.http.upload_check import UploadCheck
from vfs.tree.handles import TreeWriter
from vfs.tree.steps import Seen
from vfs.tree.tree import Tree

UPDATE_TYPE = "application/x-sabredav-partialupdate"


Fill = Callable[[TreeWriter, UploadCheck | None], None]
"""Writes a whole content, and shows it to the check if there is one."""


class Locks(Protocol):
    """What an upload asks of the locks."""

    def check(self, request: Request, *, is_new: bool) -> Callable[[], None]:
        """Raise when a lock or the If header forbids to write the request's path.

        Returns what asks for the locks once more.
        """

    def any(self) -> bool:
        """Tell whether there is any lock at all."""


class Writing:
    """The handlers of PUT and PATCH. Stateless.

    Everything that can refuse is asked before the first byte of the body is read, so a client
    that waits for 100 Continue never sends a body in vain.
    """

    def __init__(self, tree: Tree, locks: Locks) -> None:
        self._tree = tree
        self._locks = locks

    def put(self, request: Request) -> Response:
        """Store the body as the file, or as the part that Content-Range names."""
        headers = request.headers
        length = headers.get("content-length")
        if length is None and "transfer-encoding" not in headers:
            raise BadRequest(411, "Send a Content-Length, or the body in chunks.")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise BadRequest(415, "A coded body is not unpacked here; send the file as it is.")
        size = int(length) if length is not None else None
        if "content-range" in headers:
            span = parse_content_range(headers["content-range"], size)
            return self._change(request, lambda _size: span)
        if request.target.is_folder:
            raise BadRequest(405, "A name that ends in a slash is a folder; make it with MKCOL.")

        def fill(writer: TreeWriter, check: UploadCheck | None) -> None:
            descriptor = None if check is not None else writer.fileno()
            if descriptor is not None:
                request.body.splice(descriptor, request.path)
            for block in request.body.blocks():
                if check is not None:
                    check.update(block)
                writer.write(block)

        return self.store(request, fill, UploadCheck.from_headers(headers), size)

    def store(
        self,
        request: Request,
        fill: Fill,
        check: UploadCheck | None,
        size: int | None,
        *,
        overwrite: bool = True,
    ) -> Response:
        """Store what `fill` writes as the file, after all that can refuse it was asked."""
        mtime = request.headers.get("x-oc-mtime")
        mtime_ns = None if mtime is None else parse_unix_time("X-OC-Mtime", mtime)
        # A condition is about what is there; without one a file may be taken unseen.
        unconditional = not _is_conditional(request) and request.conditions.if_none_match is None
        unasked = (
            overwrite
            and unconditional
            and not self._locks.any()
            and self._tree.takes_unasked(request.caller, request.path)
        )
        entry: Entry | None = None
        demand_locks: Callable[[], None] = functools.partial(self._judge_late, request)
        if not unasked:
            entry = self._existing(request, unseen=overwrite and unconditional)
            demand_locks = self._judge(request, entry)
        if entry is not None and not overwrite:
            raise BadRequest(412, "Something is there already, and Overwrite is F.")
        expect = entry.version if entry is not None and _is_conditional(request) else None
        overwrite = entry is not None or (overwrite and request.conditions.if_none_match is None)
        writer = self._opened(
            request,
            lambda: self._tree.create(
                request.caller,
                request.path,
                overwrite=overwrite,
                expect=expect,
                size_hint=size,
                seen=Seen(entry),
                unasked=unasked,
            ),
        )
        with writer:
            fill(writer, check)
            if check is not None:
                check.verify()
            # Somebody may have been granted a lock while the body came in.
            demand_locks()
            stored = writer.commit()
        answer = []
        if mtime_ns is not None and self._tree.capabilities(request.path).set_mtime:
            stored = self._tree.set_mtime(request.caller, request.path, mtime_ns)
            answer.append(("X-OC-MTime", "accepted"))
        return _stored(stored, answer, created=writer.created)

    def patch(self, request: Request) -> Response:
        """Change the part of a file that X-Update-Range names (SabreDAV's partial update)."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != UPDATE_TYPE:
            raise BadRequest(
                415, f"PATCH takes {UPDATE_TYPE}.", headers=(("Accept-Patch", UPDATE_TYPE),)
            )
        length = request.headers.get("content-length")
        if length is None:
            raise BadRequest(411, "A partial update needs a Content-Length.")
        value = request.headers.get("x-update-range")
        if value is None:
            raise BadRequest(400, "Say with X-Update-Range which bytes to change.")
        return self._change(request, lambda size: parse_update_range(value, size, int(length)))

    def _change(self, request: Request, place: Callable[[int], Span]) -> Response:
        check = UploadCheck.from_headers(request.headers, partial=True)
        entry = self._existing(request)
        demand_locks = self._judge(request, entry)
        if entry is None:
            raise NotFound(request.path, detail="a part needs a file to be part of")
        if not self._tree.capabilities(request.path).modify:
            raise BadRequest(
                501, "This store takes whole files only; send the file without a range."
            )
        span = place(entry.size)
        if span.offset > entry.size:
            raise BadRequest(
                416,
                f"The file has {entry.size} bytes, so the part would leave a gap before it.",
                headers=(("Content-Range", f"bytes */{entry.size}"),),
            )
        writer = self._opened(
            request,
            lambda: self._tree.modify(request.caller, request.path, expect=entry.version),
        )
        with writer:
            offset = span.offset
            for block in request.body.blocks():
                if check is not None:
                    check.update(block)
                writer.write_at(offset, block)
                offset += len(block)
            if offset != span.offset + span.size:
                raise BadRequest(400, "The body is not as long as the range that it is for.")
            if check is not None:
                check.verify()
            # Somebody may have been granted a lock while the body came in.
            demand_locks()
            stored = writer.commit()
        return _stored(stored, [], created=False)

    def _existing(self, request: Request, *, unseen: bool = False) -> Entry | None:
        try:
            entry = self._tree.target(request.caller, request.path, unseen=unseen)
        except NotADirectory:
            raise _no_folder() from None
        if entry is not None and entry.is_folder:
            raise _is_folder(request)
        return entry

    def _judge(self, request: Request, entry: Entry | None) -> Callable[[], None]:
        verdict = request.conditions.verdict(
            request.method,
            exists=entry is not None,
            etag=None if entry is None else make_etag(entry.version),
            mtime_ns=None if entry is None else entry.mtime_ns,
        )
        if verdict is not Verdict.PROCEED:
            raise BadRequest(412, "The file is not in the version that the request names.")
        return self._locks.check(request, is_new=entry is None)

    def _judge_late(self, request: Request) -> None:
        """Judge a request that nobody asked for, should there be a lock by now."""
        if self._locks.any():
            self._judge(request, self._existing(request))

    def _opened(self, request: Request, start: Callable[[], TreeWriter]) -> TreeWriter:
        try:
            return start()
        except IsADirectory:
            raise _is_folder(request) from None
        except (NotFound, NotADirectory):
            raise _no_folder() from None


def _is_conditional(request: Request) -> bool:
    conditions = request.conditions
    return (
        conditions.if_match is not None
        or conditions.if_unmodified_since is not None
        or "if" in request.headers
    )


def _is_folder(request: Request) -> IsADirectory:
    return IsADirectory(request.path, detail="a folder cannot be written; name a file")


def _no_folder() -> BadRequest:
    return BadRequest(409, "The folder does not exist; make it with MKCOL first.")


def _stored(entry: Entry, headers: list[tuple[str, str]], *, created: bool) -> Response:
    headers += [("ETag", make_etag(entry.version)), ("Last-Modified", http_date(entry.mtime_ns))]
    return Response(201 if created else 204, headers)
