"""Chunked: uploads in parts, as Nextcloud's clients send them, that can be resumed.

MKCOL opens an upload, PUT stores a part of it, PROPFIND lists the parts, MOVE of `.file` puts them
together as the target, DELETE ends it. An upload belongs to its caller and to the user in its
address.
"""

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from providers.base import Entry, Kind
from providers.translated import Translated
from vfs.auth.right import Right
from vfs.dav.bodies import parse_propfind
from vfs.dav.multistatus import BASIC, PropfindTemplate, multistatus
from vfs.dav.parts import Parts, name_of
from vfs.dav.propfind import href_of
from vfs.dav.transfers import overwrites
from vfs.dav.xml import MAX_BODY_BYTES
from vfs.http.bad_request import BadRequest
from vfs.http.etags import make_etag
from vfs.http.markup import CONTENT_TYPE
from vfs.http.request import Request, Response
from vfs.http.target import parse_destination
from vfs.http.upload_check import UploadCheck
from vfs.http.writing import Writing
from vfs.state.base import PartRecord, StateStore, UploadRecord
from vfs.state.limits import PARTS_PER_UPLOAD_MAX
from vfs.tree import paths
from vfs.tree.handles import TreeWriter
from vfs.tree.tree import Tree

WHOLE = ".file"
"""The member of every upload that stands for the file to be."""

READ_BYTES = 1 << 20
COPY_BYTES = 64 << 20

_NUMBER = re.compile(r"0{0,15}([1-9][0-9]{0,4})")
_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CANNOT = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF})
# What a MOVE says of the whole; other digests are of its own, empty body.
_OF_THE_WHOLE = ("oc-checksum", "repr-digest", "digest")


class _Place(NamedTuple):
    """Where a request points among the uploads; "" for what it does not name."""

    owner: str
    user: str
    upload: str
    member: str

    @property
    def key(self) -> str:
        """What the store knows the upload by: no name holds a slash."""
        return f"{self.user}/{self.upload}"


