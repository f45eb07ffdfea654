"""`headgate site`: a key is left at an account, used, and taken away again."""

import contextlib
import getpass
import os
import pty
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from providers.ssh.host_keys import HostKey
from tests import planted
from tests.servers import sshd
from tests.servers.sshd import Sshd
from vfs.config import load

if TYPE_CHECKING:
    from tests.vfs.conftest import Command

pytestmark = [pytest.mark.server("sshd"), pytest.mark.server("ssh")]

CONFIG = """# A comment that must stay.
[server]
state_dir = "state"

[mounts."/a"]
provider = "local"
root = "a"   # and this one
"""
OTHERS = "# my keys\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeFakeFakeFakeFakeFakeFakeFake me"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd.launch(tmp_path / "sshd") as server:
        keys = server.directory / "authorized_keys"
        keys.write_text(keys.read_text() + OTHERS)
        keys.chmod(0o640)
        yield server


@pytest.fixture
def person() -> Iterator[tuple[str, str]]:
    """Make a user of this machine for the test; return the name and the password."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a user with a password")
    name, word = f"hgtest{secrets.token_hex(4)}", planted.plant()
    subprocess.run(["useradd", "-m", "-s", "/bin/sh", name], check=True, timeout=30)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{word}", text=True, check=True, timeout=30)
        yield name, word
    finally:
        subprocess.run(["userdel", "-r", name], check=True, timeout=30, stderr=subprocess.DEVNULL)


def fingerprint(server: Sshd) -> str:
    import base64

    algorithm, blob = server.host_key.split()
    return HostKey(algorithm, base64.b64decode(blob)).fingerprint


def account(server: Sshd, user: str = "") -> str:
    return f"{user or getpass.getuser()}@127.0.0.1:{server.target.port}"


def arguments(server: Sshd, *more: str, user: str = "") -> list[str]:
    return ["site", "add", "hpc", account(server, user), "--config", "headgate.toml", *more]


def by_key(server: Sshd) -> list[str]:
    assert server.target.root is not None
    return [
        *("--key", str(server.key), "--path", str(server.target.root)),
        *("--authorized-keys", str(server.directory / "authorized_keys")),
    ]


def test_add_and_revoke(headgate: "Command", server: Sshd) -> None:
    """The key is added behind the others, the mount serves, and revoking takes just that line."""
    file = headgate.write(CONFIG)
    keys = server.directory / "authorized_keys"
    before = keys.read_text()
    done = headgate.run(*arguments(server, "--fingerprint", fingerprint(server), *by_key(server)))
    assert done.returncode == 0, done.stderr
    assert file.read_text().startswith(CONFIG)
    assert [mount.path for mount in load(file).mounts] == ["/a", "/hpc"]
    text = keys.read_text()
    assert text.startswith(f"{before}\n")
    line = text.removeprefix(f"{before}\n")
    assert line.startswith('restrict,command="internal-sftp" ssh-ed25519 ')
    assert " headgate hpc " in line
    assert keys.stat().st_mode & 0o777 == 0o640
    assert list(keys.parent.glob(".headgate-*")) == []
    folder = headgate.folder / "state" / "sites" / "hpc"
    assert (folder / "key").stat().st_mode & 0o777 == 0o600

    checked = headgate.run("check-config", "headgate.toml")
    assert checked.returncode == 0, checked.stdout
    assert "ok    /hpc (sftp)" in checked.stdout
    listed = headgate.run("site", "list", "--config", "headgate.toml")
    assert listed.stdout.startswith(f"hpc\t{account(server)}\t{server.target.root}\t/hpc\t")
    shell = ["ssh", "-F", "none", "-i", str(folder / "key"), "-p", str(server.target.port)]
    shell += ["-o", f"UserKnownHostsFile={folder / 'known_hosts'}", "127.0.0.1", "id"]
    tried = subprocess.run(shell, capture_output=True, timeout=30, check=False)
    assert b"uid=" not in tried.stdout, "the key opens a shell"

    done = headgate.run("site", "revoke", "hpc", "--config", "headgate.toml")
    assert done.returncode == 0, done.stderr
    assert "/hpc" in done.stdout
    assert keys.read_text() == f"{before}\n"
    assert (folder / "key").read_bytes() == b"", "the key is still here"
    checked = headgate.run("check-config", "headgate.toml")
    assert checked.returncode == 1, "the mount alone must be down"
    assert "down  /hpc (sftp)" in checked.stdout
    assert headgate.run("site", "list", "--config", "headgate.toml").stdout == ""
    done = headgate.run("site", "revoke", "hpc", "--config", "headgate.toml")
    assert done.returncode == 2
    assert "no site 'hpc'" in done.stderr


def test_by_password(
    headgate: "Command", person: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The password lets in once, is kept nowhere, and the key alone works from then on."""
    user, word = person
    options = {"AuthorizedKeysFile": ".ssh/authorized_keys", "PasswordAuthentication": "yes"}
    headgate.write(CONFIG)
    with sshd.launch(tmp_path_factory.mktemp("sshd"), options) as server:
        wrong = headgate.run(
            *arguments(server, "--fingerprint", fingerprint(server), user=user), given="wrong\n"
        )
        assert wrong.returncode == 2
        assert "is refused" in wrong.stderr
        assert not (headgate.folder / "state" / "sites" / "hpc").exists()
        done = headgate.run(
            *arguments(server, "--fingerprint", fingerprint(server), user=user), given=f"{word}\n"
        )
        assert done.returncode == 0, done.stderr
        home = Path(f"~{user}").expanduser()
        assert (home / ".ssh").stat().st_mode & 0o777 == 0o700
        assert (home / ".ssh/authorized_keys").stat().st_mode & 0o777 == 0o600
        kept = [file.read_bytes() for file in headgate.folder.rglob("*") if file.is_file()]
        assert not any(map(planted.leaks, kept)), "the password was kept"
        checked = headgate.run("check-config", "headgate.toml")
        assert "ok    /hpc (sftp)" in checked.stdout


