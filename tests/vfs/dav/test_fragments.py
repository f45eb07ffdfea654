"""What is remembered of answers: never out of date, never more than a bound."""

import random
import threading

import msgspec

from providers.base import Entry, Kind
from vfs.dav.fragments import COST_BYTES, Fragments


def _entries(count: int, version: str = "v") -> list[Entry]:
    return [Entry(f"f{number}", Kind.FILE, number, 0, version) for number in range(count)]


class _Maker:
    """Writes texts and counts them."""

    def __init__(self, size: int = 20) -> None:
        self.made = 0
        self._size = size

    def __call__(self, entries: list[Entry]) -> list[bytes]:
        self.made += len(entries)
        return [f"{entry.name} {entry.version}".encode().ljust(self._size) for entry in entries]


def test_a_text_is_made_once_and_anew_for_whatever_changed() -> None:
    fragments, make = Fragments(), _Maker()
    entries = _entries(10)
    first = fragments.texts(1, entries, make)
    assert fragments.texts(1, entries, make) == first
    assert make.made == 10
    entries[3] = msgspec.structs.replace(entries[3], version="w")
    entries[5] = msgspec.structs.replace(entries[5], mtime_ns=1)
    again = fragments.texts(1, entries, make)
    assert make.made == 12
    assert [place for place in range(10) if again[place] != first[place]] == [3]
    assert again == _Maker()(entries)


def test_questions_have_their_own_answers() -> None:
    fragments, make = Fragments(), _Maker()
    fragments.texts(1, _entries(3), make)
    other = fragments.texts(2, _entries(3), lambda entries: [b"other"] * len(entries))
    assert other == [b"other"] * 3


def test_a_generation_is_bounded_in_bytes() -> None:
    """What is asked for again stays; what is not goes."""
    fragments = Fragments(most_bytes=10 * (COST_BYTES + 100))
    make = _Maker(100)
    kept = _entries(2)
    for number in range(100):
        fragments.texts(number, _entries(5, "other"), make)
        fragments.texts(7, kept, make)
    assert make.made <= 100 * 5 + 2
    held = [*fragments._young.values(), *fragments._old.values()]
    assert sum(map(len, held)) <= 20


def test_a_page_that_is_larger_than_a_generation_is_answered() -> None:
    fragments, make = Fragments(most_bytes=10), _Maker()
    assert fragments.texts(1, _entries(5), make) == _Maker()(_entries(5))


def test_threads_get_the_texts_of_their_own_entries() -> None:
    fragments = Fragments(most_bytes=50 * (COST_BYTES + 20))
    wrong: list[bytes] = []

    def run(seed: int) -> None:
        rng = random.Random(seed)
        entries = _entries(100)
        for _ in range(200):
            chosen = rng.sample(entries, 30)
            found = fragments.texts(rng.randrange(3), chosen, _Maker())
            if found != _Maker()(chosen):
                wrong.extend(found)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
