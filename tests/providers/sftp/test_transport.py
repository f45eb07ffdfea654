"""What `transport = "auto"` takes near the gateway."""

from pathlib import Path

import pytest

from providers.sftp import SftpProvider
from tests.servers import sshd

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
