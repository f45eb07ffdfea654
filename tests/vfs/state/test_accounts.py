"""Users, app passwords, shares, revoked tokens and secrets: kept whole, bounded, seen by all."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from vfs.state import limits
from vfs.state.accounts import AppPasswordRecord, SecretRecord, ShareRecord, UserRecord
from vfs.state.base import StateStore
from vfs.state.errors import AlreadyThere, Invalid, NoSuchAccount, StateError, TooLarge, TooMany
from vfs.state.schema import MIGRATIONS, VERSION
from vfs.state.sqlite import SqliteStore

ANN = UserRecord(
    name="ann",
    password_hash="$argon2id$x",
    email="ann@example.org",
    groups=("lofar", "grün"),
    public_keys=("-----BEGIN PUBLIC KEY-----\nA\n-----END PUBLIC KEY-----\n",),
    created_at_ns=7,
)


def app(label: str, user: str = "ann", expires_at_ns: int | None = None) -> AppPasswordRecord:
    return AppPasswordRecord(
        user=user,
        label=label,
        digest=f"{user}/{label}".encode(),
        scopes=("storage.read:/a",),
        created_at_ns=7,
        expires_at_ns=expires_at_ns,
    )


def share(share_id: str, expires_at_ns: int, maker: str = "ann") -> ShareRecord:
    return ShareRecord(
        id=share_id,
        maker=maker,
        groups=("g",),
        scopes=("storage.read:/a",),
        note="für Bob",
        expires_at_ns=expires_at_ns,
    )


def test_a_user_survives_a_restart_as_it_was_put(backend: Any, clock: Any) -> None:
    with backend.open(clock) as store:
        store.put_user(ANN)
        store.put_user(UserRecord(name="bob"))
    with backend.open(clock) as store:
        assert store.user("ann") == ANN
        assert store.users() == [ANN, UserRecord(name="bob", created_at_ns=clock.ns)]
        assert store.user("Ann") is None


def test_a_name_is_added_once_and_replaced_whole(store: StateStore, other: StateStore) -> None:
    assert not store.any_users()
    store.put_user(ANN, new=True)
    assert other.any_users()
    with pytest.raises(AlreadyThere, match="ann"):
        other.put_user(UserRecord(name="ann"), new=True)
    assert store.user("ann") == ANN
    other.put_user(UserRecord(name="ann", created_at_ns=8))
    assert store.user("ann") == UserRecord(name="ann", created_at_ns=8)


def test_setting_a_password_never_brings_back_who_was_removed(store: StateStore) -> None:
    store.put_user(ANN)
    store.set_password("ann", "other")
    kept = store.user("ann")
    assert kept is not None
    assert (kept.password_hash, kept.groups) == ("other", ANN.groups)
    store.remove_user("ann")
    with pytest.raises(NoSuchAccount):
        store.set_password("ann", "again")
    assert store.user("ann") is None


def test_an_address_of_several_users_names_nobody(store: StateStore) -> None:
    """A token that carries it could otherwise be taken for the wrong user's."""
    store.put_user(ANN)
    store.put_user(UserRecord(name="none"))
    assert store.user_by_email("ann@example.org") == ANN
    assert store.user_by_email("") is None
    store.put_user(UserRecord(name="twin", email="ann@example.org"))
    assert store.user_by_email("ann@example.org") is None


def test_nothing_outlives_its_user(store: StateStore, clock: Any) -> None:
    """App passwords and shares go with the user, and a later bearer of the name inherits none."""
    later = clock.ns + 10
    store.put_user(ANN)
    store.add_app_password(app("phone"))
    store.add_share(share("s", later))
    store.add_app_password(app("phone", user="bob"))
    store.remove_user("ann")
    with pytest.raises(NoSuchAccount):
        store.remove_user("ann")
    assert store.app_password("ann", app("phone").digest) is None
    assert store.share("s") is None
    assert [record.user for record in store.app_passwords()] == ["bob"]
    store.put_user(UserRecord(name="bob"), new=True)
    assert store.app_passwords() == []


def test_replacing_a_user_keeps_what_is_lent(store: StateStore) -> None:
    store.put_user(ANN)
    store.add_app_password(app("phone"))
    store.put_user(ANN)
    assert store.app_passwords("ann") == [app("phone")]


