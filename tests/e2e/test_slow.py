"""Slow and silent clients, on servers of their own: what they leave behind is nobody else's."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import WORKERS, fresh, launch_gateway, mount_of
from tests.e2e.faults import slow
from tests.e2e.faults.catalogue import Check
from tests.e2e.wire import Fault, put
from tests.servers import headgate, wsgidav_plain
from tests.servers.authority import Authority
from tests.servers.target import Target

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
_CHECKS = [pytest.param(check, id=check.name) for check in slow.CHECKS]


@pytest.fixture(scope="module", params=("http", "https", "workers"))
def own_gateway(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,
) -> Iterator[Target]:
    used = authority if request.param == "https" else None
    workers = WORKERS if request.param == "workers" else 1
    with launch_gateway(tmp_path_factory.mktemp("slow"), used, workers=workers) as daemon:
        yield mount_of(daemon, headgate.LOCAL)


@pytest.mark.parametrize("check", _CHECKS)
def test_gateway_is_not_held_up(own_gateway: Target, check: Check) -> None:
    check(fresh(own_gateway))


@pytest.mark.skipif("HEADGATE_TARGET" in os.environ, reason="the target is a control itself")
@pytest.mark.parametrize("check", _CHECKS)
def test_plain_wsgidav_is_held_up(tmp_path: Path, check: Check) -> None:
    assert check.plain is not None
    with wsgidav_plain.launch(tmp_path) as daemon:
        target = fresh(daemon.target)
        with pytest.raises(Fault, match=re.escape(check.plain)):
            check(target)
        daemon.kill()


@pytest.mark.skipif("HEADGATE_TARGET" in os.environ, reason="the target has one engine")
@pytest.mark.parametrize("shape", ["headers-many-addresses", "silent-body-many-addresses"])
def test_the_other_engine_is_held_up(tmp_path: Path, shape: str) -> None:
    """As the page on workers says; and whoever comes after the slow ones is served again."""
    with launch_gateway(tmp_path, None, engine="cheroot") as daemon:
        target = fresh(mount_of(daemon, headgate.LOCAL))
        with pytest.raises(Fault, match="another user waits"):
            slow.slow_clients_hinder_nobody(target, shape)
        put(target, "after", b"quick")