class Chunked:
    """The handlers of uploads in parts. Stateless."""

    def __init__(self, tree: Tree, store: StateStore, writing: Writing, parts: Parts) -> None:
        self._tree = tree
        self._store = store
        self._writing = writing
        self._parts = parts

    def mkcol(self, request: Request) -> Response:
        """Open an upload; whoever may store no file anywhere gets none."""
        place = _place(request)
        if not place.upload:
            raise BadRequest(405, "The folder of uploads is there already.")
        if place.member:
            raise BadRequest(403, "An upload has parts, which are stored with PUT, and no folders.")
        if request.has_body:
            raise BadRequest(415, "An upload is opened without a body.")
        destination = request.headers.get("destination")
        target = paths.ROOT
        if destination is not None:
            target = parse_destination(destination, request.origins).path
        self._check_rights(request, target)
        size = _total(request.headers)
        staging = self._parts.begin(size)
        try:
            self._store.begin_upload(
                place.owner, place.key, target=target, size=size, staging=staging
            )
        except BaseException:
            self._parts.remove(staging)
            raise
        return Response(201, [])

    def put(self, request: Request) -> Response:
        """Store one part; one that is there is replaced when the new one is whole."""
        place = _place(request)
        if not place.member:
            raise BadRequest(405, "A part is stored in an upload, which MKCOL opens.")
        upload = self._store.upload(place.owner, place.key)
        self._check_rights(request, upload.target)
        length = request.headers.get("content-length")
        if length is None:
            raise BadRequest(411, "A part needs a Content-Length.")
        size = int(length)
        number = _number(place.member, size)
        _agreed(upload, request.headers)
        if upload.size is not None and size > upload.size:
            raise BadRequest(400, f"The part is larger than the whole of {upload.size} bytes.")
        check = UploadCheck.from_headers(request.headers)
        token = self._parts.write(upload.staging, place.member, request.body, size, check)
        try:
            part = PartRecord(number, size, token)
            replaced = self._store.put_part(place.owner, place.key, part)
        except BaseException:
            self._parts.drop(upload.staging, token)
            raise
        if replaced is not None:
            self._parts.drop(upload.staging, replaced.token)
        return Response(201 if replaced is None else 204, [("ETag", make_etag(token))])

    def propfind(self, request: Request) -> Response:
        """List the caller's uploads, or the parts of one that are safely stored."""
        place = _place(request)
        depth = request.headers.get("depth", "infinity").lower()
        if depth not in ("0", "1", "infinity"):
            raise BadRequest(400, "The Depth of a PROPFIND is 0, 1 or infinity.")
        wanted = parse_propfind(request.small_body(MAX_BODY_BYTES))
        entry, members = self._listed(place)
        if depth == "infinity" and entry.is_folder:
            raise BadRequest(
                403, "List one folder at a time, with Depth: 1.", condition="propfind-finite-depth"
            )
        template = PropfindTemplate(wanted, BASIC, BASIC)
        path = request.path

        def responses() -> Iterator[str]:
            yield template.response(href_of(request, path, entry), path, entry)
            for member in members if depth == "1" else ():
                below = paths.join(path, member.name)
                yield template.response(href_of(request, below, member), below, member)

        return Response(207, [("Content-Type", CONTENT_TYPE)], multistatus(responses()))

    def move(self, request: Request) -> Response:
        """Put the parts together as the target, which stays as it is until they are whole."""
        place = _place(request)
        if place.member != WHOLE:
            raise BadRequest(403, f"Only {WHOLE} of an upload can be moved: that is the whole.")
        destination = request.headers.get("destination")
        if destination is None:
            raise BadRequest(400, "Say in a Destination header where the file shall go.")
        target = parse_destination(destination, request.origins)
        if target.is_folder:
            raise BadRequest(409, "A name that ends in a slash is a folder; name a file.")
        overwrite = overwrites(request)
        claims = {name: request.headers[name] for name in _OF_THE_WHOLE if name in request.headers}
        check = UploadCheck.from_headers(claims)
        upload = self._store.upload(place.owner, place.key)
        with self._parts.claimed(upload.staging):
            # Whoever was quicker has ended it.
            upload = self._store.upload(place.owner, place.key)
            parts = self._store.parts(place.owner, place.key)
            size = _whole(parts, _agreed(upload, request.headers))

            def fill(writer: TreeWriter, check: UploadCheck | None) -> None:
                with Translated(target.path):
                    self._assemble(upload, parts, writer, check)

            response = self._writing.store(
                request.at(target), fill, check, size, overwrite=overwrite
            )
            self._parts.end(upload)
        tags = [("OC-ETag", value) for name, value in response.headers if name == "ETag"]
        return response._replace(headers=[*response.headers, *tags])

    def delete(self, request: Request) -> Response:
        """End an upload; its parts are gone, its target stays as it is."""
        place = _place(request)
        if not place.upload or place.member:
            raise BadRequest(403, "Only a whole upload can be removed; a PUT replaces a part.")
        self._parts.end(self._store.upload(place.owner, place.key))
        return Response(204, [])

    def _check_rights(self, request: Request, target: str) -> None:
        """Raise Denied unless the caller may store the target; without one, anything."""
        rights, wanted = self._tree.rights, (Right.CREATE, Right.MODIFY)
        if target != paths.ROOT or not rights.allows_somewhere(request.caller, *wanted):
            rights.check(request.caller, target, *wanted)

    def _listed(self, place: _Place) -> tuple[Entry, Sequence[Entry] | Iterator[Entry]]:
        """Return what a PROPFIND is about, and its members."""
        if not place.upload:
            uploads = self._store.uploads(place.owner)
            home = f"{place.user}/"
            mine = (upload for upload in uploads if upload.id.startswith(home))
            return _folder(place.user, 0), (
                _folder(upload.id.removeprefix(home), upload.touched_at_ns) for upload in mine
            )
        upload = self._store.upload(place.owner, place.key)
        parts = self._store.parts(place.owner, place.key)
        found = (self._parts.entry(upload.staging, part) for part in parts)
        entries = (entry for entry in found if entry is not None)
        if not place.member:
            return _folder(place.upload, upload.touched_at_ns), entries
        for entry in entries:
            if entry.name == place.member:
                return entry, ()
        raise BadRequest(404, "There is no such part.")

    def _assemble(
        self,
        upload: UploadRecord,
        parts: Sequence[PartRecord],
        writer: TreeWriter,
        check: UploadCheck | None,
    ) -> None:
        for part in parts:
            source = self._parts.open(upload.staging, part)
            try:
                _pour(source, part.size, writer, check)
            finally:
                os.close(source)
        if self._store.parts(upload.owner, upload.id) != parts:
            raise BadRequest(
                409, "Parts arrived while they were put together; list them, and MOVE again."
            )


