"""JobPage: jobs over HTTP, at a reserved name of the root.

GET of /ID tells how far a job is, DELETE ends it, GET of / lists the caller's own.
"""

import msgspec

from vfs.http.dates import rfc3339
from vfs.http.listing import JSON_HEADERS
from vfs.http.request import Request, Response, text_response
from vfs.http.target import quote
from vfs.jobs import Jobs
from vfs.state.derived import JobRecord, JobState

JOBS_NAME = ".headgate-jobs"

_HEADERS = [*JSON_HEADERS, ("Cache-Control", "no-store")]
_NO_JOB = "There is no such job of yours; it may have ended a day ago."


class JobPage:
    """Answers requests about jobs. Fixed once made."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def handle(self, request: Request) -> Response:
        """Answer one request; its path is what follows the reserved name."""
        job_id = request.path[1:]
        match request.method:
            case "GET" | "HEAD" if not job_id:
                mine = self._jobs.mine(request.caller)
                return _json(200, {"jobs": [shown(record, request) for record in mine]})
            case "GET" | "HEAD" | "DELETE" if job_id:
                record = self._jobs.find(request.caller, job_id)
                if record is None:
                    return text_response(404, _NO_JOB)
                if request.method == "DELETE":
                    self._jobs.cancel(record)
                    return Response(204, [])
                return _told(record, request)
        allowed = "GET, HEAD, DELETE" if job_id else "GET, HEAD"
        text = "Jobs are begun by GET of a derived file with Prefer: respond-async."
        return text_response(405, text, [("Allow", allowed)])


def accepted(record: JobRecord, request: Request) -> Response:
    """Return the answer to a request that became a job."""
    headers = [
        ("Location", place(record, request)),
        ("Preference-Applied", "respond-async"),
        ("Retry-After", "1"),
    ]
    answer = _json(202, shown(record, request))
    return Response(answer.status, [*answer.headers, *headers], answer.body)


def place(record: JobRecord, request: Request) -> str:
    """Return the address of a job."""
    return f"{request.prefix}/{JOBS_NAME}/{record.id}"


def shown(record: JobRecord, request: Request) -> dict[str, object]:
    """Return what is told of a job."""
    told: dict[str, object] = {
        "id": record.id,
        "state": record.state.value,
        "job": place(record, request),
        "file": request.prefix + quote(record.path),
        "created": rfc3339(record.created_at_ns),
        "updated": rfc3339(record.touched_at_ns),
    }
    if record.state is JobState.RUNNING:
        told["queue"] = record.place
        told["phase"] = record.phase
        told["percent"] = _percent(record)
    if record.state is JobState.FAILED:
        told["status"] = record.status
        told["detail"] = record.detail.encode("utf-8", "backslashreplace").decode()
    return told


def _told(record: JobRecord, request: Request) -> Response:
    answer = _json(200, shown(record, request))
    headers = [*answer.headers]
    if record.state is JobState.RUNNING:
        headers.append(("Retry-After", "1"))
    if record.state is JobState.DONE:
        headers.append(("Link", f'<{request.prefix + quote(record.path)}>; rel="item"'))
    return Response(answer.status, headers, answer.body)


def _percent(record: JobRecord) -> int | None:
    """Return how much is done, None when the processor does not tell."""
    return min(100, 100 * record.done // record.whole) if record.whole > 0 else None


def _json(status: int, answer: object) -> Response:
    return Response(status, list(_HEADERS), msgspec.json.encode(answer) + b"\n")
