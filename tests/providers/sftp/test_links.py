"""Links, devices and what is left over lead nowhere and stop nobody."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from providers.errors import Denied, NotEmpty, NotFound
from providers.sftp import SftpProvider

Make = Callable[..., SftpProvider]
OLD_SECOND = 1_600_000_000

pytestmark = [pytest.mark.server("sshd"), pytest.mark.server("ssh")]


def test_links_lead_nowhere(store: SftpProvider, root: Path, tmp_path: Path) -> None:
    """A link is not listed, not followed, and not written through, wherever it stands."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"secret")
    (root / "link").symlink_to(outside)
    (root / "to-file").symlink_to(outside / "file")
    assert list(store.scandir("")) == []
    for call in (
        lambda: store.stat("link"),
        lambda: store.stat("link/file"),
        lambda: store.open("link/file"),
        lambda: store.open("to-file"),
        lambda: store.create("link/new"),
        lambda: store.create("to-file"),
        lambda: store.mkdir("link/new"),
        lambda: store.remove("link/file"),
        lambda: store.rename("link/file", "stolen"),
        lambda: store.set_mtime("to-file", 0),
        lambda: list(store.scandir("link")),
        lambda: store.usage("link"),
    ):
        with pytest.raises(Denied, match="symbolic link"):
            call()
    assert [member.name for member in outside.iterdir()] == ["file"]
    assert (outside / "file").read_bytes() == b"secret"


def test_a_fifo_stops_nobody(store: SftpProvider, root: Path) -> None:
    """What is no file is not opened: a server would wait in it for a writer."""
    os.mkfifo(root / "fifo")
    for call in (store.stat, store.open, store.create):
        with pytest.raises(Denied, match="neither a file nor a folder"):
            call("fifo")
    store.health()


def test_leftovers_of_others(store: SftpProvider, make: Make, root: Path) -> None:
    """A sweep takes what nobody wrote to for a day; a folder with just that can be removed."""
    (root / "folder").mkdir()
    writer = make().create("folder/file")
    writer.write(b"x")
    assert store.sweep(older_than_seconds=0) == 0, "it may be another process that writes"
    with pytest.raises(NotEmpty, match="hidden here"):
        store.rmdir("folder")
    (left,) = (root / "folder").iterdir()
    os.utime(left, (OLD_SECOND, OLD_SECOND))
    store.rmdir("folder")
    with pytest.raises(NotFound):
        writer.commit()
    (root / ".headgate-tmp-dead-1").touch()
    os.utime(root / ".headgate-tmp-dead-1", (OLD_SECOND, OLD_SECOND))
    assert store.sweep(older_than_seconds=0) == 1
