"""Files on their way out: whole and of one version, or cut where it shows."""

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from providers.local import LocalOptions, LocalProvider
from tests.servers.authority import Authority
from tests.vfs.http.conftest import Serve, Wire
from vfs.http import answer as answers
from vfs.http.answer import FileSlice

Environ = dict[str, Any]
Start = Callable[..., Any]

GET = b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n"


def files(root: Path) -> Callable[[Environ, Start], Iterable[bytes]]:
    provider = LocalProvider(LocalOptions(root=root))

    def answer(environ: Environ, start: Start) -> Iterable[bytes]:
        reader = provider.open(environ["PATH_INFO"].strip("/"))
        size = reader.entry.size
        start("200 OK", [("Content-Length", str(size))])
        return FileSlice(reader, 0, size)

    return answer


SIZES = [0, 1, 4096, 2 * answers.TAIL_BYTES, 2 * answers.TAIL_BYTES + 1, 3_000_000]


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_files_arrive_as_they_are(
    tmp_path: Path, serve: Serve, authority: Authority, size: int, *, secure: bool
) -> None:
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    served = serve(files(tmp_path), authority if secure else None)
    wire = served.dial_tls() if secure else served.dial()
    for _ in range(2):
        wire.send(GET)
        assert wire.reply().body == data


def test_a_file_system_without_sendfile_is_read(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "sendfile", refuse)
    data = os.urandom(1_000_000)
    (tmp_path / "f").write_bytes(data)
    assert serve(files(tmp_path)).ask(GET).body == data


SIZE = 24_000_000


@pytest.fixture
def half(tmp_path: Path, serve: Serve) -> Wire:
    """A transfer that is under way and waits for its reader."""
    (tmp_path / "f").write_bytes(b"old!" * (SIZE // 4))
    wire = serve(files(tmp_path)).dial(receive_bytes=64 * 1024)
    wire.send(GET)
    time.sleep(0.2)
    return wire


def test_a_file_that_shrinks_while_it_is_sent_is_cut(tmp_path: Path, half: Wire) -> None:
    os.truncate(tmp_path / "f", SIZE // 2)
    reply = half.reply()
    assert not reply.whole
    assert not reply.body.strip(b"old!")


@pytest.mark.parametrize("offset", [0, SIZE - 4])
def test_a_file_that_is_written_in_place_while_it_is_sent_is_cut(
    tmp_path: Path, half: Wire, offset: int
) -> None:
    with (tmp_path / "f").open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"new!")
    assert not half.reply().whole


def test_a_small_change_in_the_middle_of_one_step_is_noticed(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the tail leaves in one call here; the change comes right behind it."""
    path = tmp_path / "f"
    path.write_bytes(b"old!" * 250_000)
    really = os.sendfile

    def and_change(*args: int) -> int:
        with path.open("r+b") as stream:
            stream.write(b"new!")
        return really(*args)

    monkeypatch.setattr(os, "sendfile", and_change)
    assert not serve(files(tmp_path)).ask(GET).whole


def test_a_file_that_is_replaced_while_it_is_sent_stays_old_and_whole(
    tmp_path: Path, half: Wire
) -> None:
    (tmp_path / "g").write_bytes(b"new!" * (SIZE // 4))
    (tmp_path / "g").replace(tmp_path / "f")
    assert half.reply().body == b"old!" * (SIZE // 4)


def test_clients_that_vanish_leave_nothing(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "f").write_bytes(b"x" * 3_000_000)
    served = serve(files(tmp_path))
    served.ask(GET)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(200):
        wire = served.dial(receive_bytes=4096)
        wire.send(GET)
        if number % 2:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()
    end = time.monotonic() + 10
    while (left := len(list(Path("/proc/self/fd").iterdir()))) > before and time.monotonic() < end:
        time.sleep(0.05)
    assert left <= before
    assert threading.active_count() < 200
    assert len(served.ask(GET).body) == 3_000_000
