"""The part of the state store's contract that is about derived files: provenance and jobs.

The general promises of `base` hold. Both are bounded: provenance by `prune_provenance`, jobs by
`limits`, and by their age once they have ended.
"""

import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

from processors.making.provenance import Provenance

__all__ = ["DerivedStore", "JobRecord", "JobState"]


class JobState(enum.StrEnum):
    """What has become of a job."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One derived file that is made while nobody holds a connection open for it.

    `holder` is whom it belongs to, `path` the tree path of the file. `phase` is what it does,
    `place` how many turns it still waits, 0 once it runs; `done` of `whole` says how far it is.
    `status` and `detail` tell of a failure, as HTTP would. `touched_at_ns` is when its process last
    said that it is alive.
    """

    id: str
    holder: str
    path: str
    state: JobState
    phase: str = ""
    place: int = 0
    done: int = 0
    whole: int = 0
    status: int = 0
    detail: str = ""
    created_at_ns: int = 0
    touched_at_ns: int = 0


class DerivedStore(ABC):
    """Remembers how derived files came to be, and what is made in the background."""

    @abstractmethod
    def add_provenance(self, records: Sequence[Provenance]) -> None:
        """Keep how files came to be. A record whose id is known already changes nothing."""

    @abstractmethod
    def provenance(self, key: str) -> Provenance | None:
        """Return the youngest record of the file with this key, None if there is none."""

    @abstractmethod
    def provenance_from(self, source: str, limit: int = 100) -> list[Provenance]:
        """Return what was made from this path, in any version, the youngest first."""

    @abstractmethod
    def prune_provenance(self, *, most: int, older_than_seconds: float | None) -> int:
        """Drop the oldest records beyond `most`, and those that are older; return how many."""

    @abstractmethod
    def begin_job(self, job: JobRecord) -> JobRecord:
        """Keep a new job and return it with its times; TooMany. Old ones that ended are dropped."""

    @abstractmethod
    def job(self, job_id: str) -> JobRecord | None:
        """Return one job. One that runs, but was not touched for long, has failed."""

    @abstractmethod
    def jobs(self, holder: str) -> list[JobRecord]:
        """Return the jobs of one holder, the youngest first."""

    @abstractmethod
    def touch_job(self, job_id: str, *, phase: str, place: int, done: int, whole: int) -> bool:
        """Say how far a job is; return whether it shall go on."""

    @abstractmethod
    def end_job(self, job_id: str, state: JobState, *, status: int = 0, detail: str = "") -> bool:
        """Say what has become of a job; False when that was said before, or there is none."""
