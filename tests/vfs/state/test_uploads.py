"""Upload sessions: one owner's, resumable, ended once."""

from typing import Any

import pytest

from vfs.state import limits
from vfs.state.base import PartRecord, StateStore, UploadRecord
from vfs.state.errors import Invalid, NoSuchUpload, TooMany, UploadExists


def begin(store: StateStore, upload_id: str = "u", owner: str = "ann") -> UploadRecord:
    return store.begin_upload(owner, upload_id, target="/t/f", size=10, staging="multipart-7")


def test_a_session_and_its_parts_survive_a_restart(backend: Any, clock: Any) -> None:
    with backend.open(clock) as store:
        begun = begin(store)
        for number in (2, 10, 1):
            assert store.put_part("ann", "u", PartRecord(number, 5, f"etag{number}")) is None
    with backend.open(clock) as store:
        assert begun == UploadRecord("ann", "u", "/t/f", 10, "multipart-7", clock.ns, clock.ns)
        assert store.upload("ann", "u") == begun
        assert store.uploads("ann") == [begun]
        assert [part.number for part in store.parts("ann", "u")] == [1, 2, 10]


def test_a_part_sent_again_replaces_the_first(store: StateStore) -> None:
    """The replaced part is returned, so that its bytes can be given back."""
    begin(store)
    store.put_part("ann", "u", PartRecord(1, 5, "first"))
    assert store.put_part("ann", "u", PartRecord(1, 6, "second")) == PartRecord(1, 5, "first")
    assert store.parts("ann", "u") == [PartRecord(1, 6, "second")]


def test_a_session_is_its_owners_alone(store: StateStore) -> None:
    begin(store)
    for call in (
        lambda: store.upload("bob", "u"),
        lambda: store.parts("bob", "u"),
        lambda: store.put_part("bob", "u", PartRecord(1, 1, "t")),
        lambda: store.end_upload("bob", "u"),
    ):
        with pytest.raises(NoSuchUpload):
            call()
    assert store.uploads("bob") == []
    assert begin(store, owner="bob").owner == "bob"
    with pytest.raises(UploadExists):
        begin(store)


def test_ending_forgets_the_parts_and_happens_once(store: StateStore, other: StateStore) -> None:
    begin(store)
    store.put_part("ann", "u", PartRecord(1, 5, "t"))
    other.end_upload("ann", "u")
    with pytest.raises(NoSuchUpload):
        store.end_upload("ann", "u")
    begin(store)
    assert store.parts("ann", "u") == []


def test_stale_sessions_are_found_by_their_last_part(store: StateStore, clock: Any) -> None:
    begin(store, "old")
    clock.advance(1)
    begin(store, "older")
    clock.advance(50)
    store.put_part("ann", "old", PartRecord(1, 5, "t"))
    clock.advance(60)
    assert [upload.id for upload in store.stale_uploads(untouched_seconds=100)] == ["older"]
    assert [upload.id for upload in store.stale_uploads(untouched_seconds=10)] == ["older", "old"]
    assert store.stale_uploads(untouched_seconds=1000) == []


def test_sessions_and_parts_are_bounded(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UPLOADS_PER_OWNER_MAX", 2)
    monkeypatch.setattr(limits, "PARTS_PER_UPLOAD_MAX", 2)
    begin(store, "1")
    begin(store, "2")
    with pytest.raises(TooMany):
        begin(store, "3")
    begin(store, "3", owner="bob")
    for number in (1, 2, 2):
        store.put_part("ann", "1", PartRecord(number, 5, "t"))
    with pytest.raises(TooMany):
        store.put_part("ann", "1", PartRecord(3, 5, "t"))


def test_what_cannot_be_is_refused(store: StateStore) -> None:
    for upload_id, size in (("", 1), ("x" * 256, 1), ("u", -1), ("u", 2**63), ("\ud800", 1)):
        with pytest.raises(Invalid):
            store.begin_upload("ann", upload_id, target="/f", size=size, staging="")
    store.begin_upload("ann", "'; --\udcff", target="/f\udcff", size=None, staging="\n")
    assert store.upload("ann", "'; --\udcff").size is None
    assert store.upload("ann", "'; --\udcff").target == "/f\udcff"
    for number, size in ((-1, 1), (2**63, 1), (1, 2**63), (1, -1)):
        with pytest.raises(Invalid):
            store.put_part("ann", "'; --\udcff", PartRecord(number, size, "t"))
