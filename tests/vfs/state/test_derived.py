"""Provenance and jobs: kept, bounded, and seen by all processes."""

import subprocess
from typing import Any

import msgspec
import pytest

from processors.making.provenance import Provenance, ProvenanceStep
from tests.vfs.state.conftest import Backend, Clock
from vfs.state import limits
from vfs.state.base import StateStore
from vfs.state.derived import JobRecord, JobState
from vfs.state.errors import TooMany


def told(number: int, **changes: Any) -> Provenance:
    record = Provenance(
        id=f"id{number}",
        key=f"key{number}",
        template="t",
        template_digest="d",
        canonical="t/a\udcff",
        source="/archive/a",
        source_version="v1",
        steps=(ProvenanceStep("tiff.window", 2, {"layer": 12, "grid": {"x0": 0}}),),
        media_type="image/tiff",
        size=number,
        sha256="ab" * 32,
        who="ann",
        made_at_ns=1_700_000_000_000_000_000 + number,
        timings={"read": 0.25},
    )
    return msgspec.structs.replace(record, **changes)


def job(job_id: str, holder: str = "ann") -> JobRecord:
    return JobRecord(id=job_id, holder=holder, path="/dispel/a", state=JobState.RUNNING)


def test_provenance_is_given_back_as_it_was(store: StateStore) -> None:
    store.add_provenance([told(1), told(2)])
    store.add_provenance([told(2, who="other")])
    assert store.provenance("key1") == told(1)
    assert store.provenance("key2") == told(2)
    assert store.provenance("key3") is None


def test_the_youngest_record_of_a_key_counts(store: StateStore) -> None:
    store.add_provenance([told(1, key="k"), told(2, key="k")])
    assert store.provenance("k") == told(2, key="k")


def test_what_was_made_from_a_source_is_found(store: StateStore) -> None:
    store.add_provenance([told(n, source="/a" if n % 2 else "/b") for n in range(10)])
    assert [record.size for record in store.provenance_from("/a", 3)] == [9, 7, 5]
    assert store.provenance_from("/c") == []


def test_the_oldest_provenance_is_pruned(backend: Backend) -> None:
    clock = Clock()
    with backend.open(clock) as store:
        store.add_provenance([told(n, made_at_ns=clock.ns + n) for n in range(10)])
        assert store.prune_provenance(most=7, older_than_seconds=None) == 3
        assert store.provenance("key2") is None
        clock.advance(100)
        store.add_provenance([told(20, made_at_ns=clock.ns)])
        assert store.prune_provenance(most=100, older_than_seconds=50) == 7
        assert store.provenance("key9") is None
        assert store.provenance("key20") is not None


def test_a_job_is_followed_to_its_end(store: StateStore) -> None:
    begun = store.begin_job(job("j"))
    assert begun.created_at_ns
    assert store.job("j") == begun
    assert store.touch_job("j", phase="read", place=0, done=3, whole=7)
    now = store.job("j")
    assert now is not None
    assert (now.phase, now.done, now.whole) == ("read", 3, 7)
    assert store.end_job("j", JobState.FAILED, status=413, detail="too large \udcff")
    assert not store.end_job("j", JobState.DONE)
    assert not store.touch_job("j", phase="", place=0, done=7, whole=7)
    ended = store.job("j")
    assert ended is not None
    assert (ended.state, ended.status) == (JobState.FAILED, 413)
    assert store.job("k") is None


def test_jobs_are_bounded_for_one_and_for_all(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOBS_PER_HOLDER_MAX", 2)
    monkeypatch.setattr(limits, "JOBS_MAX", 3)
    for job_id in ("1", "2"):
        store.begin_job(job(job_id))
    with pytest.raises(TooMany):
        store.begin_job(job("3"))
    store.begin_job(job("3", "bob"))
    with pytest.raises(TooMany):
        store.begin_job(job("4", "eve"))
    assert {record.id for record in store.jobs("ann")} == {"1", "2"}
    assert store.jobs("eve") == []


def test_a_job_whose_process_is_gone_has_failed_and_is_forgotten(backend: Backend) -> None:
    clock = Clock()
    with backend.open(clock) as store:
        store.begin_job(job("j"))
        clock.advance(limits.JOB_SILENT_SECONDS + 1)
        gone = store.job("j")
        assert gone is not None
        assert (gone.state, gone.status) == (JobState.FAILED, 503)
        clock.advance(limits.JOB_SECONDS)
        store.begin_job(job("k"))
        assert store.job("j") is None


def test_a_job_is_ended_from_another_process(backend: Backend, store: StateStore) -> None:
    store.begin_job(job("j"))
    child: subprocess.Popen[str] = backend.start(
        "from vfs.state.derived import JobState\nprint(store.end_job('j', JobState.CANCELLED))"
    )
    assert child.communicate()[0].strip() == "True"
    assert not store.touch_job("j", phase="", place=0, done=0, whole=0)
