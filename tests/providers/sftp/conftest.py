"""A real sshd, and providers of one folder behind it by both transports."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from providers.sftp import SftpProvider
from tests.servers import sshd
from tests.servers.sshd import Sshd

Make = Callable[..., SftpProvider]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd.launch(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture(params=["openssh", "paramiko"])
def transport(request: pytest.FixtureRequest) -> Literal["openssh", "paramiko"]:
    way: Literal["openssh", "paramiko"] = request.param
    return way


@pytest.fixture
def make(server: Sshd, root: Path, transport: Literal["openssh", "paramiko"]) -> Iterator[Make]:
    """Give a way to make providers of `root`, with other options than the usual ones."""
    made: list[SftpProvider] = []

    def provider(**changes: object) -> SftpProvider:
        values: dict[str, object] = {
            "root": str(root),
            "transport": transport,
            "connect_seconds": 5.0,
            "answer_seconds": 5.0,
            **changes,
        }
        made.append(SftpProvider(server.options(**values)))
        return made[-1]

    yield provider
    for one in made:
        one.close()


@pytest.fixture
def store(make: Make) -> SftpProvider:
    return make()
