"""After kill -9 in the middle of 100 uploads every file is old or new, and whole."""

import hashlib
import http.client
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.conftest import fresh, launch_gateway, mount_of
from tests.e2e.wire import (
    Fault,
    ask,
    credentials,
    expect,
    lock,
    members,
    prop,
    put,
    set_property,
)
from tests.servers import headgate, wsgidav_plain
from tests.servers.daemon import Daemon
from tests.servers.target import Target

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]
_UPLOADS = 100
_SIZE = 512 * 1024
_BLOCK = 16 * 1024
_TAG = "{urn:test}colour"


def _content(name: str, age: str) -> bytes:
    return hashlib.shake_128(f"{name} {age}".encode()).digest(_SIZE)


class _Uploads:
    """A hundred uploads at once, each a block at a time.

    `acknowledged` holds the names whose upload was answered with success; `_lock` guards it.
    """

    def __init__(self, target: Target, names: list[str]) -> None:
        self.acknowledged: set[str] = set()
        self._target = target
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._upload, args=(name,)) for name in names]

    def start(self) -> None:
        """Start them all."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until each has ended or failed."""
        for thread in self._threads:
            thread.join(30)

    def _upload(self, name: str) -> None:
        target = self._target
        content = _content(name, "new")
        pause = random.Random(name).uniform(0.0, 0.04)

        def blocks() -> Iterator[bytes]:
            for offset in range(0, _SIZE, _BLOCK):
                yield content[offset : offset + _BLOCK]
                time.sleep(pause)

        connection = http.client.HTTPConnection(target.host, target.port, timeout=30)
        headers = {"Content-Length": str(_SIZE), **credentials(target)}
        try:
            connection.request("PUT", target.path(quote(name)), blocks(), headers)
            if connection.getresponse().status in {201, 204}:
                with self._lock:
                    self.acknowledged.add(name)
        except (OSError, http.client.HTTPException):
            pass  # killed under it, which is the point
        finally:
            connection.close()


@pytest.fixture
def own_gateway(tmp_path: Path) -> Iterator[Daemon]:
    with launch_gateway(tmp_path, None) as daemon:
        yield daemon


@pytest.mark.parametrize("after_seconds", [0.15, 0.5, 0.9])
def test_kill_leaves_whole_files(own_gateway: Daemon, after_seconds: float) -> None:
    _survives_a_kill(own_gateway, mount_of(own_gateway, headgate.LOCAL), after_seconds)


def test_plain_wsgidav_leaves_pieces(tmp_path: Path) -> None:
    with wsgidav_plain.launch(tmp_path) as daemon, pytest.raises(Fault, match="is in pieces"):
        _survives_a_kill(daemon, daemon.target, 0.5)


def _survives_a_kill(daemon: Daemon, mount: Target, after_seconds: float) -> None:
    target = fresh(mount)
    old = [f"old {number}" for number in range(_UPLOADS // 2)]
    new = [f"new {number}" for number in range(_UPLOADS // 2)]
    for name in old:
        put(target, quote(name), _content(name, "old"))
    put(target, "locked", b"x")
    set_property(target, "locked", _TAG, "red")
    lock(target, "locked")

    uploads = _Uploads(target, old + new)
    uploads.start()
    time.sleep(after_seconds)
    daemon.kill()
    uploads.join()
    daemon.start()

    names = members(target)
    expect(names <= {*old, *new, "locked"}, f"strange names are left: {names - {*old, *new}}")
    expect(names >= {*old, "locked"}, "an old name is gone")
    expect(names >= uploads.acknowledged, "an acknowledged upload is gone")
    for name in sorted(names - {"locked"}):
        answer = ask(target, "GET", quote(name))
        is_new = answer.body == _content(name, "new")
        is_old = name in old and answer.body == _content(name, "old")
        expect(is_new or is_old, f"{name} is in pieces: {len(answer.body)} of {_SIZE} bytes")
        expect(is_new or name not in uploads.acknowledged, f"acknowledged {name} is the old one")
    if target.root is not None:
        on_disk = {path.name for path in target.root.iterdir() if not path.name.startswith(".")}
        expect(on_disk <= {*old, *new, "locked"}, f"temporaries are left: {on_disk}")
    expect(ask(target, "PUT", "locked", b"y").status == 423, "the lock is gone")
    element = prop(target, "locked", _TAG)
    expect(element is not None and element.text == "red", "the property is gone")
