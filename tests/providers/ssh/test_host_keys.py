"""known_hosts is read as ssh reads it."""

import base64
from pathlib import Path

import pytest

from providers.errors import StorageError
from providers.ssh import host_keys
from providers.ssh.host_keys import HostKey, HostKeyChanged, HostKeyUnknown

KEY = HostKey("ssh-ed25519", b"the key")
OTHER = HostKey("ssh-ed25519", b"another key")
TEXT = base64.b64encode(KEY.blob).decode()


@pytest.mark.parametrize(
    ("names", "host", "port"),
    [
        ("a.example", "a.example", 22),
        ("a.example", "A.Example", 22),
        ("b,a.example", "a.example", 22),
        ("*.example", "a.example", 22),
        ("?.example", "a.example", 22),
        ("[a.example]:2222", "a.example", 2222),
        ("[*.example]:2222", "a.example", 2222),
        ("a.example", "a.example", 2222),
        ("::1", "::1", 22),
    ],
)
def test_a_name_is_found(tmp_path: Path, names: str, host: str, port: int) -> None:
    file = tmp_path / "known"
    file.write_text(f"# comment\n\nbroken\n{names} ssh-ed25519 {TEXT} a comment\n")
    host_keys.check(file, host, port, KEY)
    with pytest.raises(HostKeyChanged):
        host_keys.check(file, host, port, OTHER)


@pytest.mark.parametrize(
    "line",
    [
        "b.example ssh-ed25519 KEY",
        "*.example,!a.example ssh-ed25519 KEY",
        "[a.example]:2222 ssh-ed25519 KEY",
        "a.example ssh-ed25519 !!!",
        "@cert-authority a.example ssh-ed25519 KEY",
        "# a.example ssh-ed25519 KEY",
        "|1|AAAA|AAAA ssh-ed25519 KEY",
        "|1|x ssh-ed25519 KEY",
        "[!a].example ssh-ed25519 KEY",
    ],
)
def test_others_are_not_believed(tmp_path: Path, line: str) -> None:
    file = tmp_path / "known"
    file.write_text(line.replace("KEY", TEXT))
    with pytest.raises(HostKeyUnknown):
        host_keys.check(file, "a.example", 22, KEY)


def test_a_line_with_the_port_counts_before_one_without(tmp_path: Path) -> None:
    file = tmp_path / "known"
    other = base64.b64encode(OTHER.blob).decode()
    file.write_text(f"a.example ssh-ed25519 {TEXT}\n[a.example]:7 ssh-ed25519 {other}\n")
    host_keys.check(file, "a.example", 7, OTHER)
    with pytest.raises(HostKeyChanged):
        host_keys.check(file, "a.example", 7, KEY)


def test_one_of_many_keys_is_enough(tmp_path: Path) -> None:
    file = tmp_path / "known"
    rsa = base64.b64encode(b"rsa").decode()
    file.write_text(f"a.example ssh-rsa {rsa}\na.example ssh-ed25519 {TEXT}\n")
    host_keys.check(file, "a.example", 22, KEY)
    assert host_keys.known_algorithms(file, "a.example", 22) == ["ssh-rsa", "ssh-ed25519"]


def test_a_file_that_is_not_there_knows_nobody(tmp_path: Path) -> None:
    with pytest.raises(HostKeyUnknown):
        host_keys.check(tmp_path / "none", "a.example", 22, KEY)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="known_hosts file cannot be read") as caught:
        host_keys.check(tmp_path, "a.example", 22, KEY)
    assert str(tmp_path) not in str(caught.value)
