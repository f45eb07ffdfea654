"""Secrets stand in files and variables, never in the configuration or in what is shown of it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers import registry
from vfs import config
from vfs.toml_file import ConfigError
from vfs.toml_text import effective

PLUGIN = """
from providers.base import Options, Provider
from providers.memory import MemoryProvider
from providers.secret import Secret
class VaultOptions(Options, frozen=True):
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
    registry._doors.cache_clear()
    yield tmp_path
    sys.modules.pop("vault_plugin", None)
    registry._doors.cache_clear()


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
