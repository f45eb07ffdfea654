"""What goes wrong between us and a site: nothing wrong is read, nothing half is seen."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from providers.base import Content
from providers.errors import (
    Changed,
    Denied,
    NoSpace,
    RateLimited,
    Unavailable,
)
from providers.pool import Pool
from providers.sftp import SftpProvider
from providers.sftp_grip import Grip, held
from providers.ssh.session import SftpSession
from providers.testing.content import is_whole, signed
from tests.servers.sshd import Sshd

pytestmark = [pytest.mark.server("sshd"), pytest.mark.server("ssh")]

OLD_SECOND = 1_600_000_000
MIB = 1 << 20

Make = Callable[..., SftpProvider]


def inside(folder: Path) -> list[str]:
    """Return all names in a folder, those of temporaries too."""
    return [member.name for member in folder.iterdir()]


def old_file(path: Path, data: bytes) -> None:
    """Make a file that is not of this second."""
    path.write_bytes(data)
    os.utime(path, (OLD_SECOND, OLD_SECOND))


def test_a_server_that_goes_and_comes_back(server: Sshd, store: SftpProvider, root: Path) -> None:
    """While it is away each call says so; when it is back the same provider serves."""
    (root / "file").write_bytes(b"x")
    assert store.stat("file").size == 1
    server.kill()
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            store.stat("file")
        assert caught.value.temporary
    with pytest.raises(Unavailable):
        store.health()
    server.start()
    store.health()
    assert store.stat("file").size == 1


def test_a_read_that_is_cut(server: Sshd, store: SftpProvider, root: Path) -> None:
    """It goes on in a new session, and every byte is right."""
    data = signed(24 * MIB)
    old_file(root / "file", data)
    with store.open("file") as reader:
        parts = []
        for number, offset in enumerate(range(0, len(data), MIB)):
            if number % 6 == 3:
                server.cut()
            parts.append(reader.read_at(offset, MIB))
    assert is_whole(b"".join(parts))


def test_a_read_that_is_cut_and_a_file_that_is_replaced(
    server: Sshd, store: SftpProvider, root: Path
) -> None:
    """In a new session another file stands at the name: Changed, and not a byte of it."""
    old_file(root / "file", signed(4 * MIB, 1))
    with store.open("file") as reader:
        reader.read_at(0, 100)
        server.cut()
        (root / "file").write_bytes(signed(4 * MIB, 2))
        with pytest.raises(Changed):
            reader.read_at(100, 100)
        with pytest.raises(Changed):
            reader.read_at(100, 3 * MIB)


def test_a_read_that_is_cut_again_while_it_is_taken_up(
    server: Sshd, store: SftpProvider, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That says nothing of the file: it is Unavailable, not Changed, and the next read goes on."""
    old_file(root / "file", signed(4 * MIB))

    def cut(*arguments: Any) -> list[Grip]:
        server.cut()
        return held(*arguments)

    with store.open("file") as reader:
        reader.read_at(0, 100)
        server.cut()
        with monkeypatch.context() as patch:
            patch.setattr("providers.sftp_reader.held", cut)
            with pytest.raises(Unavailable, match="cut once more"):
                reader.read_at(MIB, 100)
        assert is_whole(reader.read_at(0, 4 * MIB))


def test_many_pieces_that_are_cut(server: Sshd, store: SftpProvider, root: Path) -> None:
    """They go on in a new session, in order, and every byte is right."""
    data = signed(24 * MIB)
    old_file(root / "file", data)
    step = 50_000
    with store.open("file") as reader:
        parts = []
        spans = ((offset, step) for offset in range(0, len(data), step))
        for number, piece in enumerate(reader.read_many(spans)):
            parts.append(piece)
            if number in {3, 200, 300}:
                server.cut()
    assert b"".join(parts) == data


