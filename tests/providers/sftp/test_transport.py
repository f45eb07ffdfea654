"""What `transport = "auto"` takes near the gateway, and how sessions share an upload."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from providers.sftp import SftpProvider
from providers.sftp_writer import SftpWriter
from providers.testing.content import signed
from tests.servers import sshd

MIB = 1 << 20

pytestmark = pytest.mark.server("sshd", "ssh")


@pytest.mark.parametrize(
    ("ciphers", "is_direct"),
    [("aes128-gcm@openssh.com", True), ("aes256-gcm@openssh.com", True), ("aes128-ctr", False)],
)
def test_auto_takes_what_is_quickest(tmp_path: Path, ciphers: str, is_direct: bool) -> None:
    """paramiko, where data need not go through its thread; else the child."""
    with sshd.launch(tmp_path / "sshd", {"Ciphers": ciphers}) as server:
        data = bytes(range(256)) * 4096 * 3
        store = SftpProvider(server.options())
        try:
            with store.create("f") as writer:
                writer.write(data)
                writer.commit()
            with store.open("f") as reader:
                assert reader.read_at(0, len(data)) == data
            (session, *_) = store._site.pool.sessions
            assert session.is_direct is is_direct
            assert session.description.endswith("paramiko" if is_direct else "ssh")
        finally:
            store.close()


def test_an_upload_over_two_sessions(make: Callable[..., SftpProvider], root: Path) -> None:
    """Each piece lies where it belongs, whichever session it went over."""
    store = make(connections=2)
    data = memoryview(signed(48 * MIB))
    end = time.monotonic() + 20
    while len(store._site.pool.sessions) != 2:
        assert time.monotonic() < end
        with store.create("warm") as writer:
            writer.write(data[: 10 * MIB])
            writer.commit()
    sizes = itertools.cycle((MIB, 1, 300_000, 3 * MIB + 7, 100))
    with store.create("file") as writer:
        assert isinstance(writer, SftpWriter)
        at = 0
        while at < len(data):
            size = next(sizes)
            writer.write(data[at : at + size])
            at += size
        assert len(writer._legs) == 2
        writer.commit()
    assert (root / "file").read_bytes() == data
