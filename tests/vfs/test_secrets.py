"""Secrets stand in files and variables, never in the configuration or in what is shown of it."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from providers import registry
from vfs import check, config
from vfs.app import App
from vfs.auth.stored_secrets import StoredSecrets
from vfs.auth.vault import Vault, master_key
from vfs.state.sqlite import STATE_FILE, SqliteStore
from vfs.toml_file import ConfigError
from vfs.toml_text import effective

PLUGIN = """
from providers.base import Options, Provider
from providers.memory import MemoryProvider
from providers.secret import Secret
class VaultOptions(Options, frozen=True, kw_only=True):
    host: str = "h"
    password: Secret | None = None
    token: Secret | None = None
    secret_plain: str | None = None
class Vault(MemoryProvider):
    name = "vault"
    options = VaultOptions
    made = []
    def __init__(self, options):
        super().__init__(MemoryProvider.options())
        self.password = options.password.reveal() if options.password else None
        self.made.append(self.password)
"""
MOUNT = '[mounts."/v"]\nprovider = "vault"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install a provider that has secrets."""
    (tmp_path / "vault_plugin.py").write_text(PLUGIN)
    info = tmp_path / "vault-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Vault\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[headgate.providers]\nvault = vault_plugin:Vault\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry.DOORS.forget()
    yield tmp_path
    sys.modules.pop("vault_plugin", None)
    registry.DOORS.forget()


def load(folder: Path, text: str) -> config.Config:
    path = folder / "headgate.toml"
    path.write_text(MOUNT + text)
    return config.load(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('password = "hunter2"\n', "put it in a file and name that with 'password_file'"),
        ('token = "hunter2"\n', "or in a variable ('token_env'), or in the gateway's own store"),
        ('password_secret = "hunter 2"\n', "the name of a stored secret, not its value"),
        ("password_secret = 5\n", "must be text, not a whole number"),
        ('password_env = "A"\npassword_file = "p"\n', "says twice where 'password' stands"),
        ('pasword_file = "p"\n', "did you mean 'password_file'?"),
        ('token_env = "hunter2!"\n', "must be the name of an environment variable, not its value"),
        ('password_file = "gone"\n', "does not exist"),
        ('password_file = "."\n', "is a folder, not a file"),
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_echoed(folder: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    assert str(caught.value).startswith(f"{folder}/headgate.toml:3: ")
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_is_shown_names_the_places_of_secrets_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pw").write_text("hunter2")
    (folder / "pw").chmod(0o600)
    text = 'password_file = "pw"\ntoken_env = "VAULT_TOKEN"\nsecret_plain = "hunter2"\n'
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    shown = effective(load(folder, text))
    assert f'password_file = "{folder}/pw"  # can be read\n' in shown
    assert 'token_env = "VAULT_TOKEN"  # is not set\n' in shown
    assert 'secret_plain = "***"\n' in shown
    monkeypatch.setenv("VAULT_TOKEN", "hunter2")
    (folder / "pw").chmod(0o644)
    shown = effective(load(folder, text))
    assert 'token_env = "VAULT_TOKEN"  # is set\n' in shown
    assert "# can be read, by others too\n" in shown
    assert "hunter2" not in shown


@pytest.fixture
def kept(folder: Path) -> Iterator[StoredSecrets]:
    """Open the secrets of the gateway whose configuration lies in the folder."""
    (folder / "state").mkdir()
    with closing(SqliteStore(folder / "state" / STATE_FILE)) as store:
        yield StoredSecrets(store, Vault(master_key(folder / "state")))


def made() -> list[str | None]:
    """Return the password of each store that was made."""
    passwords: list[str | None] = sys.modules["vault_plugin"].__dict__["Vault"].made
    return passwords


@pytest.mark.parametrize("table", ["", '[[mounts."/v".replicas]]\nprovider = "vault"\n'])
def test_an_unknown_stored_name_is_refused_with_line_and_command(
    folder: Path, kept: StoredSecrets, table: str
) -> None:
    settings = load(folder, table + 'password_secret = "site"\n')
    line = 3 + table.count("\n")
    for start in (lambda: App(settings), lambda: check.with_secrets(settings).__enter__()):
        with pytest.raises(ConfigError) as caught:
            start()
        assert str(caught.value).startswith(f"{folder}/headgate.toml:{line}: mount /v: ")
        assert "headgate secret set site --config" in str(caught.value)


def test_a_store_gets_what_is_kept_for_it(folder: Path, kept: StoredSecrets) -> None:
    kept.put("site", "hunter2")
    with closing(App(load(folder, 'password_secret = "site"\n'))):
        assert made() == ["hunter2"]


def test_what_is_shown_says_that_a_secret_is_kept(folder: Path, kept: StoredSecrets) -> None:
    kept.put("site", "hunter2")
    with check.with_secrets(load(folder, 'password_secret = "site"\n')) as settings:
        assert 'password_secret = "site"  # is stored\n' in effective(settings)
        assert "hunter2" not in effective(settings) + repr(settings)
        assert [result.diagnosis for result in check.check(settings)] == [""]
    assert made() == ["hunter2"]


def test_a_reload_takes_a_new_value_and_leaves_other_stores_alone(
    folder: Path, kept: StoredSecrets
) -> None:
    """Whether a secret is kept, or stands in a file: a new one makes the store anew, else none."""
    file = folder / "pw"
    file.write_text("one")
    file.chmod(0o600)
    kept.put("site", "hunter2")
    other = '[mounts."/w"]\nprovider = "vault"\npassword_file = "pw"\n'
    settings = load(folder, f'password_secret = "site"\n{other}')
    with closing(App(settings)) as app:
        app.reload(settings)
        assert made() == ["hunter2", "one"]
        kept.put("site", "hunter3")
        app.reload(settings)
        assert made() == ["hunter2", "one", "hunter3"]
        (folder / "new").write_text("two")
        (folder / "new").replace(file)
        file.chmod(0o600)
        app.reload(settings)
        assert made() == ["hunter2", "one", "hunter3", "two"]


def test_a_file_that_everybody_may_read_is_warned_of(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "pw").write_text("hunter2")
    (folder / "pw").chmod(0o644)
    with closing(App(load(folder, 'password_file = "pw"\n'))):
        assert f"every user of this machine may read '{folder}/pw'" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_required_secret_lacks_three_keys(folder: Path) -> None:
    plugin = folder / "vault_plugin.py"
    plugin.write_text(
        plugin.read_text().replace("password: Secret | None = None", "password: Secret")
    )
    with pytest.raises(ConfigError, match="lacks one of the keys 'password_file' or"):
        load(folder, "")
