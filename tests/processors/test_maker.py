"""The maker: each derived file is made once, exactly, and known by where it came from."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from processors.base import Member
from processors.errors import (
    BadValue,
    Busy,
    Cancelled,
    Crashed,
    Malformed,
    OutOfRange,
    OverTime,
    Poisoned,
    SourceChanged,
    TooLarge,
)
from processors.maker import Maker, Result
from tests.processors.conftest import until
from tests.processors.tiny import MIB, Bytes, derive

DATA = bytes(range(256)) * 1000


def read(maker: Maker, result: Result) -> bytes:
    with maker.open(result) as file:
        return file.read_at(0, 1 << 30)


def runs(log: Path) -> list[int]:
    """Return the worker of each run that a tiny processor noted."""
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_file_is_made_kept_and_told_of(maker: Maker) -> None:
    source, wanted = Bytes(DATA), derive("copy")
    assert maker.cached(wanted) is None
    assert maker.plan(wanted, source.open).output.size == len(DATA)
    result = maker.make(wanted, source.open, who="ann")
    assert read(maker, result) == DATA
    assert (result.size, result.media_type) == (len(DATA), "text/x-copy")
    assert result.sha256 == sha256(DATA).hexdigest()
    assert {"queue", "read", "total"} <= set(result.timings)
    assert maker.cached(wanted) == result
    told = maker.provenance(wanted)
    assert told is not None
    assert (told.id, told.who, told.source) == (result.provenance, "ann", "/data/bytes")
    assert [step.processor for step in told.steps] == ["copy"]
    assert maker.records == [told]  # type: ignore[attr-defined]
    assert maker.make(wanted, source.open, who="bob") == result
    assert maker.purge(wanted)
    assert not maker.purge(wanted)
    assert maker.cached(wanted) is None
    with pytest.raises(FileNotFoundError):
        maker.open(result)


def test_a_local_source_is_read_from_its_descriptor(maker: Maker, tmp_path: Path) -> None:
    file = tmp_path / "source"
    file.write_bytes(DATA)
    with file.open("rb") as opened:
        source = Bytes(DATA)
        source.fileno = opened.fileno  # type: ignore[method-assign]
        assert read(maker, maker.make(derive("copy"), source.open, who="")) == DATA
        assert not source.asked


def test_a_list_of_spans_is_asked_for_at_once(maker: Maker) -> None:
    source = Bytes(DATA)
    maker.make(derive("copy"), source.open, who="")
    assert [len(spans) for spans in source.asked] == [-(-len(DATA) // 65536)]


def test_a_large_span_comes_in_pieces(maker: Maker) -> None:
    source = Bytes(os.urandom(1000) * (20 * MIB // 1000))
    result = maker.make(derive("reverse"), source.open, who="")
    assert read(maker, result) == source.data[::-1]
    assert max(size for spans in source.asked for _, size in spans) <= 8 * MIB


def test_each_step_has_the_output_of_the_one_before(maker: Maker) -> None:
    source, wanted = Bytes(DATA), derive("reverse", "copy", "reverse", "copy")
    assert maker.plan(wanted, source.open).output.size is None
    result = maker.make(wanted, source.open, who="")
    assert (read(maker, result), result.media_type) == (DATA, "text/x-copy")
    wanted = derive("copy", "reverse")
    assert read(maker, maker.make(wanted, source.open, who="")) == DATA[::-1]


def test_a_folder_is_a_source(maker: Maker) -> None:
    files = {f"{n:03}/{n}.bin": os.urandom(n * 1000) for n in range(40)}
    files["\udcff"] = b"an old name"

    class Folder:
        name, version, opened, open_now = "folder", "v1", 0, 0

        def members(self) -> Any:
            return (Member(path, len(files[path]), 0, "1") for path in sorted(files))

        @contextmanager
        def open(self, member: Member) -> Iterator[Bytes]:
            self.opened += 1
            self.open_now += 1
            yield Bytes(files[member.path], "1")
            self.open_now -= 1

    folder = Folder()
    result = maker.make(derive("names"), lambda: nullcontext(folder), who="")
    assert read(maker, result).decode().splitlines() == [
        f"{path} {sha256(files[path]).hexdigest()}".replace("\udcff", "?") for path in sorted(files)
    ]
    assert (folder.opened, folder.open_now) == (len(files), 0)


def test_a_source_with_a_name_of_no_alphabet_is_served(maker: Maker) -> None:
    source = Bytes(DATA)
    source.name = "a\udcff"
    wanted = msgspec.structs.replace(derive("copy"), source="/a/a\udcff", canonical="~/a\udcff")
    assert read(maker, maker.make(wanted, source.open, who="")) == DATA
    told = maker.provenance(wanted)
    assert told is not None
    assert told.source == "/a/a\\udcff"
    with pytest.raises(BadValue):
        maker.make(derive("copy", log="\udcff"), source.open, who="")


def test_a_folder_with_too_many_files_is_refused(make_maker: Callable[..., Maker]) -> None:
    maker = make_maker(limits={"members": 10})

    class Folder:
        name, version = "folder", "v1"

        def members(self) -> Any:
            return (Member(str(n), 0, 0, "1") for n in range(11))

        def open(self, member: Member) -> AbstractContextManager[Bytes]:
            raise AssertionError

    with pytest.raises(TooLarge, match="too many files"):
        maker.make(derive("names"), lambda: nullcontext(Folder()), who="")


def test_what_a_worker_remembers_of_a_source_holds_for_that_version(maker: Maker) -> None:
    def made(data: bytes, version: str, **params: Any) -> bytes:
        source = Bytes(data, version)
        return read(
            maker, maker.make(derive("noted", version=version, **params), source.open, who="")
        )

    assert made(b"one", "v1") == b"new"
    assert made(b"one", "v1", size=1) == sha256(b"one").digest()
    assert made(b"two", "v2") == b"new"
    assert made(b"one", "v1", size=2) == sha256(b"one").digest()


def test_info_and_values_are_asked_once(maker: Maker) -> None:
    source, steps = Bytes(DATA), derive("copy").steps
    about = {"source": "/a", "version": "v1"}
    info = maker.info(steps, source.open, **about)
    assert info["size"] == len(DATA)
    assert info["pid"] != os.getpid()
    assert maker.values(steps, "layer", source.open, **about) == range(len(DATA))
    assert maker.values(steps, "word", source.open, **about) == ["a", "b"]
    assert maker.values(steps, "else", source.open, **about) is None

    def closed() -> Any:
        raise AssertionError

    assert maker.info(steps, closed, **about) == info
    assert maker.values(steps, "layer", closed, **about) == range(len(DATA))
    assert maker.values(steps, "else", closed, **about) is None
    assert maker.info(steps, Bytes(b"x", "v2").open, source="/a", version="v2")["size"] == 1


def test_a_hundred_who_ask_share_one_computation(maker: Maker, tmp_path: Path) -> None:
    source, log, gate = Bytes(DATA), tmp_path / "log", tmp_path / "gate"
    wanted = derive("gated", log=str(log), gate=str(gate))
    with ThreadPoolExecutor(100) as threads:
        asked = [
            threads.submit(maker.make, wanted, source.open, who=f"user{n % 7}") for n in range(100)
        ]
        until(lambda: len(maker._interest._waiting.get(wanted.key, ())) == 100)
        until(lambda: runs(log))
        gate.touch()
        results = [each.result(30) for each in asked]
    assert len(runs(log)) == 1
    assert len(set(map(repr, results))) == 1
    assert read(maker, results[0]) == DATA
    assert len(maker.records) == 1  # type: ignore[attr-defined]


def test_all_who_wait_get_the_same_error(maker: Maker) -> None:
    source, wanted = Bytes(DATA), derive("refuse")
    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(maker.make, wanted, source.open, who="") for _ in range(20)]
        errors = [each.exception(30) for each in asked]
    for error in errors:
        assert isinstance(error, OutOfRange)
        assert (error.asked, error.limit, error.example) == ("99", "0-9", "refuse/9")
    assert not list(Path(maker._results._folder).rglob("new-*"))


def test_a_killed_worker_is_replaced_once(maker: Maker, tmp_path: Path) -> None:
    log = tmp_path / "log"
    wanted = derive("kill-once", log=str(log))
    result = maker.make(wanted, Bytes(DATA).open, who="")
    assert read(maker, result) == b"half of it, all of it"
    assert len(set(runs(log))) == 2


def test_a_worker_killed_from_outside_is_replaced(maker: Maker, tmp_path: Path) -> None:
    source, log, gate = Bytes(DATA), tmp_path / "log", tmp_path / "gate"
    wanted = derive("gated", log=str(log), gate=str(gate))
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(maker.make, wanted, source.open, who="")
        until(lambda: runs(log))
        os.kill(runs(log)[0], signal.SIGKILL)
        until(lambda: len(runs(log)) == 2)
        gate.touch()
        assert read(maker, asked.result(30)) == DATA


def test_what_kills_workers_is_refused_until_the_source_changes(
    maker: Maker, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    wanted = derive("kill", log=str(log))
    with pytest.raises(Crashed):
        maker.make(wanted, Bytes(DATA).open, who="")
    assert len(runs(log)) == 2
    with pytest.raises(Poisoned):
        maker.make(wanted, Bytes(DATA).open, who="")
    assert len(runs(log)) == 2
    changed = derive("kill", log=str(log), version="v2")
    with pytest.raises(Crashed):
        maker.make(changed, Bytes(DATA, "v2").open, who="")
    assert read(maker, maker.make(derive("copy"), Bytes(DATA).open, who="")) == DATA


def test_a_fault_is_logged_and_poisons_at_the_second_time(
    maker: Maker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "log"
    wanted = derive("fault", log=str(log))
    for _ in range(2):
        with pytest.raises(Crashed, match="log says why"):
            maker.make(wanted, Bytes(DATA).open, who="")
    assert "ZeroDivisionError" in caplog.text
    with pytest.raises(Poisoned):
        maker.make(wanted, Bytes(DATA).open, who="")
    assert len(runs(log)) == 2


def test_a_bomb_is_refused_and_hurts_nobody(maker: Maker) -> None:
    source = Bytes(DATA)
    with ThreadPoolExecutor(2) as threads:
        bomb = threads.submit(maker.make, derive("bomb"), source.open, who="eve")
        for n in range(5):
            assert maker.make(derive("copy", size=n), source.open, who="ann").size == len(DATA)
        error = bomb.exception(30)
    assert isinstance(error, TooLarge)
    assert error.limit == f"{256 * MIB} bytes"


@pytest.mark.parametrize("gate", ["polite", "rude"])
def test_an_endless_loop_ends(make_maker: Callable[..., Maker], gate: str) -> None:
    maker = make_maker(limits={"seconds": 0.5})
    began = time.monotonic()
    with pytest.raises(OverTime, match="stopped"):
        maker.make(derive("loop", gate=gate), Bytes(DATA).open, who="")
    assert time.monotonic() - began < 10
    assert maker.make(derive("copy"), Bytes(DATA).open, who="").size == len(DATA)


def test_a_result_may_not_be_larger_than_allowed(make_maker: Callable[..., Maker]) -> None:
    maker = make_maker(limits={"output_bytes": 3 * MIB})
    with pytest.raises(TooLarge, match="result is larger"):
        maker.make(derive("fill", size=3 * MIB + 1), Bytes(DATA).open, who="")
    assert maker.make(derive("fill", size=3 * MIB), Bytes(DATA).open, who="").size == 3 * MIB
    with pytest.raises(TooLarge, match="result is larger"):
        maker.plan(derive("copy"), Bytes(bytes(3 * MIB + 1)).open)


def test_a_plan_that_was_not_kept_is_a_fault(
    maker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    for wanted in (derive("liar", size=10), derive("liar", size=20)):
        if wanted.canonical.endswith("20"):
            maker.plan(wanted, Bytes(DATA).open)
        with pytest.raises(Crashed):
            maker.make(wanted, Bytes(DATA).open, who="")
        assert maker.cached(wanted) is None
    assert "wrote 10 bytes and had planned 9" in caplog.text


def test_a_source_that_changes_in_the_middle_gives_nothing(maker: Maker, tmp_path: Path) -> None:
    source, log, gate = Bytes(DATA), tmp_path / "log", tmp_path / "gate"
    wanted = derive("gated", log=str(log), gate=str(gate))
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(maker.make, wanted, source.open, who="")
        until(lambda: runs(log))
        source.version = "v2"
        gate.touch()
        assert isinstance(asked.exception(30), SourceChanged)
    assert maker.cached(wanted) is None
    with pytest.raises(SourceChanged):
        maker.make(wanted, Bytes(DATA, "v2").open, who="")


def test_a_local_file_that_changes_in_the_middle_gives_nothing(
    maker: Maker, tmp_path: Path
) -> None:
    """The worker has read all it wants from the descriptor: the gateway looks once more."""
    file, log, gate = tmp_path / "source", tmp_path / "log", tmp_path / "gate"
    file.write_bytes(DATA)
    wanted = derive("gated", log=str(log), gate=str(gate))
    with file.open("rb") as opened, ThreadPoolExecutor(1) as threads:
        source = Bytes(DATA)
        source.fileno = opened.fileno  # type: ignore[method-assign]
        asked = threads.submit(maker.make, wanted, source.open, who="")
        until(lambda: runs(log))
        source.version = "v2"
        gate.touch()
        assert isinstance(asked.exception(30), SourceChanged)
    assert maker.cached(wanted) is None


def test_what_reading_the_source_raises_is_raised(maker: Maker) -> None:
    class Broken(Bytes):
        def read_at(self, offset: int, size: int) -> bytes:
            raise Malformed("the disk is on fire")

    with pytest.raises(Malformed, match="on fire"):
        maker.make(derive("copy"), Broken(DATA).open, who="")


def test_the_computation_ends_when_the_last_who_waits_has_left(
    maker: Maker, tmp_path: Path
) -> None:
    source, log = Bytes(DATA), tmp_path / "log"
    wanted = derive("loop", log=str(log))
    here = [threading.Event() for _ in range(3)]

    def waiting(left: threading.Event) -> Result:
        return maker.make(wanted, source.open, who="", is_wanted=lambda: not left.is_set())

    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(waiting, left) for left in here]
        until(lambda: len(maker._interest._waiting.get(wanted.key, ())) == 3)
        until(lambda: runs(log))
        for left in here[:2]:
            left.set()
        time.sleep(0.5)
        assert Path(f"/proc/{runs(log)[0]}").exists()
        here[2].set()
        for each in asked:
            assert isinstance(each.exception(10), Cancelled)
    until(lambda: not Path(f"/proc/{runs(log)[0]}").exists())
    assert len(runs(log)) == 1


def test_who_comes_when_the_last_one_leaves_is_served(maker: Maker, tmp_path: Path) -> None:
    source, log, gate = Bytes(DATA), tmp_path / "log", tmp_path / "gate"
    wanted = derive("gated", log=str(log), gate=str(gate))
    left = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(
            maker.make, wanted, source.open, who="", is_wanted=lambda: not left.is_set()
        )
        until(lambda: runs(log))
        left.set()
        second = threads.submit(maker.make, wanted, source.open, who="")
        gate.touch()
        assert read(maker, second.result(20)) == DATA
        assert first.exception(20) is None or isinstance(first.exception(20), Cancelled)


def test_a_full_queue_refuses_and_says_when_to_come_again(
    make_maker: Callable[..., Maker], tmp_path: Path
) -> None:
    maker = make_maker(workers=1, queue=2)
    source, log, gate = Bytes(DATA), tmp_path / "log", tmp_path / "gate"
    with ThreadPoolExecutor(3) as threads:
        asked = []
        for n in range(3):
            wanted = derive("gated", size=n, log=str(log), gate=str(gate))
            asked.append(threads.submit(maker.make, wanted, source.open, who="ann"))
            until(lambda: runs(log))
        until(lambda: maker._runner._runs.waiting == 2)  # type: ignore[attr-defined]
        with pytest.raises(Busy) as refused:
            maker.make(derive("copy"), source.open, who="ann")
        assert refused.value.retry_after_seconds >= 1
        # Headers are not kept waiting by what computes.
        assert maker.plan(derive("copy"), source.open).output.size == len(DATA)
        gate.touch()
        assert [each.result(20).size for each in asked] == [len(DATA)] * 3


def test_fresh_makes_it_again_and_disturbs_no_reader(maker: Maker, tmp_path: Path) -> None:
    source, log = Bytes(DATA), tmp_path / "log"
    wanted = derive("copy", log=str(log))
    first = maker.make(wanted, source.open, who="")
    with maker.open(first) as file:
        second = maker.make(wanted, source.open, who="", fresh=True)
        assert len(runs(log)) == 2
        assert second.provenance != first.provenance
        assert file.read_at(0, len(DATA)) == DATA
    assert maker.cached(wanted) == second


def test_a_prefix_is_purged(maker: Maker) -> None:
    source = Bytes(DATA)
    for place in ("312/a", "312/b/1", "3120/a", "31"):
        maker.make(derive("copy", canonical=place), source.open, who="")
    assert maker.purge_under("other", "312") == 0
    assert maker.purge_under("copy", "312") == 2
    assert maker.purge_under("copy", "312") == 0
    assert maker.cached(derive("copy", canonical="3120/a")) is not None
    assert maker.purge_under("copy", "") == 2


def test_a_warm_call_costs_little(maker: Maker) -> None:
    """The best of many is far below what starting a process takes; `bench` has the figure."""
    source = Bytes(b"x")
    best = 1.0
    for n in range(50):
        began = time.perf_counter()
        maker.make(derive("copy", size=n), source.open, who="")
        best = min(best, time.perf_counter() - began)
    assert best < 0.02
