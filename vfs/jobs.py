"""Jobs: derived files that are made while nobody holds a connection open for them.

A job does what a GET does, in a thread of its own: it opens the file as its caller, with his
rights, and has it made. What others must know of it stands in the state store, so any process of
the gateway can tell of it, and end it.
"""

import logging
import secrets
import threading

from processors.errors import Busy
from processors.work.runner import Progress
from providers.errors import StorageError
from vfs import errors
from vfs.auth.caller import Caller
from vfs.auth.right import Right
from vfs.state.base import StateStore
from vfs.state.derived import JobRecord, JobState
from vfs.state.errors import StateError
from vfs.tree.audience import Audience, waited_for
from vfs.tree.tree import Tree
from vfs.tree.unmade import Unmade

_log = logging.getLogger(__name__)

# Jobs of this process that run or wait their turn at the same time.
RUNNING_MAX = 64
# How often the store is told how far they are, and asked whether they shall go on.
_TOUCH_SECONDS = 1.0


class Job:
    """One job of this process. Fixed but for `progress`, `error` and `record`, which one sets."""

    def __init__(self, caller: Caller, path: str, *, remake: bool) -> None:
        self.caller = caller
        self.path = path
        self.remake = remake
        self.progress = Progress()
        self.error: Exception | None = None
        self.record: JobRecord | None = None
        self.is_cancelled = threading.Event()
        self.is_over = threading.Event()

    def told(self, progress: Progress) -> None:
        """Note how far it is."""
        self.progress = progress


class Jobs:
    """Runs jobs, and tells of them.

    `_tree`, `_state` and `_closed` are fixed. `_lock` guards `_running` and `_keeper`, and, with
    `Job.record`, which of the two says last what became of a job: the one who made it known, or its
    thread.
    """

    def __init__(self, tree: Tree, state: StateStore) -> None:
        self._tree = tree
        self._state = state
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._running: set[Job] = set()
        self._keeper: threading.Thread | None = None

    def offer(
        self, caller: Caller, path: str, *, remake: bool, wait_seconds: float
    ) -> JobRecord | None:
        """Have a file made; return the job, or None when the file is there within `wait_seconds`.

        Raises what making it raised within that time.
        """
        job = Job(caller, path, remake=remake)
        with self._lock:
            if len(self._running) >= RUNNING_MAX or self._closed.is_set():
                raise Unmade(path, Busy("too many jobs run", limit=f"{RUNNING_MAX} jobs"))
            self._running.add(job)
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="job-keeper", daemon=True)
                self._keeper.start()
        threading.Thread(target=self._work, args=(job,), name="job", daemon=True).start()
        if not job.is_over.wait(wait_seconds):
            record = self._note(job)
            if record is not None:
                return record
        if job.error is not None:
            raise job.error
        return None

    def find(self, caller: Caller, job_id: str) -> JobRecord | None:
        """Return a job of the caller's, or of whoever's if he administers its path."""
        record = self._state.job(job_id)
        if record is None or record.holder == caller.holder:
            return record
        is_admin = self._tree.rights.allows(caller, record.path, Right.ADMIN)
        return record if is_admin and caller.name is not None else None

    def mine(self, caller: Caller) -> list[JobRecord]:
        """Return the caller's jobs. Callers without a name are not told of each other's."""
        return [] if caller.name is None else self._state.jobs(caller.holder)

    def cancel(self, record: JobRecord) -> bool:
        """End a job; False when it had ended."""
        ended = self._state.end_job(record.id, JobState.CANCELLED)
        with self._lock:
            for job in self._running:
                if job.record is not None and job.record.id == record.id:
                    job.is_cancelled.set()
        return ended

    def close(self) -> None:
        """End all jobs of this process."""
        self._closed.set()
        with self._lock:
            running, keeper = list(self._running), self._keeper
        for job in running:
            job.is_cancelled.set()
        for job in running:
            job.is_over.wait(2 * _TOUCH_SECONDS)
        if keeper is not None:
            keeper.join(2 * _TOUCH_SECONDS)

    def _note(self, job: Job) -> JobRecord | None:
        """Make a job known that takes its time; None when it ended at this moment."""
        wish = JobRecord(
            id=secrets.token_urlsafe(18),
            holder=job.caller.holder,
            path=job.path,
            state=JobState.RUNNING,
        )
        try:
            record = self._state.begin_job(wish)
        except BaseException:
            job.is_cancelled.set()
            raise
        with self._lock:
            if not job.is_over.is_set():
                job.record = record
                return record
        self._end(job, record)
        return None

    def _work(self, job: Job) -> None:
        here = Audience(
            lambda: not job.is_cancelled.is_set(), progress=job.told, in_background=True
        )
        try:
            with waited_for(here):
                if job.remake:
                    self._tree.refresh(job.caller, job.path, remake=True)
                with self._tree.open(job.caller, job.path) as reader:
                    reader.prepare()
        except Exception as error:  # noqa: BLE001 - whoever asks for the job is told
            job.error = error
        with self._lock:
            job.is_over.set()
            self._running.discard(job)
        if job.record is not None:
            self._end(job, job.record)

    def _end(self, job: Job, record: JobRecord) -> None:
        state, status, detail = JobState.DONE, 0, ""
        match job.error:
            case None:
                pass
            case StorageError() as error:
                state, detail = JobState.FAILED, errors.sentence(error)
                status = errors.meaning(error).status
            case error:
                _log.error("job %s failed: %s", record.id, job.path, exc_info=error)
                state, status = JobState.FAILED, 500
                detail = "the gateway failed on this job; its log says why"
        if self._closed.is_set() and state is JobState.FAILED:
            status, detail = 503, "the gateway stopped; ask for the file again"
        try:
            self._state.end_job(record.id, state, status=status, detail=detail)
        except StateError as error:
            _log.warning("job %s: its end cannot be kept: %s", record.id, error)

    def _keep(self) -> None:
        """Tell the store how far the jobs are, and end those that another process cancelled."""
        while not self._closed.wait(_TOUCH_SECONDS):
            with self._lock:
                known = [(job, job.record) for job in self._running if job.record is not None]
            for job, record in known:
                progress = job.progress
                try:
                    goes_on = self._state.touch_job(
                        record.id,
                        phase=progress.phase,
                        place=progress.place,
                        done=progress.done,
                        whole=progress.whole,
                    )
                except StateError as error:
                    _log.warning("job %s: its progress cannot be kept: %s", record.id, error)
                    break
                if not goes_on and not job.is_over.is_set():
                    job.is_cancelled.set()
