"""Provenance and jobs in the embedded back end."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from processors.making.provenance import Provenance, ProvenanceStep
from vfs.state import keys, limits
from vfs.state.base import StateStore
from vfs.state.connections import Connections
from vfs.state.derived import JobRecord, JobState
from vfs.state.errors import TooMany

_SECOND_NS = 1_000_000_000
_PROVENANCE = (
    "SELECT id, key, template, template_digest, canonical, source, source_version, steps,"
    " media_type, size, sha256, who, timings, made_at_ns FROM provenance "
)
_JOB = (
    "SELECT id, holder, path, state, phase, place, done, whole, status, detail, created_at_ns,"
    " touched_at_ns FROM job "
)
_GONE = "the gateway process that made it has ended; ask for the file again"
_Steps = msgspec.json.Decoder(tuple[ProvenanceStep, ...])
_Timings = msgspec.json.Decoder(dict[str, float])


class SqliteDerived(StateStore):
    """The part of SqliteStore about derived files. `_lend` and `_now_ns` are fixed by the whole."""

    _lend: Connections
    _now_ns: Callable[[], int]

    def add_provenance(self, records: Sequence[Provenance]) -> None:
        with self._lend.write() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO provenance (id, key, template, template_digest, canonical,"
                " source, source_version, steps, media_type, size, sha256, who, timings,"
                " made_at_ns) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                map(_provenance_row, records),
            )

    def provenance(self, key: str) -> Provenance | None:
        with self._lend.read() as connection:
            row = connection.execute(
                _PROVENANCE + "WHERE key = ? ORDER BY number DESC LIMIT 1", (keys.encode(key),)
            ).fetchone()
        return None if row is None else _provenance(row)

    def provenance_from(self, source: str, limit: int = 100) -> list[Provenance]:
        with self._lend.read() as connection:
            rows = connection.execute(
                _PROVENANCE + "WHERE source = ? ORDER BY number DESC LIMIT ?",
                (keys.encode(source), limit),
            ).fetchall()
        return [_provenance(row) for row in rows]

    def prune_provenance(self, *, most: int, older_than_seconds: float | None) -> int:
        before = 0
        if older_than_seconds is not None:
            before = self._now_ns() - int(older_than_seconds * _SECOND_NS)
        with self._lend.write() as connection:
            done = connection.execute(
                "DELETE FROM provenance WHERE number <= (SELECT max(number) FROM provenance) - ?"
                " OR made_at_ns < ?",
                (most, before),
            )
            return done.rowcount

    def begin_job(self, job: JobRecord) -> JobRecord:
        now = self._now_ns()
        old = now - limits.JOB_SECONDS * _SECOND_NS
        job = msgspec.structs.replace(job, created_at_ns=now, touched_at_ns=now)
        with self._lend.write() as connection:
            # A job that runs is touched all the time.
            connection.execute("DELETE FROM job WHERE touched_at_ns < ?", (old,))
            for where, values, most in (
                ("", (), limits.JOBS_MAX),
                ("WHERE holder = ?", (keys.encode(job.holder),), limits.JOBS_PER_HOLDER_MAX),
            ):
                (count,) = connection.execute(
                    f"SELECT count(*) FROM job {where}",  # noqa: S608 - the text is ours
                    values,
                ).fetchone()
                if count >= most:
                    raise TooMany(f"there are {most} jobs already; end some with DELETE")
            connection.execute(
                "INSERT INTO job VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    keys.encode(job.id),
                    keys.encode(job.holder),
                    keys.encode(job.path),
                    job.state.value,
                    keys.encode(job.phase),
                    job.place,
                    job.done,
                    job.whole,
                    job.status,
                    keys.encode(job.detail),
                    now,
                    now,
                ),
            )
        return job

    def job(self, job_id: str) -> JobRecord | None:
        with self._lend.read() as connection:
            row = connection.execute(_JOB + "WHERE id = ?", (keys.encode(job_id),)).fetchone()
        return None if row is None else self._job(row)

    def jobs(self, holder: str) -> list[JobRecord]:
        with self._lend.read() as connection:
            rows = connection.execute(
                _JOB + "WHERE holder = ? ORDER BY created_at_ns DESC", (keys.encode(holder),)
            ).fetchall()
        return [self._job(row) for row in rows]

    def touch_job(self, job_id: str, *, phase: str, place: int, done: int, whole: int) -> bool:
        with self._lend.write() as connection:
            touched = connection.execute(
                "UPDATE job SET phase = ?, place = ?, done = ?, whole = ?, touched_at_ns = ?"
                " WHERE id = ? AND state = ?",
                (
                    keys.encode(phase),
                    place,
                    done,
                    whole,
                    self._now_ns(),
                    keys.encode(job_id),
                    JobState.RUNNING.value,
                ),
            )
            return touched.rowcount > 0

    def end_job(self, job_id: str, state: JobState, *, status: int = 0, detail: str = "") -> bool:
        with self._lend.write() as connection:
            ended = connection.execute(
                "UPDATE job SET state = ?, place = 0, status = ?, detail = ?, touched_at_ns = ?"
                " WHERE id = ? AND state = ?",
                (
                    state.value,
                    status,
                    keys.encode(detail),
                    self._now_ns(),
                    keys.encode(job_id),
                    JobState.RUNNING.value,
                ),
            )
            return ended.rowcount > 0

    def _job(self, row: tuple[Any, ...]) -> JobRecord:
        (
            job_id,
            holder,
            path,
            state,
            phase,
            place,
            done,
            whole,
            status,
            detail,
            created,
            touched,
        ) = row
        job = JobRecord(
            id=keys.decode(job_id),
            holder=keys.decode(holder),
            path=keys.decode(path),
            state=JobState(state),
            phase=keys.decode(phase),
            place=place,
            done=done,
            whole=whole,
            status=status,
            detail=keys.decode(detail),
            created_at_ns=created,
            touched_at_ns=touched,
        )
        silent = self._now_ns() - touched
        if job.state is JobState.RUNNING and silent > limits.JOB_SILENT_SECONDS * _SECOND_NS:
            return msgspec.structs.replace(job, state=JobState.FAILED, status=503, detail=_GONE)
        return job


def _provenance_row(record: Provenance) -> tuple[object, ...]:
    return (
        keys.encode(record.id),
        keys.encode(record.key),
        keys.encode(record.template),
        keys.encode(record.template_digest),
        keys.encode(record.canonical),
        keys.encode(record.source),
        keys.encode(record.source_version),
        msgspec.json.encode(record.steps),
        keys.encode(record.media_type),
        record.size,
        keys.encode(record.sha256),
        keys.encode(record.who),
        msgspec.json.encode(record.timings),
        record.made_at_ns,
    )


def _provenance(row: tuple[Any, ...]) -> Provenance:
    return Provenance(
        id=keys.decode(row[0]),
        key=keys.decode(row[1]),
        template=keys.decode(row[2]),
        template_digest=keys.decode(row[3]),
        canonical=keys.decode(row[4]),
        source=keys.decode(row[5]),
        source_version=keys.decode(row[6]),
        steps=_Steps.decode(row[7]),
        media_type=keys.decode(row[8]),
        size=row[9],
        sha256=keys.decode(row[10]),
        who=keys.decode(row[11]),
        timings=_Timings.decode(row[12]),
        made_at_ns=row[13],
    )
