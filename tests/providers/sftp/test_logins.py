"""Who may log in and how often: each refusal says its way out."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from providers.errors import BadCredentials, StorageError, Unavailable
from providers.sftp import SftpProvider
from providers.ssh.host_keys import HostKeyChanged, HostKeyUnknown
from providers.testing.content import signed
from tests.servers import sshd
from tests.servers.sshd import Sshd

Make = Callable[..., SftpProvider]

pytestmark = [pytest.mark.server("sshd"), pytest.mark.server("ssh")]


@pytest.mark.parametrize("limit", ["MaxSessions 1", "MaxStartups 1:100:1"])
def test_a_server_that_takes_few(
    tmp_path: Path, transport: Literal["openssh", "paramiko"], root: Path, limit: str
) -> None:
    """A connection that is refused makes the pool smaller; nobody's request fails."""
    name, value = limit.split()
    data = signed(2 << 20)
    (root / "file").write_bytes(data)
    with sshd.launch(tmp_path / "few", {name: value}) as server:
        store = SftpProvider(server.options(root=str(root), transport=transport, connections=8))
        results: list[object] = []

        def work() -> None:
            try:
                for _ in range(5):
                    with store.open("file") as reader:
                        results.append(reader.read_at(0, len(data)) == data)
            except StorageError as error:
                results.append(error)

        threads = [threading.Thread(target=work) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        store.close()
    assert results == [True] * 60


def test_logins_that_fail(server: Sshd, make: Make, tmp_path: Path) -> None:
    """An unknown or another host key, and a key that is not let in: each says its way out."""
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(HostKeyUnknown, match="add this line") as unknown:
        make(known_hosts=empty).health()
    assert server.host_key in unknown.value.detail
    assert not unknown.value.temporary
    other = sshd.keygen(tmp_path / "other_host")
    line = " ".join(other.with_suffix(".pub").read_text().split()[:2])
    empty.write_text(f"[127.0.0.1]:{server.target.port} {line}\n")
    with pytest.raises(HostKeyChanged, match="somebody stands between"):
        make(known_hosts=empty).health()
    with pytest.raises(BadCredentials, match="is refused"):
        make(key_file=sshd.keygen(tmp_path / "other_key")).health()
    assert not BadCredentials().temporary


def test_no_subsystem(
    tmp_path: Path, make: Make, transport: Literal["openssh", "paramiko"]
) -> None:
    with sshd.launch(tmp_path / "other", {"Subsystem": "other /bin/true"}) as server:
        store = make(port=server.target.port, known_hosts=server.known_hosts, key_file=server.key)
        with pytest.raises(Unavailable, match="offers no SFTP") as caught:
            store.health()
        assert not caught.value.temporary
