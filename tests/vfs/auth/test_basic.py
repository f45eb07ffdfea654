"""Basic: the right ones come in, and nobody learns why the others did not."""

import time
from pathlib import Path

import pytest

from vfs.auth import app_passwords
from vfs.auth.basic import Basic
from vfs.auth.caller import Caller
from vfs.auth.errors import Throttled, Unauthenticated
from vfs.auth.passwords import Passwords, hash_password
from vfs.auth.right import Grant, Right
from vfs.auth.users import User, Users
from vfs.state.accounts import AppPasswordRecord, UserRecord
from vfs.state.base import StateStore
from vfs.state.sqlite import SqliteStore

PASSWORD = "correct horse battery"
SECRET = app_passwords.fresh()
SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def hashed() -> str:
    return hash_password(PASSWORD)


@pytest.fixture
def basic(store: StateStore, hashed: str) -> Basic:
    store.put_user(UserRecord(name="bob", password_hash=hashed))
    store.put_user(UserRecord(name="keys"))
    ann = User(name="ann", password_hash=hashed, groups=frozenset({"lofar"}))
    return Basic(Users([ann], store), Passwords(), store)


def lend(
    store: StateStore,
    user: str = "ann",
    scopes: tuple[str, ...] = (),
    expires_at_ns: int | None = None,
) -> None:
    store.add_app_password(
        AppPasswordRecord(
            user=user,
            label="phone",
            digest=app_passwords.digest(SECRET),
            scopes=scopes,
            expires_at_ns=expires_at_ns,
        )
    )


def refused(basic: Basic, name: str, password: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        basic.verify(name, password)
    assert caught.value.name == name
    return caught.value.detail


def test_a_user_s_own_password_has_no_bound(basic: Basic) -> None:
    assert basic.verify("ann", PASSWORD) == Caller(
        name="ann", groups=frozenset({"lofar"}), credential="password"
    )
    assert basic.verify("bob", PASSWORD).name == "bob"


def test_an_app_password_is_bounded_by_scopes_and_time(basic: Basic, store: StateStore) -> None:
    end = time.time_ns() + 3600 * SECOND_NS
    lend(store, scopes=("storage.read:/data",), expires_at_ns=end)
    assert basic.verify("ann", SECRET) == Caller(
        name="ann",
        groups=frozenset({"lofar"}),
        scopes=(Grant("/data", frozenset({Right.LIST, Right.READ})),),
        credential="app:phone",
        expires_at=end / 1e9,
    )


def test_an_app_password_without_scopes_is_as_good_as_its_user(
    basic: Basic, store: StateStore
) -> None:
    lend(store)
    caller = basic.verify("ann", SECRET)
    assert (caller.scopes, caller.expires_at) == (None, None)


@pytest.mark.parametrize("scopes", [("openid",), ("storage.read:/../etc",), ("",)])
def test_scopes_that_say_nothing_give_nothing(
    basic: Basic, store: StateStore, scopes: tuple[str, ...]
) -> None:
    lend(store, scopes=scopes)
    assert basic.verify("ann", SECRET).scopes == ()


def test_an_app_password_is_its_user_s_alone_and_no_own_password(
    basic: Basic, store: StateStore
) -> None:
    lend(store)
    refused(basic, "bob", SECRET)
    refused(basic, "ann", SECRET.upper())
    refused(basic, "ann", SECRET + "a")
    store.remove_app_password("ann", "phone")
    refused(basic, "ann", SECRET)


def test_who_is_gone_has_no_app_password(basic: Basic, store: StateStore) -> None:
    """Also one whose account stood in the configuration, so that the store still has the record."""
    lend(store)
    lend(store, user="bob")
    store.remove_user("bob")
    refused(basic, "bob", SECRET)
    refused(Basic(Users([], store), Passwords(), store), "ann", SECRET)


def test_no_answer_tells_what_was_wrong(basic: Basic, tmp_path: Path, hashed: str) -> None:
    """Wrong name, no such password, no password at all, expired: one text without the secret."""
    now = [time.time_ns()]
    with SqliteStore(tmp_path / "aged.db", now_ns=lambda: now[0]) as aged:
        lend(aged, expires_at_ns=now[0] + SECOND_NS)
        ann = User(name="ann", password_hash=hashed)
        later = Basic(Users([ann], aged), Passwords(), aged)
        assert later.verify("ann", SECRET).name == "ann"
        now[0] += SECOND_NS
        texts = {refused(later, "ann", SECRET)}
    texts |= {
        refused(basic, name, password)
        for name in ("ann", "nobody", "keys", "", "\ud800", "x" * 10_000)
        for password in ("wrong", "", app_passwords.fresh(), "x" * 10_000, "\ud800")
    }
    texts |= {refused(basic, "keys", PASSWORD), refused(basic, "ANN", PASSWORD)}
    assert len(texts) == 1
    assert PASSWORD not in texts.pop()


def test_a_wrong_app_password_costs_no_slow_hash(basic: Basic) -> None:
    """In processor time; 160 random bits need none."""
    began = time.thread_time()
    for _ in range(100):
        refused(basic, "ann", app_passwords.fresh())
    assert time.thread_time() - began < 0.5


def test_fresh_secrets_are_all_different_and_of_one_form() -> None:
    secrets = {app_passwords.fresh() for _ in range(1000)}
    assert len(secrets) == 1000
    assert all(app_passwords.is_one(secret) for secret in secrets)
    assert not any(map(app_passwords.is_one, ("", "hga_", "hga_x", PASSWORD, SECRET + "\n")))


def test_a_label_can_be_read() -> None:
    assert app_passwords.check_label("my phone") == "my phone"
    for wrong in ("", " phone", "x" * 65, "a\nb", "\ud800"):
        with pytest.raises(ValueError, match="cannot be a label"):
            app_passwords.check_label(wrong)


def test_who_logged_in_there_before_does_not_wait_for_strangers(
    store: StateStore, hashed: str
) -> None:
    ann = User(name="ann", password_hash=hashed)
    full = Passwords(at_once=1, waiting=-1)
    basic = Basic(Users([ann], store), full, store, known=Passwords())
    assert basic.verify("ann", PASSWORD, known=True).name == "ann"
    with pytest.raises(Throttled):
        basic.verify("ann", PASSWORD)
