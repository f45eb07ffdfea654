"""What the gateway keeps for its stores is sealed where it lies, and comes out unchanged."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.errors import BadCredentials
from providers.secret import SECRET_MAX_BYTES
from vfs.auth.stored_secrets import StoredSecrets
from vfs.auth.vault import Vault
from vfs.state.errors import Invalid, TooLarge
from vfs.state.sqlite import SqliteStore

VAULT = Vault(bytes(32))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Open an empty state store."""
    store = SqliteStore(tmp_path / "state.db")
    yield store
    store.close()


@pytest.mark.parametrize("value", ["hunter2", " ü\n\n", "x" * SECRET_MAX_BYTES])
def test_a_value_comes_out_unchanged(store: SqliteStore, value: str) -> None:
    secrets = StoredSecrets(store, VAULT)
    secrets.put("site", value)
    assert secrets.reveal("site") == value


def test_a_value_is_nowhere_on_the_disk(store: SqliteStore, tmp_path: Path) -> None:
    StoredSecrets(store, VAULT).put("site", "hunter2-hunter2")
    store.close()
    assert all(b"hunter2" not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_new_value_is_told_by_its_time(store: SqliteStore) -> None:
    secrets = StoredSecrets(store, VAULT)
    assert secrets.changed_at_ns("site") is None
    secrets.put("site", "old")
    before = secrets.changed_at_ns("site")
    secrets.put("site", "new")
    assert (secrets.reveal("site"), secrets.changed_at_ns("site") == before) == ("new", False)


@pytest.mark.logs("the stored secret 'site' cannot be read")
def test_what_cannot_be_opened_is_told_without_place_or_value(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BadCredentials, match="the log says why"):
        StoredSecrets(store, VAULT).reveal("site")
    assert "headgate secret set site" in caplog.text
    StoredSecrets(store, VAULT).put("site", "hunter2")
    with pytest.raises(BadCredentials, match="the log says why"):
        StoredSecrets(store, Vault(b"x" * 32)).reveal("site")
    assert "sealed with another master key" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.logs("the stored secret 'site' cannot be read")
def test_what_was_sealed_for_something_else_is_no_secret(store: SqliteStore) -> None:
    """A row that somebody copies over another, or the gateway's own key, opens as nothing."""
    secrets = StoredSecrets(store, VAULT)
    secrets.put("other", "hunter2")
    other = store.secret("other")
    assert other is not None
    for sealed in (other.sealed, VAULT.seal("site", b"hunter2")):
        store.put_secret("site", sealed)
        with pytest.raises(BadCredentials):
            secrets.reveal("site")


@pytest.mark.parametrize("name", ["", ".token-key", "a b", "-a", "a/b", "x" * 65, "ü"])
def test_a_name_that_is_none_is_refused(store: SqliteStore, name: str) -> None:
    with pytest.raises(Invalid, match="1 to 64 letters"):
        StoredSecrets(store, VAULT).put(name, "v")


def test_a_value_that_is_none_or_too_long_is_refused(store: SqliteStore) -> None:
    with pytest.raises(Invalid, match="not empty"):
        StoredSecrets(store, VAULT).put("a", "")
    with pytest.raises(TooLarge, match="at most 32768 bytes"):
        StoredSecrets(store, VAULT).put("a", "x" * (SECRET_MAX_BYTES + 1))
