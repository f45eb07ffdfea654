"""What was promised before a restart holds after it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import fresh, launch_gateway, mount_of
from tests.e2e.wire import Fault, ask, expect, lock, mkcol, prop, put, set_property
from tests.servers import headgate, wsgidav_plain
from tests.servers.daemon import Daemon
from tests.servers.target import Target

_TAG = "{urn:test}colour"


@pytest.fixture
def own_gateway(tmp_path: Path) -> Iterator[Daemon]:
    with launch_gateway(tmp_path, None) as daemon:
        yield daemon


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_locks_and_properties_survive(own_gateway: Daemon, end: str) -> None:
    _survives(own_gateway, mount_of(own_gateway, headgate.LOCAL), end)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_plain_wsgidav_forgets_them(tmp_path: Path, end: str) -> None:
    with (
        wsgidav_plain.launch(tmp_path) as daemon,
        pytest.raises(Fault, match="is let in after a restart"),
    ):
        _survives(daemon, daemon.target, end)


def test_etag_survives(own_gateway: Daemon) -> None:
    """A restart does not make every client fetch again what it has."""
    target = fresh(mount_of(own_gateway, headgate.LOCAL))
    put(target, "f", b"bytes")
    etag = ask(target, "HEAD", "f").header("ETag")
    _restart(own_gateway, "stop")
    assert ask(target, "GET", "f", If_None_Match=etag).status == 304


def _restart(daemon: Daemon, end: str) -> None:
    if end == "kill":
        daemon.kill()
    else:
        daemon.stop()
    daemon.start()


def _survives(daemon: Daemon, mount: Target, end: str) -> None:
    target = fresh(mount)
    put(target, "f", b"old")
    token = lock(target, "f")
    mkcol(target, "d")
    folder_token = lock(target, "d/", depth="infinity")
    put(target, "g", b"old")
    expect(set_property(target, "g", _TAG, "red").status == 207, "PROPPATCH is refused")

    _restart(daemon, end)

    status = ask(target, "PUT", "f", b"new").status
    expect(status == 423, f"a writer without the token is let in after a restart: {status}")
    status = ask(target, "PUT", "d/f", b"new").status
    expect(status == 423, f"a writer into a locked folder is let in after a restart: {status}")
    element = prop(target, "g", _TAG)
    expect(element is not None and element.text == "red", "the property is gone")
    expect(ask(target, "PUT", "f", b"new", If=f"({token})").ok, "the token no longer opens")
    expect(ask(target, "UNLOCK", "d/", Lock_Token=folder_token).status == 204, "UNLOCK fails")
