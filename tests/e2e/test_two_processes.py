"""Several gateway processes on one state directory are one gateway."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.wire import ask, lock, mkcol, prop, put, set_property, url
from tests.servers import headgate
from tests.servers.daemon import Daemon
from tests.servers.target import Target

_TAG = "{urn:test}colour"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Daemon, Daemon]]:
    """Two processes with ports of their own over the same files and the same state."""
    mounts = {headgate.LOCAL: {"provider": "local", "root": str(tmp_path / "files")}}
    (tmp_path / "files").mkdir()
    daemons = []
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        state = tmp_path / "state"
        daemons.append(headgate.launch(directory, mounts=mounts, state=state))
    first, second = daemons
    yield first, second
    for daemon in daemons:
        daemon.stop()


@pytest.fixture
def targets(pair: tuple[Daemon, Daemon]) -> tuple[Target, Target]:
    first, second = pair
    return first.target.beneath(headgate.LOCAL), second.target.beneath(headgate.LOCAL)


def test_a_lock_holds_in_both(targets: tuple[Target, Target]) -> None:
    one, two = targets
    put(one, "f", b"old")
    token = lock(one, "f")
    assert ask(two, "PUT", "f", b"new").status == 423
    assert ask(two, "DELETE", "f").status == 423
    assert ask(two, "PUT", "f", b"new", If=f"({token})").status == 204
    assert ask(two, "LOCK", "f", If=f"({token})", Timeout="Second-77").status == 200
    assert ask(two, "UNLOCK", "f", Lock_Token=token).status == 204
    assert ask(one, "PUT", "f", b"newer").status == 204


def test_a_lock_on_a_folder_holds_in_both(targets: tuple[Target, Target]) -> None:
    one, two = targets
    mkcol(two, "d")
    lock(two, "d/", depth="infinity")
    assert ask(one, "PUT", "d/new", b"x").status == 423
    assert ask(one, "MOVE", "d", Destination=url(one, "e")).status == 423


def test_a_property_is_read_by_the_other(targets: tuple[Target, Target]) -> None:
    one, two = targets
    put(one, "f", b"bytes")
    assert set_property(one, "f", _TAG, "red").status == 207
    found = prop(two, "f", _TAG)
    assert found is not None
    assert found.text == "red"


def test_what_one_moves_or_removes_the_other_forgets(targets: tuple[Target, Target]) -> None:
    one, two = targets
    put(one, "f", b"bytes")
    assert set_property(one, "f", _TAG, "red").status == 207
    assert ask(two, "MOVE", "f", Destination=url(two, "g")).status == 201
    found = prop(one, "g", _TAG)
    assert found is not None
    assert found.text == "red"
    assert ask(two, "DELETE", "g").status == 204
    put(one, "g", b"other")
    assert prop(one, "g", _TAG) is None


def test_a_killed_process_takes_no_lock_along(
    pair: tuple[Daemon, Daemon], targets: tuple[Target, Target]
) -> None:
    one, two = targets
    put(one, "f", b"old")
    token = lock(one, "f")
    pair[0].kill()
    assert ask(two, "PUT", "f", b"new").status == 423
    assert ask(two, "UNLOCK", "f", Lock_Token=token).status == 204
