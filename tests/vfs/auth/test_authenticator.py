"""Who asks is found out once for each credential, and guessing is slowed down."""

import base64
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from vfs.auth.authenticator import CHALLENGES, Authenticator
from vfs.auth.caller import Caller
from vfs.auth.errors import Throttled, Unauthenticated
from vfs.auth.remembered import Remembered
from vfs.auth.throttle import FREE_TRIES_MAX, Throttle

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln"


class Desk:
    """Stands for what the authenticator asks, and writes down what it was asked."""

    def __init__(self) -> None:
        self.epoch = 0
        self.known: dict[str, Caller] = {}
        self.calls: list[tuple[str, ...]] = []
        self.accounts = True
        self.closed = 0
        self.refuses_all = False
        self.authenticator = Authenticator(
            memory=self,
            brake=self,
            password=self._password,
            token=self._token,
            has_accounts=lambda: self.accounts,
            close=self._close,
        )

    def _close(self) -> None:
        self.closed += 1

    def _password(self, name: str, password: str, *, known: bool = False) -> Caller:
        self.calls.append(("password", name))
        if password != "right":
            raise Unauthenticated("wrong name or password", name=name)
        return Caller(name=name)

    def _token(self, token: str) -> Caller:
        self.calls.append(("token",))
        if token != TOKEN:
            raise Unauthenticated("no", name="mallory")
        return Caller(name="alice")

    def get(self, shown: str) -> Caller | None:
        return self.known.get(shown)

    def put(self, shown: str, caller: Caller, *, epoch: int) -> None:
        self.known[shown] = caller

    def check(self, address: str, name: str) -> bool:
        if self.refuses_all:
            raise Throttled("later", retry_after_seconds=3)
        return False

    def failed(self, address: str, name: str) -> None:
        self.calls.append(("failed", address, name))

    def succeeded(self, address: str, name: str) -> None:
        self.calls.append(("succeeded", address, name))

    def ask(self, shown: str | None, address: str = "192.0.2.1") -> Caller:
        headers = {} if shown is None else {"authorization": shown}
        return self.authenticator.caller(headers, address)


def _basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_a_credential_is_verified_once() -> None:
    desk = Desk()
    for address in ("192.0.2.1", "192.0.2.2"):
        got = desk.ask(_basic("alice", "right"), address)
        assert (got.name, got.address) == ("alice", address)
    assert desk.calls == [("password", "alice"), ("succeeded", "192.0.2.1", "alice")]


def test_a_failure_is_counted_and_never_remembered() -> None:
    desk = Desk()
    for _ in range(2):
        with pytest.raises(Unauthenticated) as refused:
            desk.ask(_basic("alice", "wrong"))
        assert refused.value.name == "alice"
    assert desk.calls.count(("failed", "192.0.2.1", "alice")) == 2
    assert not desk.known


def test_a_bad_token_slows_nobody_down() -> None:
    desk = Desk()
    desk.refuses_all = True
    with pytest.raises(Unauthenticated) as refused:
        desk.ask("Bearer x.y.z")
    assert refused.value.name == "mallory"
    assert desk.ask(f"Bearer {TOKEN}").name == "alice"
    assert desk.calls == [("token",), ("token",)]


def test_who_guesses_too_fast_is_not_even_heard() -> None:
    desk = Desk()
    desk.refuses_all = True
    with pytest.raises(Throttled):
        desk.ask(_basic("alice", "right"))
    assert desk.calls == []


def test_a_credential_known_already_is_not_slowed_down() -> None:
    desk = Desk()
    desk.ask(_basic("alice", "right"))
    desk.refuses_all = True
    assert desk.ask(_basic("alice", "right")).name == "alice"


def test_without_accounts_nobody_is_asked_and_nobody_is_named() -> None:
    desk = Desk()
    desk.accounts = False
    authenticator = Authenticator(
        memory=desk,
        brake=desk,
        password=desk._password,
        token=desk._token,
        has_accounts=lambda: desk.accounts,
        close=desk._close,
    )
    before = desk.closed
    assert authenticator.challenges() == ()
    assert authenticator.caller({"authorization": _basic("alice", "right")}, "a").name is None
    desk.accounts = True
    authenticator._look_at = 0
    assert authenticator.caller({"authorization": _basic("alice", "right")}, "a").name == "alice"
    assert authenticator.challenges() == CHALLENGES
    desk.accounts = False
    authenticator._look_at = 0
    with pytest.raises(Unauthenticated):
        authenticator.caller({"authorization": _basic("alice", "wrong")}, "a")
    assert desk.closed == before + 1


def test_tries_at_the_same_moment_are_counted_like_others() -> None:
    """Of thirty wrong ones at once just the free ones are verified; of right ones, one."""
    verified: list[str] = []

    def verify(name: str, password: str, *, known: bool = False) -> Caller:
        verified.append(password)
        time.sleep(0.01)
        if password != "right":
            raise Unauthenticated("wrong name or password")
        return Caller(name=name)

    def status(shown: str) -> int:
        try:
            authenticator.caller({"authorization": shown}, "192.0.2.1")
        except Unauthenticated:
            return 401
        except Throttled as error:
            return error.status
        return 200

    authenticator = Authenticator(
        memory=Remembered(300, lambda: 1),
        brake=Throttle(),
        password=verify,
        token=lambda _: Caller(name="nobody"),
        has_accounts=lambda: True,
    )
    with ThreadPoolExecutor(30) as threads:
        right = list(threads.map(status, [_basic("alice", "right")] * 30))
        assert (right, verified) == ([200] * 30, ["right"])
        wrong = list(threads.map(status, [_basic("bob", f"wrong {n}") for n in range(30)]))
    assert sorted(wrong) == [401] * FREE_TRIES_MAX + [429] * (30 - FREE_TRIES_MAX)
    assert len(verified) == 1 + FREE_TRIES_MAX
