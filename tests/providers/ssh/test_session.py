"""Every operation, over both streams, against OpenSSH's server."""

import os
import random
import stat
from pathlib import Path

import pytest

from providers.errors import Denied, NotFound, StorageError, Unsupported
from providers.ssh import wire
from providers.ssh.batch import Small
from providers.ssh.session import SftpSession
from providers.ssh.status import Refused
from providers.ssh.wire import Attributes

pytestmark = pytest.mark.server("sshd", "ssh")

DATA = random.Random(1).randbytes(3_000_001)


def put(session: SftpSession, path: Path, data: bytes) -> None:
    handle = session.open(str(path), wire.WRITE_NEW)
    upload = session.upload(handle)
    for start in range(0, len(data), 700_000):
        upload.write(start, data[start : start + 700_000])
    upload.finish()
    session.fsync(handle)
    session.close_handle(handle)


def test_a_file_comes_back_as_it_was_written(session: SftpSession, root: Path) -> None:
    put(session, root / "file", DATA)
    assert (root / "file").read_bytes() == DATA
    handle = session.open(str(root / "file"))
    assert session.fstat(handle).size == len(DATA)
    buffer = bytearray(len(DATA) + 10)
    assert session.read_into(handle, 0, memoryview(buffer)) == len(DATA)
    assert buffer[: len(DATA)] == DATA
    assert session.read_into(handle, len(DATA), memoryview(buffer)) == 0
    blocks = session.blocks(handle, 7, len(DATA) - 7)
    assert b"".join(bytes(block) for block in blocks) == DATA[7:]
    spans = [(number * 9973 % 2_900_000, 65536) for number in range(200)]
    found = session.ranges(handle, spans, ahead=16)
    assert [bytes(data) for data in found] == [DATA[o : o + n] for o, n in spans]
    session.close_handle(handle)


def test_one_that_leaves_early_leaves_the_session_whole(session: SftpSession, root: Path) -> None:
    (root / "file").write_bytes(DATA)
    handle = session.open(str(root / "file"))
    for _ in session.blocks(handle, 0, len(DATA)):
        break
    for number in range(300):
        (root / str(number)).touch()
    for _ in session.members(str(root)):
        break
    for _ in session.get_many([str(root / str(number)) for number in range(300)], 10):
        break
    assert session.stat(str(root / "file")).size == len(DATA)
    session.leave_handle(handle)


def test_a_file_that_shrank_is_told(session: SftpSession, root: Path) -> None:
    (root / "file").write_bytes(DATA)
    handle = session.open(str(root / "file"))
    os.truncate(root / "file", 100)
    with pytest.raises(StorageError, match="shorter"):
        list(session.blocks(handle, 0, len(DATA)))
    assert session.fstat(handle).size == 100


def test_a_refused_write_is_told_at_the_end_at_the_latest(session: SftpSession, root: Path) -> None:
    (root / "file").touch()
    handle = session.open(str(root / "file"))
    upload = session.upload(handle)
    with pytest.raises(StorageError):  # noqa: PT012 - either may raise
        upload.write(0, b"x" * 100)
        upload.finish()
    assert session.alive


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told(session: SftpSession) -> None:
    handle = session.open("/dev/full", wire.FOR_WRITING)
    upload = session.upload(handle)
    with pytest.raises(Refused):  # noqa: PT012 - either may raise
        upload.write(0, bytes(3_000_000))
        upload.finish()


def test_small_files_come_all_at_once(session: SftpSession, root: Path) -> None:
    for number in range(500):
        (root / f"f{number}").write_text("x" * number)
    (root / "folder").mkdir()
    (root / "link").symlink_to("f7")
    os.mkfifo(root / "fifo")
    paths = [str(root / f"f{number}") for number in range(500)]
    others = [str(root / name) for name in ("none", "folder", "link", "fifo")]
    found = list(session.get_many([*paths, *others], 400))
    small = {item.path: item for item in found if isinstance(item, Small)}
    errors = [item for item in found if isinstance(item, StorageError)]
    assert len(found) == 504
    assert {path: small[path].data for path in paths} == {
        path: b"x" * number if number <= 400 else None for number, path in enumerate(paths)
    }
    assert all(small[path].attributes.size == number for number, path in enumerate(paths))
    assert [small[path].data for path in others[1:]] == [None] * 3
    assert small[others[1]].attributes.is_folder
    assert small[others[2]].attributes.is_link
    assert [(type(error), error.path) for error in errors] == [(NotFound, others[0])]


def test_handles_are_given_back(session: SftpSession, root: Path) -> None:
    """A server allows few open files; many more than it allows are read one after the other."""
    (root / "f").write_text("x")
    for _ in range(3):
        found = session.get_many([str(root / "f")] * 1000, 10)
        assert all(isinstance(item, Small) and item.data == b"x" for item in found)


