"""Gateways and controls for the end-to-end checks.

A gateway is Headgate in a process of its own, over one provider, by http or https. HEADGATE_TARGET
may name another server to run the same checks against: "plain" (WsgiDAV) or "rclone".
"""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.sites import CACHED, RAW, WRITE, Site
from tests.e2e.wire import mkcol
from tests.servers import headgate, oidc_issuer, rclone_serve, wsgidav_plain
from tests.servers.authority import Authority, make_authority
from tests.servers.daemon import Daemon
from tests.servers.oidc_issuer import OidcIssuer
from tests.servers.target import Target

# A group runs in one worker, so that not every worker starts every gateway.
_GATEWAYS = [
    pytest.param(
        (mount, scheme),
        id=f"{mount}-{scheme}",
        marks=pytest.mark.xdist_group(f"{mount}-{scheme}"),
    )
    for mount, scheme in (
        *itertools.product((headgate.MEMORY, headgate.LOCAL, headgate.CACHED), ("http", "https")),
        (headgate.LOCAL, "workers"),
        (headgate.LOCAL, "cheroot"),
    )
]
WORKERS = 2
# With several workers these run each day; all else that takes a gateway does in the long run.
_WITH_WORKERS = {"test_litmus.py", "test_faults.py"}
# TLS is the same for all stores, and is tried each day with one.
_IN_THE_LONG_RUN = {
    (headgate.MEMORY, "https"),
    (headgate.CACHED, "https"),
    (headgate.LOCAL, "cheroot"),
}
_folders = itertools.count()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the long run what differs least from what runs each day."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        parameter = callspec.params.get("mount") if callspec else None
        if parameter == (headgate.LOCAL, "workers") and item.path.name not in _WITH_WORKERS:
            item.add_marker(pytest.mark.slow)
        if parameter in _IN_THE_LONG_RUN:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody else knows."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[OidcIssuer]:
    """A running OpenID Connect issuer, by http."""
    folder = tmp_path / "issuer"
    folder.mkdir()
    with oidc_issuer.launch(folder) as running:
        yield running


Launch = Callable[[Path], Daemon]


@pytest.fixture(scope="session")
def gateways(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[Callable[[str], Daemon]]:
    """Start one gateway a scheme, when it is first asked for.

    "workers" is http to several, "cheroot" http to the other engine.
    """
    running: dict[str, Daemon] = {}

    def gateway_of(scheme: str) -> Daemon:
        if scheme not in running:
            directory = tmp_path_factory.mktemp(f"gateway-{scheme}")
            running[scheme] = launch_gateway(
                directory,
                authority if scheme == "https" else None,
                workers=WORKERS if scheme == "workers" else 1,
                engine="cheroot" if scheme == "cheroot" else "loop",
            )
        return running[scheme]

    yield gateway_of
    for daemon in running.values():
        daemon.stop()


def launch_gateway(
    directory: Path, authority: Authority | None, *, workers: int = 1, engine: str = "loop"
) -> Daemon:
    """Start the server under test."""
    match os.environ.get("HEADGATE_TARGET"):
        case None:
            return headgate.launch(directory, authority=authority, workers=workers, engine=engine)
        case "plain":
            return wsgidav_plain.launch(directory, authority=authority)
        case "rclone":
            return rclone_serve.launch(directory)
        case other:
            raise pytest.UsageError(f"HEADGATE_TARGET is {other}: use plain or rclone")


def fresh(target: Target) -> Target:
    """Return a new, empty folder."""
    return mkcol(target, f"check-{next(_folders)}")


def mount_of(daemon: Daemon, mount: str) -> Target:
    """Return the folder of a mount; another server than Headgate has but one."""
    if os.environ.get("HEADGATE_TARGET"):
        return daemon.target
    root = daemon.directory / "files" if mount == headgate.LOCAL else None
    return daemon.target.beneath(mount, root)


@pytest.fixture(scope="session", params=_GATEWAYS)
def mount(request: pytest.FixtureRequest, gateways: Callable[[str], Daemon]) -> Target:
    """Return the root of one mount of a gateway, shared by all tests."""
    name, scheme = request.param
    return mount_of(gateways(scheme), name)


@pytest.fixture
def gateway(mount: Target) -> Target:
    """Return a new, empty folder on a gateway, for each provider by http and https."""
    return fresh(mount)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Return the root of a plain WsgiDAV."""
    with wsgidav_plain.launch(tmp_path_factory.mktemp("plain")) as daemon:
        yield daemon.target


@pytest.fixture
def control(plain: Target) -> Target:
    """Return a new, empty folder on a plain WsgiDAV, which a fault check must find at fault."""
    return fresh(plain)


@pytest.fixture(scope="session")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An SFTP site and its gateway, for checks that do it no harm."""
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(params=[RAW, CACHED, WRITE])
def at_site(request: pytest.FixtureRequest, shared_site: Site) -> Target:
    """Return a new, empty folder on each mount of an SFTP site."""
    return fresh(shared_site.target(request.param))