def test_an_unconfirmed_key(headgate: "Command", server: Sshd) -> None:
    """Without somebody who confirms the host key, or with another one, nothing is done."""
    file = headgate.write(CONFIG)
    for more, text in (
        ([], f"--fingerprint {fingerprint(server)}"),
        (["--fingerprint", "SHA256:other"], "somebody stands between"),
    ):
        done = headgate.run(*arguments(server, *more, *by_key(server)))
        assert done.returncode == 2
        assert text in done.stderr
    assert file.read_text() == CONFIG
    assert "headgate" not in (server.directory / "authorized_keys").read_text()
    assert not (headgate.folder / "state" / "sites" / "hpc").exists()


@pytest.mark.parametrize("answer", ["y", "n"])
def test_confirming(headgate: "Command", server: Sshd, answer: str) -> None:
    """On a terminal the fingerprint is shown and asked for."""
    headgate.write(CONFIG)
    ours, theirs = pty.openpty()
    argv = [*headgate.python, *arguments(server, *by_key(server))]
    with subprocess.Popen(
        argv,
        cwd=headgate.folder,
        env=headgate.environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        _, shown = process.communicate(timeout=60)
    os.close(ours)
    assert fingerprint(server).encode() in shown
    assert process.returncode == (0 if answer == "y" else 130), shown
    assert (headgate.folder / "state" / "sites" / "hpc").exists() == (answer == "y")


def test_what_cannot_be(headgate: "Command", server: Sshd) -> None:
    """A mount that is there, a name that cannot be, a folder that is missing: one sentence each."""
    file = headgate.write(CONFIG)
    good = ["--fingerprint", fingerprint(server)]
    for more, text in (
        ([*good, *by_key(server), "--mount", "/a"], "has a mount /a already"),
        ([*good, *by_key(server), "--path", "/nowhere"], "root folder of this site is not there"),
        ([*good, *by_key(server), "--authorized-keys", "other"], "is that the file it reads"),
    ):
        done = headgate.run(*arguments(server, *more))
        assert done.returncode == 2
        assert text in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
    done = headgate.run("site", "add", "x", "nobody", "--config", "headgate.toml")
    assert "USER@HOST" in done.stderr
    assert file.read_text() == CONFIG
    assert "headgate" not in (server.directory / "authorized_keys").read_text()
    with contextlib.suppress(FileNotFoundError):
        (Path.home() / "other").unlink()


def test_a_file_that_is_read_only(headgate: "Command", server: Sshd) -> None:
    """Where the configuration cannot be written, the table is printed; the key works."""
    file = headgate.write(CONFIG)
    file.chmod(0o444)
    done = headgate.run(
        *arguments(server, "--fingerprint", fingerprint(server), *by_key(server)), powerless=True
    )
    assert done.returncode == 0, done.stderr
    assert file.read_text() == CONFIG
    table = done.stdout.partition("[mounts.")[2]
    file.chmod(0o644)
    file.write_text(f"{CONFIG}\n[mounts.{table}")
    assert "ok    /hpc" in headgate.run("check-config", "headgate.toml").stdout


def test_a_server_that_is_gone(headgate: "Command", server: Sshd) -> None:
    """Revoking says that the key may still open the account; --forget goes on all the same."""
    headgate.write(CONFIG)
    done = headgate.run(*arguments(server, "--fingerprint", fingerprint(server), *by_key(server)))
    assert done.returncode == 0, done.stderr
    server.stop()
    done = headgate.run("site", "revoke", "hpc", "--config", "headgate.toml")
    assert done.returncode == 2
    assert "use --forget" in done.stderr
    done = headgate.run("site", "revoke", "hpc", "--config", "headgate.toml", "--forget")
    assert done.returncode == 0
    assert "restrict,command=" in done.stdout