def test_many_stats(session: SftpSession, root: Path) -> None:
    (root / "f").write_text("four")
    (root / "link").symlink_to("f")
    paths = [str(root / name) for name in ("f", "link", "none")] * 100
    found = list(session.stat_many(paths, follow=False))
    assert len(found) == 300
    by_path = dict(found)
    assert isinstance(by_path[str(root / "none")], NotFound)
    link = by_path[str(root / "link")]
    assert isinstance(link, Attributes)
    assert link.is_link


def test_names(session: SftpSession, root: Path) -> None:
    odd = b"caf\xe9 \xff\n".decode("utf-8", "surrogateescape")
    (root / odd).write_text("x")
    session.mkdir(str(root / "folder"), Attributes(mode=0o750))
    (root / "link").symlink_to("folder")
    found = dict(session.members(str(root)))
    assert set(found) == {odd, "folder", "link"}
    assert found["folder"].is_folder
    assert found["link"].is_link
    assert found[odd].is_file
    assert session.stat(str(root / odd)).size == 1
    assert stat.S_IMODE((root / "folder").stat().st_mode) == 0o750
    assert session.stat(str(root / "link")).is_folder
    assert session.lstat(str(root / "link")).is_link
    assert session.readlink(str(root / "link")) == "folder"
    assert session.realpath(str(root / "link")) == str((root / "folder").resolve())
    assert session.expand_path("~") == session.realpath(".")
    session.symlink("there", str(root / "second"))
    assert (root / "second").readlink() == Path("there")


def test_changes(session: SftpSession, root: Path) -> None:
    (root / "a").write_text("a")
    (root / "b").write_text("b")
    (root / "link").symlink_to("a")
    session.setstat(str(root / "a"), Attributes(mode=0o600, mtime=1_000_000))
    assert (root / "a").stat().st_mtime == 1_000_000
    session.lsetstat(str(root / "link"), Attributes(mtime=2_000_000))
    assert (root / "link").lstat().st_mtime == 2_000_000
    assert (root / "a").stat().st_mtime == 1_000_000
    with pytest.raises(Refused):
        session.rename(str(root / "a"), str(root / "b"))
    with pytest.raises(Refused):
        session.hardlink(str(root / "a"), str(root / "b"))
    session.posix_rename(str(root / "a"), str(root / "b"))
    assert (root / "b").read_text() == "a"
    session.rename(str(root / "b"), str(root / "c"))
    session.hardlink(str(root / "c"), str(root / "d"))
    assert (root / "d").samefile(root / "c")
    session.remove(str(root / "d"))
    session.mkdir(str(root / "folder"))
    (root / "folder" / "x").touch()
    with pytest.raises(Refused):
        session.rmdir(str(root / "folder"))
    (root / "folder" / "x").unlink()
    session.rmdir(str(root / "folder"))
    with pytest.raises(NotFound):
        session.remove(str(root / "folder"))


def test_the_server_copies_by_itself(session: SftpSession, root: Path) -> None:
    (root / "a").write_bytes(DATA)
    source = session.open(str(root / "a"))
    target = session.open(str(root / "b"), wire.WRITE_NEW)
    session.copy_data(source, target, len(DATA))
    session.close_handle(target)
    assert (root / "b").read_bytes() == DATA


def test_the_beginning_comes_with_the_opening(session: SftpSession, root: Path) -> None:
    (root / "a").write_bytes(DATA)
    (root / "empty").touch()
    handle, attributes, data = session.open_read(str(root / "a"), 1000)
    assert (attributes.size, data) == (len(DATA), DATA[:1000])
    session.close_handle(handle)
    handle, attributes, data = session.open_read(str(root / "empty"), 1000)
    assert (attributes.size, data) == (0, b"")
    session.close_handle(handle)
    with pytest.raises(NotFound):
        session.open_read(str(root / "none"))


def test_space_and_checksum(session: SftpSession, root: Path) -> None:
    found = session.statvfs(str(root))
    real = os.statvfs(root)
    assert (found.fragment_size, found.blocks) == (real.f_frsize, real.f_blocks)
    with pytest.raises(Unsupported, match="check-file"):
        session.check_file(str(root), ["sha256"])


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is denied to root")
def test_what_is_denied(session: SftpSession, root: Path) -> None:
    (root / "a").touch(0o000)
    with pytest.raises(Denied):
        session.open(str(root / "a"))


def test_errors_name_their_path(session: SftpSession) -> None:
    with pytest.raises(NotFound) as caught:
        session.stat("/none/such")
    assert caught.value.path == "/none/such"
    with pytest.raises(NotFound):
        list(session.members("/none"))
    with pytest.raises(StorageError):
        session.stat("/" + "x" * 5000)
    assert session.alive
