"""The conditional headers of a method that changes something or describes it."""

from providers.base import Entry
from vfs.http.bad_request import BadRequest
from vfs.http.conditions import Verdict
from vfs.http.etags import make_etag
from vfs.http.request import Request


def etag_of(entry: Entry | None) -> str | None:
    """Return the entity tag of a file; a folder has none."""
    return None if entry is None or entry.is_folder else make_etag(entry.version)


def require(request: Request, entry: Entry | None) -> None:
    """Raise BadRequest 412 unless the request's conditions hold for what stands at its path."""
    verdict = request.conditions.verdict(
        request.method,
        exists=entry is not None,
        etag=etag_of(entry),
        mtime_ns=None if entry is None else entry.mtime_ns,
    )
    if verdict is not Verdict.PROCEED:
        raise BadRequest(412, "The resource is not in the state that the request names.")
