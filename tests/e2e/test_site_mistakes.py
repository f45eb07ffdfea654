"""Wrong settings of SFTP sites: each has a sentence of its own, and hurts no other mount."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e import wire
from tests.servers import headgate, sshd
from tests.servers.daemon import REPOSITORY, Daemon, free_port
from tests.servers.sshd import Sshd
from vfs.http.markup import OURS
from vfs.tree.health import FAILURES_TO_OPEN

pytestmark = [
    pytest.mark.server("sshd"),
    pytest.mark.server("ssh"),
    pytest.mark.xdist_group("sites"),
    pytest.mark.timeout(240),
]

WELL = "well"
# What the operator reads, by the mount; {} are the server's port, and its host key.
SENTENCES: Mapping[str, str] = {
    "unknown-key": "which is not in known_hosts; if its administrator confirms the fingerprint, add"
    " this line there: [127.0.0.1]:{port} {host_key}",
    "other-key": "either the server was set up anew, or somebody stands between",
    "wrong-login": "is refused; the server takes publickey: is the key authorised there",
    "locked": "the account unlocked",
    "no-sftp": "the server offers no SFTP: its subsystem sftp is off",
    "no-root": "the root folder of this site is not there; make it, or correct 'root'",
    "root-is-file": "the root of this site is a file, not a folder",
    "drops": "the server closed the connection before SFTP began; its own log says why: its SFTP"
    " program may not start",
    "nobody-there": "onnection refused",
    "no-such-host": "there is no host of that name",
}
_REFUSING: Mapping[str, dict[str, str]] = {
    "no-sftp": {"Subsystem": "other /bin/true"},
    "drops": {"Subsystem": "sftp /bin/false"},
}
_SERVERS: Mapping[str, dict[str, str]] = {WELL: {}, **_REFUSING}
_STATE = f"{{{OURS}}}state"


def _locked() -> str | None:
    """Return an account of this machine that sshd takes for locked."""
    with contextlib.suppress(OSError):
        for line in Path("/etc/shadow").read_text().splitlines():
            name, password, *_ = line.split(":")
            if password.startswith("!"):
                return name
    return None


def _mounts(
    folder: Path, servers: Mapping[str, Sshd], transport: str
) -> dict[str, dict[str, object]]:
    good = servers[WELL]
    nothing = folder / "nothing"
    nothing.touch()
    other = " ".join((sshd.keygen(folder / "other").with_suffix(".pub")).read_text().split()[:2])
    port = good.target.port
    (folder / "known-other").write_text(f"[127.0.0.1]:{port} {other}\n")
    usual: dict[str, object] = {
        "provider": "sftp",
        "host": "127.0.0.1",
        "port": port,
        "user": good.target.user,
        "root": str(good.target.root),
        "known_hosts": str(good.known_hosts),
        "key_file": str(good.key),
        "transport": transport,
        "connect_seconds": 4.0,
        "answer_seconds": 4.0,
        "cache": "off",
    }
    mounts: dict[str, dict[str, object]] = {
        WELL: {},
        "unknown-key": {"known_hosts": str(nothing)},
        "other-key": {"known_hosts": str(folder / "known-other")},
        "wrong-login": {"key_file": str(folder / "other")},
        "locked": {"user": _locked()},
        "no-root": {"root": "/nowhere/at/all"},
        "root-is-file": {"root": str(good.key)},
        "nobody-there": {"port": free_port()},
        "no-such-host": {"host": "nowhere.invalid"},
    }
    for name in _REFUSING:
        server = servers[name]
        mounts[name] = {
            "port": server.target.port,
            "known_hosts": str(server.known_hosts),
            "key_file": str(server.key),
        }
    if _locked() is None:
        del mounts["locked"]
    return {name: usual | keys for name, keys in mounts.items()}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[dict[str, Sshd]]:
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(sshd.launch(tmp_path / f"sshd-{name}", options))
            for name, options in _SERVERS.items()
        }


def _check_config(folder: Path) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "vfs.cli", "check-config", str(folder / "headgate.toml")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return run.stdout + run.stderr


@pytest.mark.parametrize("transport", ["openssh", "paramiko"])
def test_each_mistake_has_its_sentence(
    tmp_path: Path, servers: dict[str, Sshd], transport: str
) -> None:
    """In `check-config` and in the log; the mount is down, and the one that is well serves."""
    mounts = _mounts(tmp_path, servers, transport)
    good = servers[WELL]
    assert good.target.root is not None
    (good.target.root / "file").write_bytes(b"all is well")
    (good.target.root / "link").symlink_to("/etc/passwd")
    (good.target.root / "way").symlink_to("/etc")
    with headgate.launch(tmp_path, mounts=mounts) as gateway:
        told = _check_config(tmp_path)
        lines = {line.split()[1]: line for line in told.splitlines() if " (sftp)" in line}
        assert lines[f"/{WELL}"].startswith("ok ")
        for name in mounts.keys() - {WELL}:
            wanted = SENTENCES[name].format(port=good.target.port, host_key=good.host_key)
            assert lines[f"/{name}"].startswith("down ")
            assert wanted in lines[f"/{name}"], lines[f"/{name}"]
            if name == "unknown-key":
                assert "the ED25519 key SHA256:" in lines[f"/{name}"]
        _look(gateway, mounts)
        log = gateway.log.read_text()
        assert "Traceback" not in log
        for name in mounts.keys() - {WELL}:
            wanted = SENTENCES[name].format(port=good.target.port, host_key=good.host_key)
            assert any(f"/{name}" in line and wanted in line for line in log.splitlines()), name


def _look(gateway: Daemon, mounts: Mapping[str, object]) -> None:
    """Ask each mount as a client does."""
    for name in mounts.keys() - {WELL}:
        began = time.monotonic()
        target = gateway.target.beneath(name)
        answers = [wire.ask(target, "GET", "file") for _ in range(FAILURES_TO_OPEN)]
        assert {answer.status for answer in answers} <= {502, 503}, (name, answers)
        assert time.monotonic() - began < 30
        for place in (gateway.directory, "/nowhere"):
            assert not any(str(place).encode() in answer.body for answer in answers)
        began = time.monotonic()
        answer = wire.ask(gateway.target.beneath(WELL), "GET", "file")
        assert answer.body == b"all is well"
        assert time.monotonic() - began < 2
    states = {name: wire.prop(gateway.target.beneath(name), "", _STATE) for name in mounts}
    assert {name: "" if one is None else one.text for name, one in states.items()} == {
        name: "live" if name == WELL else "down" for name in mounts
    }
    well = gateway.target.beneath(WELL)
    for path in ("link", "way/passwd"):
        answer = wire.ask(well, "GET", path)
        assert answer.status == 403
        assert b"a symbolic link stands in this path" in answer.body
    for path in ("../etc/passwd", "%2e%2e/etc/passwd", "..%2fetc/passwd"):
        with wire.keep(well) as connection:
            connection.request("GET", f"/{WELL}/{path}")
            response = connection.getresponse()
            assert response.status in range(400, 500)
            assert b"root:" not in response.read()
    assert wire.members(well) == {"file"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [("full", "No space left on device"), ("read-only", "Read-only file system")],
)
def test_a_cache_folder_that_is_of_no_use(tmp_path: Path, trouble: str, sentence: str) -> None:
    """Nothing is cached then, and everything served; the log and `check-config` say why."""
    cache = tmp_path / "cache"
    cache.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(cache)]
    subprocess.run(mounting, check=True, timeout=10)
    data = bytes(range(256)) * 4096
    try:
        if trouble == "full":
            with contextlib.suppress(OSError), (cache / "filler").open("wb", 0) as filler:
                while True:
                    filler.write(bytes(4096))
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(cache)], check=True, timeout=10)
        with sshd.launch(tmp_path / "sshd") as server:
            assert server.target.root is not None
            (server.target.root / "file").write_bytes(data)
            os.utime(server.target.root / "file", (1_600_000_000, 1_600_000_000))
            site: dict[str, object] = {
                "provider": "sftp",
                "host": "127.0.0.1",
                "port": server.target.port,
                "user": server.target.user,
                "root": str(server.target.root),
                "known_hosts": str(server.known_hosts),
                "key_file": str(server.key),
                "cache": "read",
            }
            with headgate.launch(tmp_path, mounts={WELL: site}) as gateway:
                target = gateway.target.beneath(WELL)
                for _ in range(3):
                    assert wire.ask(target, "GET", "file").body == data
                    assert wire.members(target) == {"file"}
                wire.put(target, "new", b"new")
                assert wire.ask(target, "GET", "new").body == b"new"
                log = gateway.log.read_text()
                assert f"'{cache}' cannot be used, so nothing is cached: {sentence}" in log
                told = _check_config(tmp_path)
                assert f"'{cache}' cannot be used, so nothing is cached: {sentence}" in told
                assert f"ok    /{WELL} (sftp)" in told
    finally:
        subprocess.run(["umount", "-l", str(cache)], check=True, timeout=10)
