"""The index of results: what was noted is found, whoever noted it and however it ended."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.result_index import ResultIndex


@pytest.fixture
def index(tmp_path: Path) -> Iterator[ResultIndex]:
    found = ResultIndex(tmp_path / "results.sqlite")
    yield found
    found.close()


def test_what_another_noted_is_found_at_once(index: ResultIndex, tmp_path: Path) -> None:
    other = ResultIndex(tmp_path / "results.sqlite")
    other.add("k1", "g", "a/b")
    # Not closed: as if its process had been killed.
    index.add("k2", "g", "a/c")
    assert sorted(index.take("g", "a")) == ["k1", "k2"]
    assert index.take("g", "a") == []
    other.close()


def test_names_that_are_no_text_are_found(index: ResultIndex) -> None:
    index.add("k", "g\n", "a\n\udcff/b")
    assert index.take("g\n", "a\n\udcff") == ["k"]


def test_a_row_that_was_cut_costs_no_other(index: ResultIndex, tmp_path: Path) -> None:
    index.add("k1", "g", "a")
    index.add("k2", "g", "a")
    log = tmp_path / "results.new"
    os.truncate(log, log.stat().st_size - 5)
    index.add("k3", "g", "a")
    assert sorted(index.take("g", "a")) == ["k1", "k3"]


def test_nothing_is_lost_while_the_log_is_taken_in(index: ResultIndex, tmp_path: Path) -> None:
    others = [ResultIndex(tmp_path / "results.sqlite") for _ in range(3)]
    is_over = threading.Event()

    def gather() -> None:
        while not is_over.is_set():
            index.gather()

    def note(other: ResultIndex, start: int) -> None:
        for number in range(start, start + 200):
            other.add(f"{number}", "g", f"a/{number}")

    gathering = threading.Thread(target=gather)
    noting = [
        threading.Thread(target=note, args=(other, 1000 * place))
        for place, other in enumerate(others)
    ]
    for thread in (gathering, *noting):
        thread.start()
    for thread in noting:
        thread.join()
    is_over.set()
    gathering.join()
    expected = {f"{1000 * place + number}" for place in range(3) for number in range(200)}
    assert set(index.take("g", "a")) == expected
    for other in others:
        other.close()


def test_a_log_that_cannot_be_written_is_no_error(index: ResultIndex, tmp_path: Path) -> None:
    (tmp_path / "results.new").mkdir()
    index.add("k", "g", "a")
