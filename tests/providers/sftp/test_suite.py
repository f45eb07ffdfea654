"""The SFTP provider keeps the contract, over both transports, on a real sshd."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from providers.base import Provider
from providers.sftp import SftpProvider
from providers.sftp_options import SftpOptions
from providers.testing import ProviderSuite
from tests.servers import sshd
from tests.servers.sshd import Sshd

pytestmark = [pytest.mark.server("sshd"), pytest.mark.server("ssh")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd.launch(tmp_path_factory.mktemp("sshd")) as server:
        yield server


class TestOpenSsh(ProviderSuite):
    """The suite through a child `ssh`."""

    transport: ClassVar[Literal["openssh", "paramiko"]] = "openssh"
    foreign_step_seconds = 1.1  # the protocol tells whole seconds
    root: Path

    @pytest.fixture
    def provider(self, server: Sshd, tmp_path: Path) -> Iterator[Provider]:
        self.root = tmp_path / "root"
        self.root.mkdir()
        store = SftpProvider(
            SftpOptions(
                host="127.0.0.1",
                port=server.target.port,
                user=server.target.user,
                root=str(self.root),
                known_hosts=server.known_hosts,
                key_file=server.key,
                transport=self.transport,
            )
        )
        yield store
        store.close()

    def put_raw(self, path: str, data: bytes) -> None:
        beside = self.root / "raw-temporary"
        beside.write_bytes(data)
        beside.rename(self.root / path)

    def get_raw(self, path: str) -> bytes | None:
        target = self.root / path
        return target.read_bytes() if target.is_file() else None

    def mkdir_raw(self, path: str) -> None:
        (self.root / path).mkdir()

    def list_raw(self, path: str) -> set[str] | None:
        return {member.name for member in (self.root / path).iterdir()}

    def fill_raw(self, folder: str, count: int) -> None:
        for number in range(count):
            (self.root / folder / f"f{number:06d}").touch()

    def put_sparse_raw(self, path: str, size: int, tail: bytes) -> bool:
        with (self.root / path).open("wb") as file:
            file.seek(size - len(tail))
            file.write(tail)
        return True


class TestParamiko(TestOpenSsh):
    """The suite through paramiko."""

    transport = "paramiko"