def test_an_app_password_is_found_by_user_and_digest_alone(store: StateStore) -> None:
    store.add_app_password(app("phone"))
    with pytest.raises(AlreadyThere):
        store.add_app_password(app("phone"))
    assert store.app_password("ann", app("phone").digest) == app("phone")
    assert store.app_password("bob", app("phone").digest) is None
    assert store.app_password("ann", b"") is None
    store.remove_app_password("ann", "phone")
    assert store.app_password("ann", app("phone").digest) is None
    with pytest.raises(NoSuchAccount):
        store.remove_app_password("ann", "phone")


def test_what_has_expired_is_dead_and_then_swept(store: StateStore, clock: Any) -> None:
    soon = clock.ns + 1_000_000_000
    store.add_app_password(app("phone", expires_at_ns=soon))
    store.add_share(share("s", soon))
    store.revoke_token("t", expires_at_ns=soon)
    assert store.app_password("ann", app("phone").digest) is not None
    assert store.share("s") is not None
    clock.advance(1)
    assert store.app_password("ann", app("phone").digest) is None
    assert (store.share("s"), store.shares(), store.shares("ann")) == (None, [], [])
    assert [record.label for record in store.app_passwords("ann")] == ["phone"]
    store.add_app_password(app("phone"))
    store.add_share(share("s", clock.ns + 1))
    store.revoke_token("u", expires_at_ns=clock.ns + 1)
    assert store.app_passwords("ann") == [app("phone")]
    assert (store.is_revoked("t"), store.is_revoked("u")) == (False, True)


def test_shares_are_listed_by_their_making(store: StateStore, clock: Any) -> None:
    later = clock.ns + 10**12
    for name in ("z", "a", "m"):
        store.add_share(share(name, later))
        clock.advance(1)
    store.add_share(share("b", later, maker="bob"))
    assert [record.id for record in store.shares("ann")] == ["z", "a", "m"]
    assert [record.id for record in store.shares()] == ["z", "a", "m", "b"]
    assert store.share("z") == store.shares()[0]
    with pytest.raises(AlreadyThere):
        store.add_share(share("z", later))
    store.remove_share("z")
    with pytest.raises(NoSuchAccount):
        store.remove_share("z")


def test_a_revocation_lasts_as_long_as_the_longest_asked(store: StateStore, clock: Any) -> None:
    for seconds in (5, 50, 10):
        store.revoke_token("t", expires_at_ns=clock.ns + seconds * 10**9)
    clock.advance(20)
    store.revoke_token("u", expires_at_ns=clock.ns + 1)
    assert store.is_revoked("t")


def test_secrets_are_kept_bytes_for_bytes(store: StateStore, clock: Any) -> None:
    sealed = bytes(range(256))
    store.put_secret("s3", sealed, new=True)
    with pytest.raises(AlreadyThere):
        store.put_secret("s3", b"", new=True)
    assert store.secret("s3") == SecretRecord(name="s3", sealed=sealed, changed_at_ns=clock.ns)
    store.put_secret("s3", b"new")
    store.put_secret("a", b"")
    assert [(each.name, each.sealed) for each in store.secrets()] == [("a", b""), ("s3", b"new")]
    store.remove_secret("a")
    assert store.secret("a") is None
    with pytest.raises(NoSuchAccount):
        store.remove_secret("a")


def changes(expires_at_ns: int) -> list[Callable[[StateStore], None]]:
    return [
        lambda store: store.put_user(ANN),
        lambda store: store.set_password("ann", "x"),
        lambda store: store.change_user("ann", groups=("x",)),
        lambda store: store.add_app_password(app("phone")),
        lambda store: store.remove_app_password("ann", "phone"),
        lambda store: store.revoke_token("t", expires_at_ns=expires_at_ns),
        lambda store: store.put_secret("s", b"x"),
        lambda store: store.remove_secret("s"),
        lambda store: store.remove_user("ann"),
    ]


def test_each_change_makes_the_generation_grow_for_all(
    store: StateStore, other: StateStore, clock: Any
) -> None:
    """Reading and refused changes leave it."""
    for change in changes(clock.ns + 1):
        before = store.generation()
        assert other.generation() == before
        change(other)
        assert store.generation() > before
    before = store.generation()
    store.users()
    store.add_share(share("s", clock.ns + 1))
    store.remove_share("s")
    store.set_properties("/a", {("n", "p"): "x"})
    with pytest.raises(NoSuchAccount):
        store.remove_user("ann")
    assert store.generation() == before


_WATCHER = """
print(store.generation(), store.user("ann") is not None, flush=True)
for line in sys.stdin:
    print(store.generation(), store.user("ann") is not None, flush=True)
store.close()
"""


