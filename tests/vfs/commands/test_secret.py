"""`headgate secret`: what is given is kept, and never shown again."""

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from providers.secret import SECRET_MAX_BYTES
from vfs.auth.stored_secrets import StoredSecrets
from vfs.auth.vault import KEY_FILE, Vault, master_key
from vfs.state.sqlite import STATE_FILE, SqliteStore

if TYPE_CHECKING:
    from tests.vfs.conftest import Command

STATE = ("--state-dir", "state")
PLUGIN = """
from providers.base import Options
from providers.memory import MemoryProvider
from providers.secret import Secret
class SiteOptions(Options, frozen=True, kw_only=True):
    password: Secret
class Site(MemoryProvider):
    name = "site"
    options = SiteOptions
    def __init__(self, options):
        super().__init__(MemoryProvider.options())
        self._password = options.password
    def health(self):
        if self._password.reveal() != "hunter2": raise RuntimeError("refused")
"""
MOUNTS = """
[mounts."/s"]
provider = "site"
password_secret = "site"
[[mounts."/s".replicas]]
provider = "site"
password_secret = "site"
[mounts."/m"]
provider = "memory"
"""


def kept(folder: Path, name: str) -> str:
    """Open a secret as the gateway does."""
    state = folder / "state"
    with SqliteStore(state / STATE_FILE) as store:
        return StoredSecrets(store, Vault(master_key(state))).reveal(name)


@pytest.fixture
def site(headgate: "Command") -> "Command":
    """Install a provider with a password, and mount it."""
    folder = headgate.folder / "plugin"
    info = folder / "site-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "site_plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: site\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[headgate.providers]\nsite = site_plugin:Site\n")
    headgate.environment["PYTHONPATH"] += f"{os.pathsep}{folder}"
    headgate.write(MOUNTS)
    return headgate


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("hunter2\n", "hunter2"),
        ("hunter2\r\n", "hunter2"),
        (
            "-----BEGIN KEY-----\nabc\n-----END KEY-----\n",
            "-----BEGIN KEY-----\nabc\n-----END KEY-----",
        ),
        ("u\u0308", "u\u0308"),
    ],
)
def test_what_is_piped_in_is_kept_as_it_is(headgate: "Command", given: str, value: str) -> None:
    """A key has several lines, and a password of another system is no text to be normalised."""
    done = headgate.run("secret", "set", "site", *STATE, given=given)
    assert (done.returncode, done.stderr) == (0, "")
    assert kept(headgate.folder, "site") == value
    assert (headgate.folder / "state" / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_no_command_shows_a_value(headgate: "Command") -> None:
    outputs = [headgate.run("secret", "set", "b", *STATE, given="hunter2")]
    outputs.append(headgate.run("secret", "set", "a", *STATE, given="hunter2"))
    outputs.append(headgate.run("secret", "list", *STATE))
    names = [line.split("\t")[0] for line in outputs[-1].stdout.splitlines()]
    outputs.append(headgate.run("secret", "list", "--json", *STATE))
    assert names == [row["name"] for row in json.loads(outputs[-1].stdout)] == ["a", "b"]
    outputs.append(headgate.run("secret", "remove", "a", "--force", *STATE))
    assert all(done.returncode == 0 for done in outputs)
    assert all("hunter2" not in done.stdout + done.stderr for done in outputs)
    for file in (headgate.folder / "state").iterdir():
        assert b"hunter2" not in file.read_bytes()


def test_the_gateway_s_own_keys_are_neither_listed_nor_removed(headgate: "Command") -> None:
    state = headgate.folder / "state"
    state.mkdir()
    with SqliteStore(state / STATE_FILE) as store:
        store.put_secret(".token-key", b"sealed")
    assert headgate.run("secret", "list", *STATE).stdout == ""
    told = headgate.refused("secret", "remove", ".token-key", "--force", *STATE)
    assert "there is no secret '.token-key'" in told


def test_on_a_terminal_it_is_typed_twice_and_not_echoed(headgate: "Command") -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "vfs.cli", "secret", "set", "site", *STATE],
        cwd=headgate.folder,
        env=headgate.environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    ) as process:
        os.close(slave)
        seen = b""
        for prompt in (b"Secret: ", b"Once more: "):
            while not seen.endswith(prompt):
                seen += os.read(master, 1024)
            os.write(master, b"hunter2\n")
        with contextlib.suppress(OSError):  # how the end of a terminal is told
            while block := os.read(master, 1024):
                seen += block
    os.close(master)
    assert process.returncode == 0
    assert b"is kept" in seen
    assert b"hunter2" not in seen
    assert kept(headgate.folder, "site") == "hunter2"


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("a b", "v", "a name has 1 to 64 letters"),
        ("../x", "v", "a name has 1 to 64 letters"),
        ("a", "", "not empty"),
        ("a", "\n", "not empty"),
        ("a", "x" * (SECRET_MAX_BYTES + 1), "at most 32768 bytes"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    headgate: "Command", name: str, given: str, told: str
) -> None:
    assert told in headgate.refused("secret", "set", name, *STATE, given=given)


def test_a_key_that_is_open_to_others_is_refused_with_the_cure(headgate: "Command") -> None:
    headgate.run("secret", "set", "a", *STATE, given="v")
    (headgate.folder / "state" / KEY_FILE).chmod(0o644)
    assert "chmod 600" in headgate.refused("secret", "set", "a", *STATE, given="v")


def test_a_secret_in_use_is_removed_by_force_only(site: "Command") -> None:
    here = ("--config", "headgate.toml")
    assert site.run("secret", "set", "site", *here, given="hunter2").returncode == 0
    told = site.refused("secret", "remove", "site", *here)
    assert "/s (password_secret), /s (password_secret)" in told
    assert "nobody can tell" in site.refused("secret", "remove", "site", *STATE)
    assert "there is no secret 'gone'" in site.refused("secret", "remove", "gone", *here)
    assert site.run("secret", "remove", "site", "--force", *here).returncode == 0
    assert site.run("secret", "list", *here).stdout == ""


def test_the_whole_way_of_a_secret(site: "Command") -> None:
    """Refused while it is not there; then tried, never shown."""
    told = site.refused("serve", "--config", "headgate.toml")
    assert "headgate.toml:4: mount /s: password_secret names 'site'" in told
    assert "headgate secret set site" in told
    site.run("secret", "set", "site", "--config", "headgate.toml", given="hunter2\n")
    done = site.run("check-config", "headgate.toml")
    assert (done.returncode, done.stdout.count("ok    ")) == (0, 3), done
    assert 'password_secret = "site"  # is stored' in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
