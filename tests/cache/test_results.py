"""Results: whole or not there, kept within limits, never taken from who reads them."""

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cache.budget import Limits
from cache.errors import ResultsFull
from cache.memo import Memo, MemoKeeper
from cache.result_file import ResultRecord
from cache.results import Results
from tests.cache.test_full import small_disk  # noqa: F401 - a fixture

ROOT = str(Path(__file__).resolve().parents[2])


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Results]]:
    """Return a function that opens results; all are closed at the end."""
    made: list[Results] = []

    def build(folder: Path | None = None, boot: str | None = None, **limits: Any) -> Results:
        limits = {"free_bytes": 0} | limits
        made.append(Results(folder or tmp_path / "cache", Limits(**limits), boot=boot))
        return made[-1]

    yield build
    for results in made:
        results.close()


def name(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()


def put(results: Results, key: str, data: bytes, *, place: str = "p", about: str = "") -> None:
    with results.begin(key, size=len(data), group="g", place=place) as draft:
        os.write(draft.fileno(), data)
        draft.commit(record(key, data, about))


def record(key: str, data: bytes, about: str = "") -> ResultRecord:
    return ResultRecord(
        key=key,
        size=len(data),
        sha256=sha256(data).hexdigest(),
        media_type="x/y",
        made_at_ns=time.time_ns(),
        about={"text": about},
    )


@pytest.mark.parametrize("size", [0, 1, 5000, 3_000_000])
@pytest.mark.parametrize("about", ["", "long" * 10_000])
def test_a_result_is_what_was_put(make: Callable[..., Results], size: int, about: str) -> None:
    results, data = make(), os.urandom(size)
    assert results.get(name(1)) is None
    put(results, name(1), data, about=about)
    file = results.get(name(1))
    assert file is not None
    with file:
        assert (file.record.size, file.record.about["text"]) == (size, about)
        assert file.read_at(0, 1 << 30) == data
        assert file.read_at(size, 10) == b""
        assert os.pread(file.fileno(), size, 0) == data
    assert results.purge(name(1))
    assert not results.purge(name(1))


def test_nothing_is_there_before_it_is_committed(make: Callable[..., Results]) -> None:
    results = make()
    with results.begin(name(1), size=None, group="g", place="p") as draft:
        os.write(draft.fileno(), b"half")
        assert results.get(name(1)) is None
    assert results.get(name(1)) is None
    assert not list(results._folder.rglob("new-*"))


def test_who_reads_reads_on_when_it_is_replaced_or_purged(make: Callable[..., Results]) -> None:
    results = make()
    put(results, name(1), b"old")
    file = results.get(name(1))
    assert file is not None
    put(results, name(1), b"newer")
    results.purge(name(1))
    assert file.read_at(0, 10) == b"old"
    file.close()
    file.close()


@pytest.mark.parametrize("at", [0, 500, -6, -10, -100])
def test_a_file_that_is_damaged_by_a_crash_of_the_machine_is_dropped(
    make: Callable[..., Results], at: int
) -> None:
    put(make(boot="one"), name(1), bytes(1000))
    place = make().place(name(1))
    data = bytearray(place.read_bytes())
    data[at] ^= 0x55
    place.write_bytes(data)
    assert make(boot="two").get(name(1)) is None
    assert not place.exists()


def test_a_sound_file_of_another_run_of_the_machine_is_verified_once(
    make: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(make(boot="one"), name(1), bytes(1000))
    results = make(boot="two")
    for _ in range(2):
        file = results.get(name(1))
        assert file is not None
        file.close()
        monkeypatch.setattr("cache.result_file._digest", None)


@pytest.mark.parametrize("size", [0, 1, 7, 15, 16, 100])
def test_a_cut_file_is_no_result(make: Callable[..., Results], size: int) -> None:
    results = make()
    put(results, name(1), b"x" * 50)
    os.truncate(results.place(name(1)), size)
    assert results.get(name(1)) is None


def test_the_longest_unused_go_first_and_no_reader_is_hurt(make: Callable[..., Results]) -> None:
    results = make(max_bytes=1_000_000)
    files = []
    for number in range(30):
        put(results, name(number), os.urandom(50_000))
        os.utime(results.place(name(number)), (number + 1000, number + 1000))
        if number in (0, 3):
            files.append(results.get(name(number)))
            os.utime(results.place(name(number)), (number + 1000, number + 1000))
    swept = results.sweep()
    assert swept.size <= 1_000_000
    kept = {number for number in range(30) if results.place(name(number)).exists()}
    assert {0, 3} <= kept
    assert kept - {0, 3} == set(range(min(kept - {0, 3}), 30))
    for file in files:
        assert file is not None
        assert len(file.read_at(0, 50_000)) == 50_000
        file.close()


def test_too_old_ones_go(make: Callable[..., Results]) -> None:
    results = make(max_age_seconds=100)
    put(results, name(1), b"old")
    put(results, name(2), b"new")
    os.utime(results.place(name(1)), (1000, 1000))
    assert results.sweep().removed_files == 1
    assert results.get(name(1)) is None
    assert results.place(name(2)).exists()


def test_reading_marks_as_used(make: Callable[..., Results]) -> None:
    results = make()
    put(results, name(1), b"old")
    os.utime(results.place(name(1)), (1000, 1000))
    file = results.get(name(1))
    assert file is not None
    file.close()
    assert time.time() - results.place(name(1)).stat().st_mtime < 100


def test_no_room_is_said_before_anything_is_made(make: Callable[..., Results]) -> None:
    results = make(max_bytes=1_000_000)
    with pytest.raises(ResultsFull, match="1000000 bytes"):
        results.begin(name(1), size=1_000_001, group="g", place="p")
    free = shutil.disk_usage(results._folder).free
    with pytest.raises(ResultsFull):
        make(free_bytes=2 * free).begin(name(1), size=1, group="g", place="p")


def test_room_is_made_for_a_new_one(make: Callable[..., Results]) -> None:
    results = make(max_bytes=1_000_000)
    for number in range(100):
        put(results, name(number), os.urandom(100_000))
        assert results.place(name(number)).exists()
    assert results.sweep().size <= 1_000_000


def test_a_full_disk_is_said_and_leaves_nothing(
    small_disk: Path,  # noqa: F811 - the fixture
    make: Callable[..., Results],
) -> None:
    results = make(folder=small_disk / "cache")

    def fill() -> None:
        with results.begin(name(1), size=None, group="g", place="p") as draft:
            while True:
                os.write(draft.fileno(), bytes(100_000))

    with pytest.raises(OSError, match="No space left"):
        fill()
    assert results.get(name(1)) is None
    assert not list(results._folder.rglob("new-*"))
    with pytest.raises(ResultsFull):
        results.begin(name(1), size=2 << 20, group="g", place="p")
    put(results, name(2), bytes(100_000))
    with results.begin(name(3), size=None, group="g", place="p") as draft:
        while shutil.disk_usage(small_disk).free:
            os.write(draft.fileno(), bytes(4096))
        with pytest.raises(ResultsFull):
            draft.commit(record(name(3), bytes(draft.size)))
    assert results.get(name(3)) is None


def test_a_limit_on_the_size_of_files_is_a_full_disk(tmp_path: Path) -> None:
    program = f"""
import os, resource
from pathlib import Path
from tests.cache.test_results import name, record
from cache.budget import Limits
from cache.errors import ResultsFull
from cache.results import Results
results = Results(Path({str(tmp_path)!r}), Limits(free_bytes=0))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, {resource.RLIM_INFINITY}))
data = bytes(10_000)
with results.begin(name(1), size=None, group="g", place="p") as draft:
    os.write(draft.fileno(), data)
    try:
        draft.commit(record(name(1), data))
    except ResultsFull as error:
        print(error, results.get(name(1)))
results.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "the disk of the cache refuses it: File too large None\n", done.stderr


def test_what_a_killed_process_left_is_swept_but_not_what_is_being_made(
    make: Callable[..., Results], tmp_path: Path
) -> None:
    program = f"""
import os, signal
from pathlib import Path
from cache.budget import Limits
from cache.results import Results
results = Results(Path({str(tmp_path / "cache")!r}), Limits(free_bytes=0))
draft = results.begin("ab" * 32, size=None, group="g", place="p")
os.write(draft.fileno(), b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    results = make()
    (left,) = results._folder.rglob("new-*")
    with results.begin(name(1), size=None, group="g", place="p"):
        for file in results._folder.rglob("new-*"):
            os.utime(file, (1000, 1000))
        results.sweep()
        assert not left.exists()
        assert len(list(results._folder.rglob("new-*"))) == 1


def test_a_prefix_is_whole_segments(make: Callable[..., Results]) -> None:
    results = make()
    places = ["a", "a/b", "a/b/c", "ab", "a-b", "b/a", "", "a/\udcff"]
    for number, place in enumerate(places):
        put(results, name(number), b"x", place=place)
    assert results.purge_under("other", "") == 0
    assert results.purge_under("g", "a/b") == 2
    assert results.purge_under("g", "a") == 2
    assert results.place(name(3)).exists()
    assert results.purge_under("g", "") == 4


def test_the_index_forgets_what_was_evicted(make: Callable[..., Results]) -> None:
    results = make()
    for number in range(5):
        put(results, name(number), b"x")
    results.purge(name(2))
    results._index.prune(lambda key: results.place(key).exists())
    assert sorted(results._index.take("g", "")) == sorted(map(name, (0, 1, 3, 4)))


def test_a_folder_deleted_under_way_is_made_again(make: Callable[..., Results]) -> None:
    results = make()
    put(results, name(1), b"one")
    while results._folder.exists():  # the sweeper may be at work in it
        shutil.rmtree(results._folder, ignore_errors=True)
    put(results, name(1), b"two")
    file = results.get(name(1))
    assert file is not None
    assert file.read_at(0, 10) == b"two"
    file.close()


def test_many_threads_put_and_read_one_key(make: Callable[..., Results]) -> None:
    """Whoever reads sees one of the contents, whole."""
    results = make()
    contents = [bytes([n]) * (10_000 + n) for n in range(8)]
    wrong: list[bytes] = []

    def work(data: bytes) -> None:
        for _ in range(30):
            put(results, name(1), data)
            file = results.get(name(1))
            if file is not None:
                with file:
                    seen = file.read_at(0, 1 << 20)
                if seen not in contents or len(seen) != file.record.size:
                    wrong.append(seen)

    threads = [threading.Thread(target=work, args=(data,)) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_memo_gives_what_was_put(tmp_path: Path) -> None:
    memo = Memo(tmp_path)
    assert memo.get("k", "/a", "1") is None
    for value in (b"", b"value" * 1000):
        memo.put("k", "/a", "1", value)
        assert bytes(memo.get("k", "/a", "1") or b"") == value
        assert memo.get("k", "/a", "2") is None
        assert memo.get("k", "/b", "1") is None
        assert memo.get("l", "/a", "1") is None
    (place,) = (file for file in (tmp_path / "memo").rglob("*") if file.is_file())
    os.truncate(place, 100)
    assert memo.get("k", "/a", "1") is None


def test_a_memo_that_the_machines_crash_tore_is_forgotten(tmp_path: Path) -> None:
    Memo(tmp_path, boot="one").put("k", "/a", "1", bytes(1000))
    assert bytes(Memo(tmp_path, boot="two").get("k", "/a", "1") or b"") == bytes(1000)
    (place,) = (file for file in (tmp_path / "memo").rglob("*") if file.is_file())
    data = bytearray(place.read_bytes())
    data[500] = 1
    place.write_bytes(data)
    assert Memo(tmp_path, boot="three").get("k", "/a", "1") is None


def test_a_memo_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "memo").write_text("in the way")
    memo = Memo(tmp_path)
    memo.put("k", "/a", "1", b"x")
    assert memo.get("k", "/a", "1") is None


def test_a_memo_is_kept_within_limits(tmp_path: Path) -> None:
    memo = Memo(tmp_path)
    for number in range(30):
        memo.put("k", str(number), "1", os.urandom(10_000))
        os.utime(memo._place("k", str(number), "1"), (1000 + number, 1000 + number))
    keeper = MemoKeeper(tmp_path, Limits(max_bytes=100_000, free_bytes=0))
    mapped = memo.get("k", "29", "1")
    swept = keeper.budget.sweep(wait=True)
    keeper.close()
    assert swept is not None
    assert swept.size <= 100_000
    assert memo.get("k", "0", "1") is None
    assert memo.get("k", "29", "1") == mapped