def test_another_process_sees_a_change_at_once(backend: Any) -> None:
    with backend.open() as store:
        store.health()
        watcher = backend.start(_WATCHER)

        def seen() -> tuple[int, bool]:
            number, there = watcher.stdout.readline().split()
            return int(number), there == "True"

        last, there = seen()
        assert not there
        for turn in range(20):
            if turn % 2:
                store.remove_user("ann")
            else:
                store.put_user(ANN, new=True)
            watcher.stdin.write("\n")
            watcher.stdin.flush()
            now, there = seen()
            assert (now > last, there) == (True, turn % 2 == 0)
            last = now


def test_everything_is_bounded(
    store: StateStore, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USERS_MAX", "APP_PASSWORDS_PER_USER_MAX", "SHARES_PER_MAKER_MAX"):
        monkeypatch.setattr(limits, name, 1)
    for name in ("REVOKED_TOKENS_MAX", "SECRETS_MAX"):
        monkeypatch.setattr(limits, name, 1)
    later = clock.ns + 10
    store.put_user(ANN)
    store.put_user(ANN)
    store.add_app_password(app("1"))
    store.add_share(share("1", later))
    store.revoke_token("1", expires_at_ns=later)
    store.revoke_token("1", expires_at_ns=later)
    store.put_secret("1", b"")
    store.put_secret("1", b"x")
    refused: list[Callable[[], None]] = [
        lambda: store.put_user(UserRecord(name="bob")),
        lambda: store.add_app_password(app("2")),
        lambda: store.add_share(share("2", later)),
        lambda: store.revoke_token("2", expires_at_ns=later),
        lambda: store.put_secret("2", b""),
    ]
    for call in refused:
        with pytest.raises(TooMany):
            call()
    store.add_app_password(app("2", user="bob"))
    store.add_share(share("2", later, maker="bob"))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda store: store.put_user(UserRecord(name="")), Invalid),
        (lambda store: store.put_user(UserRecord(name="x" * 513)), Invalid),
        (lambda store: store.put_user(UserRecord(name="\ud800")), Invalid),
        (lambda store: store.put_user(UserRecord(name="a", groups=("\udcff",))), Invalid),
        (lambda store: store.put_user(UserRecord(name="a", groups=("x" * 65_536,))), TooLarge),
        (lambda store: store.set_password("ann", "x" * 65_537), TooLarge),
        (lambda store: store.change_user("ann", groups=("x" * 65_537,)), TooLarge),
        (lambda store: store.add_app_password(app("")), Invalid),
        (lambda store: store.add_app_password(app("a", expires_at_ns=-1)), Invalid),
        (lambda store: store.add_app_password(app("a", expires_at_ns=2**63)), Invalid),
        (lambda store: store.add_share(share("", 1)), Invalid),
        (lambda store: store.add_share(share("a", 2**63)), Invalid),
        (lambda store: store.revoke_token("", expires_at_ns=1), Invalid),
        (lambda store: store.revoke_token("x" * 513, expires_at_ns=1), Invalid),
        (lambda store: store.put_secret("a", b"x" * 65_537), TooLarge),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    store: StateStore, call: Callable[[StateStore], None], error: type[StateError]
) -> None:
    before = store.generation()
    with pytest.raises(error):
        call(store)
    assert store.generation() == before


def test_a_store_of_the_first_version_is_upgraded_with_all_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        connection.execute("INSERT INTO property VALUES (x'', x'61', x'6e', x'70', x'78')")
    with SqliteStore(file) as store:
        assert store.properties("/a") == {("n", "p"): "x"}
        store.put_user(ANN, new=True)
        assert store.user("ann") == ANN
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_what_runs_per_login_finds_its_rows_by_an_index(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "state.sqlite") as store:
        seen: list[str] = []
        store.health()
        with store._lend.read() as connection:
            connection.set_trace_callback(seen.append)
        store.user("ann")
        store.user_by_email("ann@example.org")
        store.app_password("ann", b"digest")
        store.share("s")
        store.is_revoked("t")
        store.secret("s")
        store.shares("ann")
        store.app_passwords("ann")
        assert len(seen) == 8
        with store._lend.read() as connection:
            connection.set_trace_callback(None)
            for query in seen:
                plan = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
                assert not any(row[3].startswith("SCAN") for row in plan), (query, plan)


def test_the_generation_is_cheap(store: StateStore) -> None:
    """The best of many, in processor time: every worker asks each second, and may ask oftener."""
    store.put_user(ANN)

    def once() -> float:
        before = time.thread_time()
        store.generation()
        return time.thread_time() - before

    assert min(once() for _ in range(200)) < 0.001