def _pour(source: int, size: int, writer: TreeWriter, check: UploadCheck | None) -> None:
    """Append a part to the target: inside the kernel, unless somebody wants to see the bytes."""
    target = writer.fileno()
    offset = 0
    while offset < size:
        if check is None and target is not None:
            offset += _copy(source, target, offset, min(size - offset, COPY_BYTES))
        else:
            block = os.pread(source, READ_BYTES, offset)
            if check is not None:
                check.update(block)
            writer.write(block)
            offset += len(block)


def _copy(source: int, target: int, offset: int, size: int) -> int:
    try:
        return os.copy_file_range(source, target, size, offset)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    return os.sendfile(target, source, offset, size)


def _place(request: Request) -> _Place:
    names = request.path[1:].split("/")
    if len(names) > 2:
        raise BadRequest(404, "An upload holds parts and no folders.")
    upload, member = (*names, "")[:2]
    return _Place(request.caller.holder, request.target.user, upload, member)


def _number(name: str, size: int) -> int:
    """Return the order of a part: its number, or the offset in a name such as rclone's."""
    numbered = _NUMBER.fullmatch(name)
    if numbered is not None and int(numbered[1]) <= PARTS_PER_UPLOAD_MAX:
        return int(numbered[1])
    ranged = _RANGE.fullmatch(name)
    if ranged is None:
        raise BadRequest(
            400,
            f"A part is named by its number, 1 to {PARTS_PER_UPLOAD_MAX}, or by its first and last"
            " byte, as 0-1048575.",
        )
    first, last = int(ranged[1]), int(ranged[2])
    if last - first + 1 != size:
        raise BadRequest(400, f"The part has {size} bytes, and its name says otherwise.")
    return first


def _total(headers: Mapping[str, str]) -> int | None:
    value = headers.get("oc-total-length")
    if value is None:
        return None
    if _LENGTH.fullmatch(value) is None:
        raise BadRequest(400, "OC-Total-Length is no number of bytes.")
    return int(value)


def _agreed(upload: UploadRecord, headers: Mapping[str, str]) -> int | None:
    """Return the size of the whole as far as it was ever told; BadRequest 400 if told twice."""
    total = _total(headers)
    if upload.size is not None and total is not None and total != upload.size:
        raise BadRequest(
            400, f"OC-Total-Length is {total}, but the upload was opened for {upload.size} bytes."
        )
    return upload.size if total is None else total


def _whole(parts: Sequence[PartRecord], total: int | None) -> int:
    """Return the size of all parts together; BadRequest 400 unless they make a whole."""
    if not parts:
        raise BadRequest(400, "No part has arrived; send the parts, then MOVE again.")
    ranged = ["-" in name_of(part) for part in parts]
    if any(ranged) != all(ranged):
        raise BadRequest(400, "Some parts are named by number and some by range; use one form.")
    size = 0
    for place, part in enumerate(parts, 1):
        expected = size if ranged[0] else place
        if part.number != expected:
            raise BadRequest(
                400,
                f"Part {name_of(part)} does not follow on the one before, or is the first and does"
                " not begin the file; send what is missing, then MOVE again.",
            )
        size += part.size
    if total is not None and size != total:
        raise BadRequest(
            400,
            f"The parts have {size} bytes together and not {total}; send what is missing, then"
            " MOVE again.",
        )
    return size


def _folder(name: str, mtime_ns: int) -> Entry:
    return Entry(name, Kind.FOLDER, 0, mtime_ns, "")
