"""Who asks for no more than what is possible here needs no credentials."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import accounts
from tests.e2e.wire import Fault, ask, expect
from tests.servers import wsgidav_plain
from tests.servers.target import Target


@pytest.fixture(scope="module")
def guarded_plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Yield a plain WsgiDAV with one user."""
    directory = tmp_path_factory.mktemp("guarded")
    with wsgidav_plain.launch(directory, user="ana", password="secret") as daemon:
        yield daemon.target


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Target]:
    """Yield a gateway with one user."""
    with accounts.launch(tmp_path) as daemon:
        yield daemon.target


def test_options_need_no_credentials(guarded: Target) -> None:
    _options_need_no_credentials(guarded)


def test_options_need_credentials_on_plain_wsgidav(guarded_plain: Target) -> None:
    with pytest.raises(Fault, match="answered 401"):
        _options_need_no_credentials(guarded_plain)


def _options_need_no_credentials(target: Target) -> None:
    stranger = dataclasses.replace(target, user="", password="")
    expect(ask(stranger, "GET").status == 401, "a stranger is let in")
    answer = ask(stranger, "OPTIONS")
    expect(answer.status in {200, 204}, f"OPTIONS is answered {answer.status}")
    expect("2" in answer.header("DAV"), f"DAV is {answer.header('DAV')!r}")