def test_a_long_read_takes_help_of_another_session(
    make: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader's own session, which looks idle between two reads, is not asked twice."""
    helped: list[SftpSession] = []
    idle = Pool.idle

    def watched(pool: Pool, others: int, but: Collection[SftpSession] = ()) -> list[SftpSession]:
        found = idle(pool, others, but)
        assert but
        assert not set(found) & set(but)
        helped.extend(found)
        return found

    monkeypatch.setattr(Pool, "idle", watched)
    store = make(connections=2, transport="openssh")
    data = signed(48 * MIB)
    old_file(root / "file", data)
    end = time.monotonic() + 10
    while not helped and time.monotonic() < end:
        with store.open("file") as reader:
            blocks = [reader.read_at(at, MIB) for at in range(0, len(data), MIB)]
        assert b"".join(blocks) == data
    assert helped


@pytest.mark.parametrize("far_seconds", [0.01, 0.0], ids=["near", "far"])
def test_many_files_that_are_cut(
    server: Sshd, make: Make, root: Path, monkeypatch: pytest.MonkeyPatch, far_seconds: float
) -> None:
    """Each comes once and whole all the same; when the server stays away each says so."""
    monkeypatch.setattr("providers.sftp_site.FAR_SECONDS", far_seconds)
    store = make(connections=2)
    for number in range(600):
        (root / f"f{number}").write_bytes(signed(2000, number))
    got = {}
    for path, found in store.get_many([f"f{number}" for number in range(600)], 4000):
        assert path not in got
        assert isinstance(found, Content), found
        got[path] = found.data
        if len(got) in {10, 200, 400}:
            server.cut()
    assert got == {f"f{number}": signed(2000, number) for number in range(600)}
    server.kill()
    found_ = dict(store.get_many([f"f{number}" for number in range(600)], 4000))
    assert len(found_) == 600
    assert all(isinstance(one, Unavailable) and one.path == path for path, one in found_.items())


def test_many_files_reach_neither_links_nor_pipes(store: SftpProvider, root: Path) -> None:
    """Neither a link at the end nor one on the way is followed; a FIFO is not opened."""
    (root / "folder").mkdir()
    (root / "folder" / "f").write_bytes(b"x")
    (root / "link").symlink_to("folder/f")
    (root / "way").symlink_to("folder")
    os.mkfifo(root / "fifo")
    found = dict(store.get_many(["link", "way/f", "fifo", "folder/f"], 100))
    assert isinstance(found["folder/f"], Content)
    for path in ("link", "way/f", "fifo"):
        assert isinstance(found[path], Denied)


def test_a_new_file_whose_session_is_cut(server: Sshd, store: SftpProvider, root: Path) -> None:
    """A file of this very second cannot be told from another one: it is not gone on with."""
    (root / "file").write_bytes(signed(4 * MIB, 1))
    os.utime(root / "file", (time.time() + 1, time.time() + 1))
    with store.open("file") as reader:
        server.cut()
        with pytest.raises(Unavailable, match="so new that it cannot be told"):
            reader.read_at(0, 100)


@pytest.mark.parametrize("block", [64 << 10, MIB, 12 * MIB], ids=["64K", "1M", "12M"])
def test_a_file_that_is_overwritten_in_place(store: SftpProvider, root: Path, block: int) -> None:
    """A reader of a file that is written in place is told Changed, or gives all of one version."""
    size = 24 * MIB
    old, new = signed(size, 1), signed(size, 2)
    old_file(root / "file", old)
    read = b""
    with store.open("file") as reader:
        with contextlib.suppress(Changed):
            for offset in range(0, size, block):
                if offset >= size // 2 and offset % MIB == 0:
                    with (root / "file").open("r+b") as file:
                        file.write(new)
                read += reader.read_at(offset, block)  # what was read ahead is whole and old
        assert read == old[: len(read)]
        with pytest.raises(Changed):
            reader.read_at(0, 100)


def test_a_file_that_shrinks_while_it_is_read(store: SftpProvider, root: Path) -> None:
    old_file(root / "file", signed(8 * MIB))
    with store.open("file") as reader:
        os.truncate(root / "file", 100)
        with pytest.raises(Changed):
            reader.read_at(0, 4 * MIB)


def test_a_file_that_is_replaced_while_it_is_opened(
    store: SftpProvider, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked at is not what is open then: Changed, and no byte of the other file."""
    old_file(root / "file", signed(MIB, 1))
    (root / "new").write_bytes(signed(MIB, 2))
    open_ = SftpSession.open

    def late(session: SftpSession, path: str) -> bytes:
        (root / "new").replace(root / "file")
        return open_(session, path)

    monkeypatch.setattr(SftpSession, "open", late)
    with store.open("file") as reader:
        monkeypatch.undo()
        for offset in (0, MIB // 2):
            with pytest.raises(Changed):
                reader.read_at(offset, 1000)
    with store.open("file") as reader:
        assert reader.read_at(0, MIB) == signed(MIB, 2)


def test_a_write_that_is_cut(server: Sshd, store: SftpProvider, root: Path) -> None:
    """The old content stands, nothing else is seen, and the way is free for the next one."""
    (root / "file").write_bytes(b"old")
    writer = store.create("file")
    with pytest.raises(Unavailable), writer:  # noqa: PT012 - any step may
        for number in range(200):
            if number == 20:
                server.cut()
            writer.write(bytes(MIB))
        writer.commit()
    with pytest.raises(ValueError, match="finished"):
        writer.write(b"x")
    assert (root / "file").read_bytes() == b"old"
    assert [entry.name for entry in store.scandir("")] == ["file"]
    with store.create("file") as again:
        again.write(b"new")
        again.commit()
    assert (root / "file").read_bytes() == b"new"
    assert store.sweep(older_than_seconds=0) <= 1
    assert inside(root) == ["file"]


def test_many_readers_and_writers_while_connections_are_cut(
    server: Sshd, make: Make, root: Path
) -> None:
    """What is read is whole, what was acknowledged is there, and none waits for good."""
    store = make(connections=3)
    for number in range(4):
        old_file(root / f"r{number}", signed(3 * MIB, number))
    kept: dict[str, bytes] = {}
    wrong: list[str] = []
    end = time.monotonic() + 4

    def read(number: int) -> None:
        while time.monotonic() < end:
            with contextlib.suppress(Unavailable, RateLimited), store.open(f"r{number}") as reader:
                data = b"".join(reader.read_at(at, 200_000) for at in range(0, 3 * MIB, 200_000))
                if not is_whole(data + reader.read_at(len(data), MIB)):
                    wrong.append(f"r{number}")

    def write(number: int) -> None:
        turn = 0
        while time.monotonic() < end:
            name, data = f"w{number}-{turn}", signed(700_000, turn)
            with contextlib.suppress(Unavailable, RateLimited), store.create(name) as writer:
                writer.write(data)
                writer.commit()
                kept[name] = data
            turn += 1

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    threads += [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        time.sleep(0.7)
        server.cut()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not wrong
    assert kept
    for name, data in kept.items():
        assert (root / name).read_bytes() == data
    for entry in store.scandir(""):
        assert is_whole((root / entry.name).read_bytes())


def test_a_full_disk(server: Sshd, make: Make, tmp_path: Path) -> None:
    """NoSpace, the old content stands, and there is room again when the upload is gone."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        store = make(root=str(disk))
        (disk / "file").write_bytes(b"old")
        with pytest.raises(NoSpace), store.create("file") as writer:  # noqa: PT012 - any step may
            for _ in range(20):
                writer.write(bytes(MIB))
            writer.commit()
        with pytest.raises(NoSpace):
            store.create("file", size_hint=20 * MIB)
        assert (disk / "file").read_bytes() == b"old"
        assert inside(disk) == ["file"]
        # The server frees the room when it closes the file, which nobody waits for.
        end = time.monotonic() + 10
        while os.statvfs(disk).f_bavail < os.statvfs(disk).f_blocks // 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        with store.create("file") as writer:
            writer.write(b"new")
            writer.commit()
        assert (disk / "file").read_bytes() == b"new"
        store.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_root_that_is_not_there(make: Make, root: Path) -> None:
    """It says that the root is missing, not that a file is."""
    store = make(root=str(root / "inner"))
    with pytest.raises(Unavailable, match="root folder of this site is not there") as caught:
        store.health()
    assert not caught.value.temporary
    (root / "inner").mkdir()
    store.health()
    shutil.rmtree(root / "inner")
    for call in (lambda: store.stat("file"), lambda: list(store.scandir("")), store.health):
        with pytest.raises(Unavailable, match="root folder"):
            call()
    (root / "file").touch()
    with pytest.raises(Unavailable, match="not a folder"):
        make(root=str(root / "file")).health()
