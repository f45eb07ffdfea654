"""A real sshd, and sessions to it by both streams."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from providers.ssh.login import Login
from providers.ssh.openssh import OpenSshStream
from providers.ssh.paramiko_channel import ParamikoStream
from providers.ssh.session import SftpSession
from providers.ssh.stream import Stream
from tests.servers import sshd
from tests.servers.sshd import Sshd

Connect = Callable[[Login], Stream]
STREAMS: dict[str, Connect] = {"openssh": OpenSshStream, "paramiko": ParamikoStream}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd.launch(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def login(server: Sshd) -> Login:
    return Login(
        host="127.0.0.1",
        port=server.target.port,
        user=server.target.user,
        known_hosts=server.known_hosts,
        key_file=server.key,
    )


@pytest.fixture(params=sorted(STREAMS))
def connect(request: pytest.FixtureRequest) -> Connect:
    return STREAMS[request.param]


@pytest.fixture
def session(connect: Connect, login: Login) -> Iterator[SftpSession]:
    session = SftpSession(connect(login))
    yield session
    session.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that both we and the server see."""
    return tmp_path
