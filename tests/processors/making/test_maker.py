"""The maker: each derived file is made once, exactly, and known by where it came from."""

import os
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
    OutOfRange,
    TooLarge,
)
from processors.making.maker import Maker, Result
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
    assert maker.questions.plan(wanted, source.open).output.size == len(DATA)
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
    assert maker.questions.plan(wanted, source.open).output.size is None
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
    info = maker.questions.info(steps, source.open, **about)
    assert info["size"] == len(DATA)
    assert info["pid"] != os.getpid()
    assert maker.questions.values(steps, "layer", source.open, **about) == range(len(DATA))
    assert maker.questions.values(steps, "word", source.open, **about) == ["a", "b"]
    assert maker.questions.values(steps, "else", source.open, **about) is None

    def closed() -> Any:
        raise AssertionError

    assert maker.questions.info(steps, closed, **about) == info
    assert maker.questions.values(steps, "layer", closed, **about) == range(len(DATA))
    assert maker.questions.values(steps, "else", closed, **about) is None
    assert (
        maker.questions.info(steps, Bytes(b"x", "v2").open, source="/a", version="v2")["size"] == 1
    )


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
        assert maker.questions.plan(derive("copy"), source.open).output.size == len(DATA)
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
