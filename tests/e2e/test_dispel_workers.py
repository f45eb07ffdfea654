"""Derived files of a gateway of several worker processes: made once, by one of them, for all."""

import contextlib
import ctypes
import os
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.e2e import pack
from tests.e2e.wire import Answer, ask, keep, send
from tests.servers import headgate
from tests.servers.daemon import Daemon

CLIENTS = 12
# Some 700 KB of text: packing them takes longer than it takes all clients to ask.
NAME = "dispel/hist/~/archive/a.tif/~/0.csv"
_MOVED_TO = 0x80
_EVENT = struct.Struct("iIII")


class Arrivals:
    """Counts the files that get their name in a folder, each time that one does."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._file = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._file >= 0
        assert libc.inotify_add_watch(self._file, os.fsencode(folder), _MOVED_TO) >= 0

    def seen(self) -> Counter[str]:
        """Return how often each came since this was asked last."""
        names: Counter[str] = Counter()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._file, 1 << 16):
                while data:
                    *_, length = _EVENT.unpack_from(data)
                    name, data = data[_EVENT.size :][:length], data[_EVENT.size + length :]
                    names[name.rstrip(b"\0").decode()] += 1
        return names

    def close(self) -> None:
        os.close(self._file)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    root = tmp_path / "archive"
    root.mkdir()
    noise = np.random.default_rng(3).integers(0, 1 << 16, (1024, 1024), dtype=np.uint16)
    tifffile.imwrite(root / "a.tif", noise, tile=(256, 256), metadata=None)
    mounts = {"archive": {"provider": "local", "root": str(root)}}
    with headgate.launch(tmp_path, mounts=mounts, workers=2, more="[processing]") as daemon:
        yield daemon


def together(daemon: Daemon, **headers: str) -> list[Answer]:
    """Ask for one file on many connections at once, some of them with each worker."""
    target = daemon.target
    with contextlib.ExitStack() as stack:
        both = stack.enter_context(pack.each(daemon))
        connections = [connection for connection, _ in both]
        connections += [stack.enter_context(keep(target)) for _ in range(CLIENTS - len(both))]
        for connection in connections:
            send(connection, target, "OPTIONS")
        start, answers = threading.Barrier(len(connections)), []

        def get(number: int) -> None:
            start.wait()
            answers.append(send(connections[number], target, "GET", NAME, None, **headers))

        threads = [threading.Thread(target=get, args=(n,)) for n in range(len(connections))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return answers


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_coding_is_made_once_for_the_clients_of_all_workers(
    daemon: Daemon, tmp_path: Path, coding: str
) -> None:
    results = tmp_path / "cache" / "results" / "all"
    for turn in range(3):
        plain = ask(daemon.target, "GET", NAME)
        assert plain.status == 200
        (place,) = (folder for folder in results.iterdir() if any(folder.iterdir()))
        (base,) = place.iterdir()
        arrivals = Arrivals(place)
        answers = together(daemon, Accept_Encoding=coding)
        assert arrivals.seen() == {f"{base.name}-{coding}": 1}, f"turn {turn}"
        arrivals.close()
        assert len(answers) == CLIENTS
        assert {answer.status for answer in answers} == {200}
        assert {answer.header("Content-Encoding") for answer in answers} == {coding}
        assert len({(answer.body, answer.header("ETag")) for answer in answers}) == 1
        assert len(answers[0].body) < len(plain.body)
        assert ask(daemon.target, "DELETE", NAME).status == 204


def test_a_result_is_made_once_for_the_clients_of_all_workers(daemon: Daemon) -> None:
    answers = together(daemon)
    assert {answer.status for answer in answers} == {200}
    # Each computation has a provenance of its own.
    assert len({answer.header("X-Provenance") for answer in answers}) == 1
    assert len({answer.body for answer in answers}) == 1
