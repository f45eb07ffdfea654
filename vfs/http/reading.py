"""GET and HEAD: files, whole or in parts, and listings of folders."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from itertools import chain

from providers import waiting
from providers.base import Reader
from providers.errors import Changed, Denied, IsADirectory, NotFound, StorageError
from vfs.http import accept, encodings
from vfs.http.answer import READ_BYTES, FileSlice
from vfs.http.bad_request import BadRequest
from vfs.http.conditions import Verdict
from vfs.http.dates import http_date
from vfs.http.digests import (
    digest_field,
    oc_algorithm,
    repr_digest_field,
    wanted_digests,
    wanted_repr_digests,
)
from vfs.http.etags import make_etag
from vfs.http.hasher import DIGEST_BYTES, Hasher
from vfs.http.job_page import accepted
from vfs.http.listing import HTML_HEADERS, JSON_HEADERS, html_listing, json_listing
from vfs.http.media_types import browser_headers, media_type
from vfs.http.prefer import async_wait
from vfs.http.query import with_query
from vfs.http.ranges import Multipart, Span, content_range, parse_range
from vfs.http.remarks import remark_headers
from vfs.http.request import Request, Response
from vfs.http.staleness import stale_headers
from vfs.jobs import Jobs
from vfs.state.derived import JobRecord
from vfs.tree.handles import TreeReader
from vfs.tree.tree import Tree

HASH_BLOCK_BYTES = 1 << 20
DIGESTS_KEPT = 4096


class Reading:
    """The handlers of GET and HEAD.

    `_tree` and `_jobs` are fixed; `_lock` guards `_digests`, which remembers digests by file
    version.
    """

    def __init__(self, tree: Tree, jobs: Jobs | None = None) -> None:
        self._tree = tree
        self._jobs = jobs
        self._lock = threading.Lock()
        self._digests: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()

    def get(self, request: Request) -> Response:
        """Answer GET, and HEAD with what GET would have answered."""
        if request.target.query and self._tree.table.is_computed(request.path):
            request = request.at(with_query(request.target))
        wait = async_wait(request.headers.get("prefer")) if request.method == "GET" else None
        if wait is not None and self._tree.table.is_computed(request.path):
            job = self._begun(request, wait)
            if job is not None:
                return accepted(job, request)
        elif request.no_cache:
            remake = request.method == "GET"
            self._tree.refresh(request.caller, request.path, remake=remake)
        try:
            return self._get(request)
        except Changed:
            # What was remembered turned out to be an older version before a byte of it was sent.
            return self._get(request)

    def _begun(self, request: Request, wait_seconds: float) -> JobRecord | None:
        """Have a derived file made by a job; None when it is there within that time."""
        if self._jobs is None or request.path.rpartition("/")[2].startswith("."):
            return None
        waiting.begin()
        try:
            return self._jobs.offer(
                request.caller, request.path, remake=request.no_cache, wait_seconds=wait_seconds
            )
        except (IsADirectory, Denied):
            return None  # a folder is listed, or refused as ever

    def _get(self, request: Request) -> Response:
        try:
            reader = self._tree.open(request.caller, request.path)
        except IsADirectory:
            return self._folder(request)
        except Denied:
            # A folder is listed, not read.
            if not self._is_folder(request):
                raise
            return self._folder(request)
        keep = False
        try:
            if request.target.is_folder:
                raise NotFound(request.path, detail="it is a file; leave the last slash out")
            response = self._file(request, reader)
            if isinstance(response.body, FileSlice) and request.method != "HEAD":
                response.body.begin()
            keep = isinstance(response.body, FileSlice | _Parts | _Coded)
            return response
        finally:
            if not keep:
                reader.close()

    def recalculate(self, request: Request) -> Response:
        """Answer a PATCH with X-Recalculate-Hash: the digest of the bytes as they are stored."""
        algorithm = oc_algorithm(request.headers["x-recalculate-hash"])
        if algorithm is None:
            known = ", ".join(DIGEST_BYTES)
            raise BadRequest(400, f"X-Recalculate-Hash names none of the algorithms {known}.")
        with self._tree.open(request.caller, request.path) as reader:
            digest = self._digest(request, reader, algorithm)
        return Response(204, [("OC-Checksum", f"{algorithm.upper()}:{digest.hex()}")])

    def _is_folder(self, request: Request) -> bool:
        try:
            return self._tree.stat(request.caller, request.path).is_folder
        except StorageError:
            return False

    def _folder(self, request: Request) -> Response:
        # Raises here, before a status is sent, when the folder cannot be listed.
        entries = self._tree.scandir(request.caller, request.path)
        first = next(entries, None)
        stale = [] if first is None else stale_headers(first)
        entries = entries if first is None else chain((first,), entries)
        if request.conditions.verdict(request.method, exists=True) is Verdict.FAILED:
            raise BadRequest(412, "A folder has no entity tag that could match.")
        offers = ("text/html", "application/json")
        chosen = accept.choose_media_type(request.headers.get("accept"), offers)
        vary = ("Vary", "Accept")
        if chosen == "application/json":
            return Response(
                200,
                [*JSON_HEADERS, vary, *stale],
                json_listing(request.path, entries, prefix=request.prefix),
            )
        return Response(
            200,
            [*HTML_HEADERS, vary, *stale],
            html_listing(request.path, entries, prefix=request.prefix),
        )

    def _file(self, request: Request, reader: TreeReader) -> Response:
        is_wanted = request.method == "GET" and not request.conditions.can_fail
        if is_wanted:
            # Whatever it is: so what is made when it is read need not be planned first.
            reader.prepare()
        entry = reader.entry
        kind = media_type(entry.name, entry.media_type)
        coding = ""
        compressible = (
            encodings.is_compressible(kind) and entry.size >= encodings.COMPRESS_FROM_BYTES
        )
        if compressible and "range" not in request.headers:
            coding = encodings.choose_coding(request.headers.get("accept-encoding"))
        etag = make_etag(entry.version, coding)
        headers = [
            ("ETag", etag),
            ("Last-Modified", http_date(entry.mtime_ns)),
            ("Accept-Ranges", "bytes"),
            *stale_headers(entry),
        ]
        if compressible:
            headers.append(("Vary", "Accept-Encoding"))
        verdict = request.conditions.verdict(
            request.method, exists=True, etag=etag, mtime_ns=entry.mtime_ns
        )
        if verdict is Verdict.NOT_MODIFIED:
            return Response(304, headers)
        if verdict is Verdict.FAILED:
            raise BadRequest(412, "The file is not in the version that the request names.")
        if request.method == "GET" and not is_wanted:
            reader.prepare()
        if reader.remarks:
            headers += remark_headers(reader.remarks, request.prefix)
        if "want-digest" in request.headers or "want-repr-digest" in request.headers:
            headers += self._digest_headers(request, reader)
        headers += browser_headers(kind)
        headers.append(("Content-Type", kind))
        if coding:
            headers.append(("Content-Encoding", coding))
            if request.method == "HEAD":
                return Response(200, headers, [])  # its length is known only once it is made
            kept = reader.coded(coding, partial(encodings.compress, coding=coding))
            if kept is not None:
                reader.close()
                headers.append(("Content-Length", str(kept.entry.size)))
                return Response(200, headers, FileSlice(kept, 0, kept.entry.size))
            return Response(200, headers, _Coded(reader, coding))
        spans = self._spans(request, etag, entry.size, entry.mtime_ns)
        if spans is None:
            headers.append(("Content-Length", str(entry.size)))
            return Response(200, headers, FileSlice(reader, 0, entry.size))
        if len(spans) == 1:
            span = spans[0]
            headers.append(("Content-Range", content_range(span, entry.size)))
            headers.append(("Content-Length", str(span.size)))
            return Response(206, headers, FileSlice(reader, span.offset, span.size))
        parts = Multipart(spans, entry.size, kind)
        headers = [header for header in headers if header[0] != "Content-Type"]
        headers.append(("Content-Type", parts.content_type))
        headers.append(("Content-Length", str(parts.length)))
        return Response(206, headers, _Parts(reader, parts))

    def _spans(self, request: Request, etag: str, size: int, mtime_ns: int) -> list[Span] | None:
        # RFC 9110, 14.2 defines Range for GET alone.
        value = request.headers.get("range")
        if value is None or request.method != "GET":
            return None
        if not request.conditions.range_applies(etag=etag, mtime_ns=mtime_ns):
            return None
        return parse_range(value, size)

    def _digest_headers(self, request: Request, reader: Reader) -> Iterator[tuple[str, str]]:
        """Yield the digests that are asked for: of the whole file, in its own coding."""
        old = wanted_digests(request.headers.get("want-digest", ""))
        new = wanted_repr_digests(request.headers.get("want-repr-digest", ""))
        if old:
            yield "Digest", digest_field(old[0], self._digest(request, reader, old[0]))
        if new and "range" not in request.headers:
            yield "Repr-Digest", repr_digest_field(new[0], self._digest(request, reader, new[0]))

    def _digest(self, request: Request, reader: Reader, algorithm: str) -> bytes:
        entry = reader.entry
        key = (request.path, entry.version, algorithm)
        with self._lock:
            known = self._digests.get(key)
            if known is not None:
                self._digests.move_to_end(key)
                return known
        waiting.begin()
        digest = self._tree.checksum(request.caller, request.path, algorithm, expect=entry.version)
        if digest is None:
            hasher = Hasher((algorithm,))
            offset = 0
            while block := reader.read_at(offset, HASH_BLOCK_BYTES):
                hasher.update(block)
                offset += len(block)
            digest = hasher.digest(algorithm)
        with self._lock:
            self._digests[key] = digest
            while len(self._digests) > DIGESTS_KEPT:
                self._digests.popitem(last=False)
        return digest


class _Coded:
    """A whole file in a content coding, made while it is sent."""

    is_read = True

    def __init__(self, reader: Reader, coding: str) -> None:
        self._reader = reader
        self._blocks = encodings.compress(FileSlice(reader, 0, reader.entry.size), coding)

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        self._reader.close()


class _Parts:
    """Several parts of a file, framed as multipart/byteranges."""

    is_read = True

    def __init__(self, reader: Reader, multipart: Multipart) -> None:
        self._reader = reader
        self._multipart = multipart

    def __iter__(self) -> Iterator[bytes]:
        pieces = self._reader.read_many(
            piece for _, span in self._multipart.parts() for piece in _pieces(span)
        )
        for head, span in self._multipart.parts():
            yield head
            for _, size in _pieces(span):
                data = next(pieces, b"")
                yield data
                if len(data) != size:
                    return
        yield self._multipart.tail

    def close(self) -> None:
        self._reader.close()


def _pieces(span: Span) -> Iterator[tuple[int, int]]:
    """Yield where a part begins, and how long it is, in portions of memory."""
    end = span.offset + span.size
    for offset in range(span.offset, end, READ_BYTES):
        yield offset, min(READ_BYTES, end - offset)
