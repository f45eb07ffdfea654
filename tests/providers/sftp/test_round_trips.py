"""What is asked of a site, and how often: each question costs a round trip."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from providers.base import Content
from providers.sftp import SftpProvider
from providers.ssh import wire
from providers.ssh.batch import in_steps
from providers.ssh.dialogue import Dialogue
from providers.ssh.exchange import Exchange, Request
from providers.ssh.session import SftpSession
from providers.testing.content import signed
from tests.providers.sftp.test_faults import old_file
from tests.servers.sshd import Sshd

pytestmark = [pytest.mark.server("sshd"), pytest.mark.server("ssh")]

MIB = 1 << 20

Make = Callable[..., SftpProvider]


def test_many_files_far_away_take_several_sessions_at_once(
    make: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that idle join before the first one is waited for, so each reads a part."""
    monkeypatch.setattr("providers.sftp_site.FAR_SECONDS", 0.0)
    store = make(connections=2)
    data = {f"f{number}": signed(300, number) for number in range(700)}
    for path, content in data.items():
        (root / path).write_bytes(content)
    end = time.monotonic() + 10
    while len(store._site.pool.sessions) < 2 and time.monotonic() < end:
        list(store.get_many(data, 1000))
    used: set[SftpSession] = set()

    def watched(session: SftpSession, *rest: Any) -> Any:
        used.add(session)
        return in_steps(session, *rest)

    monkeypatch.setattr("providers.sftp_many.in_steps", watched)
    found = {path: one.data for path, one in store.get_many(data, 1000) if isinstance(one, Content)}
    assert found == data
    assert len(used) == 2


def test_a_session_long_unused_is_not_asked_for_a_sign_of_life_first(
    server: Sshd, store: SftpProvider, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question itself is one: it costs one round trip, and a cut goes unnoticed."""
    monkeypatch.setattr("providers.pool._IDLE_SECONDS", -1.0)
    (root / "file").write_bytes(b"x")
    store.stat("file")
    asked: list[str] = []
    realpath = SftpSession.realpath

    def watched(session: SftpSession, path: str) -> str:
        asked.append(path)
        return realpath(session, path)

    monkeypatch.setattr(SftpSession, "realpath", watched)
    assert store.stat("file").size == 1
    assert [entry.name for entry in store.scandir("")] == ["file"]
    assert not asked
    server.cut()
    assert store.stat("file").size == 1


def test_a_read_of_a_large_file_costs_three_round_trips(
    store: SftpProvider, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Look, open, read: the version is checked by the same trip that brings the bytes."""
    old_file(root / "file", signed(MIB))
    store.stat("file")
    asked = []
    ask = Dialogue.ask

    def told(dialogue: Dialogue, exchange: Exchange | None, requests: Sequence[Request]) -> None:
        asked.append([request.kind for request in requests])
        ask(dialogue, exchange, requests)

    monkeypatch.setattr(Dialogue, "ask", told)
    with store.open("file") as reader:
        assert reader.read_at(5, 1000) == signed(MIB)[5:1005]
    assert asked == [[wire.LSTAT], [wire.OPEN], [wire.READ, wire.FSTAT], [wire.CLOSE]]
