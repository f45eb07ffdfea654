"""What is remembered of listings: never out of date, never more than a bound."""

import mmap
import random
import threading

import msgspec

from providers.base import Entry, Kind
from vfs.dav.pages import COST_BYTES, Pages


def _entries(count: int, version: str = "v") -> list[Entry]:
    return [Entry(f"f{number}", Kind.FILE, number, 0, version) for number in range(count)]


class _Writer:
    """Writes texts and counts them."""

    def __init__(self, size: int = 100) -> None:
        self.written = 0
        self._size = size

    def __call__(self, entries: list[Entry]) -> bytes:
        self.written += 1
        return repr(entries).encode().ljust(self._size)


def test_a_page_is_written_once_and_anew_for_whatever_changed() -> None:
    pages, write = Pages(), _Writer()
    entries = _entries(10)
    first = pages.text(1, "/d", entries, write)
    assert bytes(pages.text(1, "/d", _entries(10), write)) == first
    changes = (
        {"name": "g"},
        {"kind": Kind.FOLDER},
        {"size": 99},
        {"mtime_ns": 1},
        {"version": "w"},
        {"media_type": "text/plain"},
        {"stale_seconds": 1.0},
    )
    assert {name for change in changes for name in change} == set(Entry.__struct_fields__)
    for change in changes:
        entries[3] = msgspec.structs.replace(_entries(10)[3], **change)
        assert pages.text(1, "/d", entries, write) == _Writer()(entries)
    assert write.written == 1 + len(changes)
    for other in (_entries(9), _entries(10)[::-1], _entries(11)):
        assert pages.text(1, "/d", other, write) == _Writer()(other)


def test_questions_and_folders_have_their_own_answers() -> None:
    pages, write = Pages(), _Writer()
    pages.text(1, "/d", _entries(3), write)
    assert pages.text(2, "/d", _entries(3), lambda _: b"other") == b"other"
    assert pages.text(1, "/e", _entries(3), lambda _: b"elsewhere") == b"elsewhere"
    assert bytes(pages.text(1, "/d", _entries(3), write)) == _Writer()(_entries(3))
    assert write.written == 1


def test_they_are_bounded_in_bytes() -> None:
    """What is asked for again stays; what is not goes."""
    most = 10 * (COST_BYTES + mmap.PAGESIZE + 10)
    pages, write = Pages(most_bytes=most), _Writer(990)
    kept = _entries(2)
    for number in range(100):
        pages.text(number, "/d", _entries(5, "other"), write)
        pages.text(7777, "/d", kept, write)
    assert write.written == 101
    assert len(pages._texts) == 10
    assert 0 < pages._size <= most
    pages.text(1, "/d" * most, kept, write)
    assert len(pages._texts) == 10


def test_what_cannot_be_remembered_is_answered() -> None:
    for strange in (Entry("\udce9", Kind.FILE, 1, 0, "v"), Entry("f", Kind.FILE, 1 << 70, 0, "v")):
        pages, write = Pages(), _Writer()
        assert pages.text(1, "/d", [strange], write) == _Writer()([strange])
        assert not pages._texts
    pages, write = Pages(most_bytes=10), _Writer()
    assert pages.text(1, "/d", _entries(5), write) == _Writer()(_entries(5))
    assert not pages._texts


def test_threads_get_the_texts_of_their_own_entries() -> None:
    pages = Pages(most_bytes=50 * (COST_BYTES + mmap.PAGESIZE))
    wrong: list[bytes] = []

    def run(seed: int) -> None:
        rng = random.Random(seed)
        entries = _entries(100)
        for _ in range(500):
            start = rng.randrange(90)
            chosen = entries[start : start + 10]
            found = bytes(pages.text(rng.randrange(3), "/d", chosen, _Writer()))
            if found != _Writer()(chosen):
                wrong.append(found)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert 0 < len(pages._texts) <= 50
    assert pages._size == len(pages._texts) * (mmap.PAGESIZE + len("/d") + COST_BYTES)
