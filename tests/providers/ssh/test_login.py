"""Who is let in, by which server, and what is said when nobody is. Both streams, real servers."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from providers.errors import BadCredentials, RateLimited, StorageError, Unavailable
from providers.ssh import host_keys
from providers.ssh.host_keys import HostKeyChanged, HostKeyUnknown
from providers.ssh.login import Login
from providers.ssh.openssh import OpenSshStream, arguments
from providers.ssh.session import SftpSession
from tests.providers.ssh.conftest import Connect
from tests.servers import password_ssh, sshd
from tests.servers.daemon import free_port
from tests.servers.password_ssh import PASSWORD
from tests.servers.programs import find
from tests.servers.sshd import Sshd, keygen

pytestmark = pytest.mark.server("sshd", "ssh", "ssh-keygen")


def works(connect: Connect, login: Login) -> None:
    session = SftpSession(connect(login))
    assert session.realpath(".").startswith("/")
    session.close()


def refused(connect: Connect, login: Login) -> StorageError:
    with pytest.raises(StorageError) as caught:
        SftpSession(connect(login))
    return caught.value


def change(login: Login, **fields: object) -> Login:
    return msgspec.structs.replace(login, **fields)


# Host keys


def test_an_unknown_key_is_shown_with_the_line_to_add(
    connect: Connect, login: Login, server: Sshd, tmp_path: Path
) -> None:
    """The line that the error names, put into the file, lets the next login through."""
    file = tmp_path / "known_hosts"
    error = refused(connect, change(login, known_hosts=file))
    assert isinstance(error, HostKeyUnknown)
    assert not error.temporary
    (shown,) = host_keys.scan(login.host, login.port)
    public = str(server.directory / "host_key.pub")
    argv = [find("ssh-keygen"), "-l", "-f", public]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert shown.fingerprint in told
    assert shown.fingerprint in error.detail
    line = error.detail.rpartition(": ")[2]
    assert line == f"[127.0.0.1]:{login.port} {server.host_key}"
    file.write_text(f"{line}\n")
    works(connect, change(login, known_hosts=file))


def test_a_changed_key_is_refused_with_a_warning(
    connect: Connect, login: Login, tmp_path: Path
) -> None:
    other = keygen(tmp_path / "other").with_suffix(".pub").read_text()
    file = tmp_path / "known_hosts"
    file.write_text(f"[127.0.0.1]:{login.port} {other}")
    error = refused(connect, change(login, known_hosts=file))
    assert isinstance(error, HostKeyChanged)
    (shown,) = host_keys.scan(login.host, login.port)
    assert shown.fingerprint in error.detail
    assert "stands between" in error.detail
    assert "ssh-ed25519" not in error.detail, "the line to add is not offered"


def test_a_revoked_key_is_refused(
    connect: Connect, login: Login, server: Sshd, tmp_path: Path
) -> None:
    file = tmp_path / "known_hosts"
    known = f"[127.0.0.1]:{login.port} {server.host_key}\n"
    file.write_text(f"{known}@revoked {known}")
    error = refused(connect, change(login, known_hosts=file))
    assert isinstance(error, HostKeyChanged)


def test_hashed_names_are_known(
    connect: Connect, login: Login, server: Sshd, tmp_path: Path
) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(server.known_hosts.read_text())
    argv = [find("ssh-keygen"), "-H", "-f", str(file)]
    subprocess.run(argv, check=True, capture_output=True)
    assert "127.0.0.1" not in file.read_text()
    works(connect, change(login, known_hosts=file))


# Proofs


def test_a_key_that_is_not_authorised(connect: Connect, login: Login, tmp_path: Path) -> None:
    error = refused(connect, change(login, key_file=keygen(tmp_path / "other")))
    assert isinstance(error, BadCredentials)
    assert "publickey" in error.detail
    assert login.user in error.detail


def test_a_key_that_is_not_there(connect: Connect, login: Login, tmp_path: Path) -> None:
    error = refused(connect, change(login, key_file=tmp_path / "none"))
    assert isinstance(error, BadCredentials)
    assert "none" in error.detail
    assert str(tmp_path) not in error.detail, "an error reaches clients: no path of this machine"


@pytest.mark.logs("ssh to")
def test_a_locked_key(connect: Connect, login: Login, server: Sshd, tmp_path: Path) -> None:
    key = keygen(tmp_path / "locked", passphrase="open 'sesame'")
    authorized = server.directory / "authorized_keys"
    before = authorized.read_text()
    authorized.write_text(before + key.with_suffix(".pub").read_text())
    try:
        locked = change(login, key_file=key)
        works(connect, change(locked, passphrase=lambda: "open 'sesame'"))
        assert isinstance(refused(connect, locked), BadCredentials)
        wrong = refused(connect, change(locked, passphrase=lambda: "wrong"))
        assert isinstance(wrong, BadCredentials)
    finally:
        authorized.write_text(before)


@pytest.fixture(scope="module", params=["password", "keyboard-interactive"])
def by_password(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Login]:
    with password_ssh.launch(tmp_path_factory.mktemp("password"), request.param) as server:
        yield Login(
            host="127.0.0.1",
            port=server.target.port,
            user=server.target.user,
            known_hosts=server.directory / "known_hosts",
        )


@pytest.mark.server("/usr/lib/openssh/sftp-server")
def test_a_password(connect: Connect, by_password: Login) -> None:
    works(connect, change(by_password, password=lambda: PASSWORD))


@pytest.mark.server("/usr/lib/openssh/sftp-server")
def test_a_wrong_password(connect: Connect, by_password: Login) -> None:
    error = refused(connect, change(by_password, password=lambda: "wrong"))
    assert isinstance(error, BadCredentials)
    assert "wrong" not in error.detail


@pytest.mark.server("/usr/lib/openssh/sftp-server")
def test_a_password_is_seen_nowhere(
    by_password: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands on no command line, in no environment and in no file."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen: list[bytes] = []

    def look() -> str:
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    seen.append((process / name).read_bytes())
                except OSError:
                    continue
        seen.extend(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
        return PASSWORD

    works(OpenSshStream, change(by_password, password=look))
    assert seen
    assert not [found for found in seen if PASSWORD.encode() in found]
    assert not list(tmp_path.iterdir()), "what the login needed is gone"


def test_nothing_to_log_in_with(connect: Connect, login: Login) -> None:
    assert isinstance(refused(connect, change(login, key_file=None)), BadCredentials)


def test_an_agent(
    connect: Connect, login: Login, server: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "agent"
    argv = [find("ssh-agent"), "-D", "-a", str(path)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as agent:
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
            for _ in range(100):
                argv = [find("ssh-add"), "-q", str(server.key)]
                if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
                    break
            works(connect, change(login, key_file=None, agent=True))
        finally:
            agent.terminate()


def test_a_certificate(connect: Connect, login: Login, tmp_path: Path) -> None:
    """A key that is not authorised itself gets in by the signature of an authority."""
    authority, key = keygen(tmp_path / "authority"), keygen(tmp_path / "key")
    argv = [find("ssh-keygen"), "-q", "-s", str(authority), "-I", "x", "-n", login.user]
    subprocess.run([*argv, str(key.with_suffix(".pub"))], check=True, capture_output=True)
    options = {"TrustedUserCAKeys": str(authority.with_suffix(".pub"))}
    with sshd.launch(tmp_path / "server", options) as server:
        there = change(login, port=server.target.port, known_hosts=server.known_hosts, key_file=key)
        certificate = tmp_path / "key-cert.pub"
        works(connect, change(there, certificate_file=certificate))


# The way there


def test_an_alias_of_a_configuration(connect: Connect, login: Login, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Host cluster\n  HostName {login.host}\n  Port {login.port}\n  User {login.user}\n"
        f"  IdentityFile {login.key_file}\n"
    )
    alias = Login(host="cluster", user="", port=0, known_hosts=login.known_hosts)
    works(connect, change(alias, ssh_config=config))
    assert isinstance(
        refused(connect, change(alias, ssh_config=config, known_hosts=tmp_path / "none")),
        HostKeyUnknown,
    )
    assert "no host of that name" in refused(connect, change(alias, key_file=login.key_file)).detail


def test_through_other_hosts(connect: Connect, login: Login, tmp_path: Path) -> None:
    """Every host on the way is checked against the same known_hosts."""
    with sshd.launch(tmp_path / "first") as first, sshd.launch(tmp_path / "second") as second:
        key = first.key
        for other in (first, second):
            (other.directory / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
        known = tmp_path / "known hosts %h"
        lines = [first.known_hosts.read_text(), second.known_hosts.read_text()]
        known.write_text("".join(lines))
        ways = tuple(f"{login.user}@127.0.0.1:{way.target.port}" for way in (first, second))
        there = change(login, port=second.target.port, key_file=key, known_hosts=known, jump=ways)
        works(connect, there)
        known.write_text(lines[1])
        assert isinstance(refused(connect, there), HostKeyUnknown)


def test_nobody_listens(connect: Connect, login: Login) -> None:
    error = refused(connect, change(login, port=free_port()))
    assert isinstance(error, Unavailable)
    assert error.temporary
    assert "refused" in error.detail


def test_a_host_without_a_name(connect: Connect, login: Login) -> None:
    error = refused(connect, change(login, host="no-such-host.invalid"))
    assert "no host of that name" in error.detail


def test_a_silent_port(connect: Connect, login: Login) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        error = refused(connect, change(login, port=port, connect_seconds=1.0))
    assert isinstance(error, Unavailable | RateLimited)
    assert error.temporary


def test_a_server_without_sftp(connect: Connect, login: Login, tmp_path: Path) -> None:
    with sshd.launch(tmp_path, {"Subsystem": "other internal-sftp"}) as server:
        there = change(
            login,
            port=server.target.port,
            known_hosts=server.known_hosts,
            key_file=server.key,
        )
        error = refused(connect, there)
    assert "subsystem" in error.detail
    assert not error.temporary


def test_a_login_script_that_prints(connect: Connect, login: Login, tmp_path: Path) -> None:
    command = "sftp /bin/sh -c 'echo Welcome to the cluster; cat'"
    with sshd.launch(tmp_path, {"Subsystem": command}) as server:
        there = change(
            login,
            port=server.target.port,
            known_hosts=server.known_hosts,
            key_file=server.key,
        )
        error = refused(connect, there)
    assert "login script" in error.detail


def test_no_secret_stands_on_the_command_line(login: Login) -> None:
    words = arguments("ssh", change(login, password=lambda: PASSWORD, jump=("a", "b@c:7")))
    assert not [word for word in words if PASSWORD in word]
    assert words[:3] == ["ssh", "-F", "none"]


def test_nothing_is_left(connect: Connect, login: Login) -> None:
    """Neither threads nor descriptors outlive their sessions."""

    def count() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    works(connect, login)
    before = count()
    for _ in range(3):
        works(connect, login)
    end = time.monotonic() + 5  # a timer of paramiko's greeting ends by itself
    while count() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert count() <= before
