"""Faults of an SFTP site under load, through the whole gateway.

Each promises: no wrong byte is served, no acknowledged write is lost, a sibling on this machine
does not wait, and the mounts come back without a restart.
"""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import wire
from tests.e2e.site_load import Load, content
from tests.e2e.sites import CACHED, MOUNTS, RAW, WRITE, Site
from tests.servers.daemon import REPOSITORY
from tests.servers.sshd import keygen

pytestmark = [
    pytest.mark.server("sshd"),
    pytest.mark.server("ssh"),
    pytest.mark.xdist_group("sites"),
    pytest.mark.timeout(120),
]

OLD_SECOND = 1_600_000_000
MIB = 1 << 20


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


def _old(file: Path, data: bytes) -> None:
    """Make a file whose bytes may be kept."""
    file.write_bytes(data)
    os.utime(file, (OLD_SECOND, OLD_SECOND))


@pytest.mark.parametrize("transport", ["openssh", pytest.param("paramiko", marks=pytest.mark.slow)])
def test_a_server_that_is_killed_and_comes_back(tmp_path: Path, transport: str) -> None:
    with Site(tmp_path, transport=transport) as site:
        with Load(site) as load:
            time.sleep(1)
            site.server.kill()
            time.sleep(2)
            site.server.start()
            time.sleep(1)
        assert load.refusals()[RAW] > 0
        load.check()


@pytest.mark.parametrize("seconds", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_a_network_that_is_cut(site: Site, seconds: int) -> None:
    """Nothing passes, and nobody says so."""
    with Load(site) as load:
        time.sleep(1)
        site.network.flowing.clear()
        time.sleep(seconds)
        site.network.flowing.set()
        time.sleep(1)
    assert load.refusals()[RAW] > 0
    load.check(within_seconds=70)


def test_connections_that_are_dropped(site: Site) -> None:
    """In the middle of whatever is on its way, again and again."""
    with Load(site) as load:
        for _ in range(10):
            time.sleep(0.3)
            site.server.cut(signal.SIGKILL)
    load.check()


def test_a_write_whose_connection_is_dropped(site: Site) -> None:
    """It is refused, the old content stays, and nothing half is ever seen."""
    for mount in (RAW, CACHED):
        target = site.target(mount)
        wire.put(target, "f", b"old")

        def body() -> Iterator[bytes]:
            for number in range(16):
                if number == 8:
                    site.network.cut()
                yield bytes(MIB)

        answer = wire.ask(target, "PUT", "f", body(), Content_Length=str(16 * MIB))
        assert answer.status >= 500
        assert wire.ask(target, "GET", "f").body == b"old"
        assert (site.root(mount) / "f").read_bytes() == b"old"
        assert wire.members(target) == {"f"}


def test_a_host_key_that_has_changed(site: Site) -> None:
    """The mount is down, log and check-config say why; with the right key it comes back."""
    for mount in (RAW, CACHED):
        _old(site.root(mount) / "old", content("old", 1))
    assert wire.ask(site.target(CACHED), "GET", "old").body == content("old", 1)
    own, other = site.server.directory / "host_key", site.server.directory / "other_key"
    keygen(other)
    with Load(site) as load:
        time.sleep(1)
        site.server.kill()
        for suffix in ("", ".pub"):
            shutil.copy2(f"{own}{suffix}", f"{own}-kept{suffix}")
            shutil.copy2(f"{other}{suffix}", f"{own}{suffix}")
        site.server.start()
        time.sleep(1)
        answer = wire.ask(site.target(RAW), "GET", "old")
        assert answer.status == 503
        sentence = "shows the ED25519 key SHA256:"
        assert sentence in site.gateway.log.read_text()
        told = _command(site, "check-config", str(site.folder / "headgate.toml"))
        assert sentence in told
        assert "/local (local)" in told
        assert wire.ask(site.target(CACHED), "GET", "old").body == content("old", 1)
        site.server.kill()
        for suffix in ("", ".pub"):
            shutil.copy2(f"{own}-kept{suffix}", f"{own}{suffix}")
        site.server.start()
    load.check()


def _command(site: Site, *words: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "vfs.cli", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return run.stdout + run.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_site_whose_disk_is_full(site: Site) -> None:
    """Writers are told 507, what was accepted waits for room, and all that is there stays."""
    body = content("big", 1, 24 * MIB)
    roots = [site.root(mount) for mount in (RAW, CACHED, WRITE)]
    mounted = []
    try:
        for root in roots:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=16m,mode=777", "none", str(root)],
                check=True,
                timeout=10,
            )
            mounted.append(root)
        with Load(site) as load:
            time.sleep(0.5)
            for mount in (RAW, CACHED):
                answer = wire.ask(site.target(mount), "PUT", "big", body)
                assert answer.status == 507, answer.body
            assert wire.ask(site.target(WRITE), "PUT", "big", body).status == 201
            assert wire.ask(site.target(WRITE), "GET", "big").body == body
            time.sleep(2)
        for root in roots:
            assert not (root / "big").exists()
        subprocess.run(["mount", "-o", "remount,size=64m", str(roots[2])], check=True, timeout=10)
        load.check(within_seconds=60)
        end = time.monotonic() + 70
        while not (roots[2] / "big").exists() and time.monotonic() < end:
            time.sleep(0.2)
        assert (roots[2] / "big").read_bytes() == body
        assert not [p.name for p in roots[0].iterdir() if p.name.startswith(".headgate-tmp")]
    finally:
        site.server.stop()  # what it has open keeps the disks busy
        for root in mounted:
            subprocess.run(["umount", "-l", str(root)], check=True, timeout=10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may log others in")
def test_permission_that_is_taken_away(tmp_path: Path) -> None:
    """Who writes is told 403, what was accepted waits, reading goes on; then all goes on."""
    folder = Path(tempfile.mkdtemp(prefix="site-"))  # one that others may enter
    folder.chmod(0o755)
    try:
        with Site(folder, user="nobody") as site:
            with Load(site) as load:
                time.sleep(1)
                for mount in load.workers:
                    site.root(mount).chmod(0o555)
                time.sleep(0.5)
                assert wire.ask(site.target(RAW), "PUT", "new", b"x").status == 403
                assert wire.ask(site.target(CACHED), "PUT", "new", b"x").status == 403
                time.sleep(1)
                for mount in load.workers:
                    site.root(mount).chmod(0o777)
            _command(
                site, "cache", "pending", "--all", "--config", str(site.folder / "headgate.toml")
            )
            load.check()
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("way", ["renamed over", "written in place"])
def test_a_file_that_is_replaced_in_the_middle_of_a_read(site: Site, way: str) -> None:
    """The answer is all of the version that was opened, or it is cut."""
    size = 48 * MIB
    old, new = (content("big", number, size) for number in (1, 2))
    outcomes = []
    for mount in (RAW, CACHED, WRITE):
        for begun in (1, 24 * MIB):
            target, file = site.target(mount), site.root(mount) / f"big{begun}"
            _old(file, old)
            with wire.keep(target) as connection:
                connection.request("GET", target.path(file.name))
                response = connection.getresponse()
                body = response.read(begun)
                if way == "renamed over":
                    beside = site.root(mount) / "beside"
                    beside.write_bytes(new)
                    beside.rename(file)
                else:
                    with file.open("r+b") as opened:
                        opened.write(new)
                try:
                    body += response.read()
                except http.client.IncompleteRead as cut:
                    body += cut.partial
            assert old.startswith(body), f"{mount} mixes versions"
            outcomes.append(f"{len(body) / MIB:.0f}")
            answer = wire.ask(target, "GET", file.name, Cache_Control="no-cache")
            assert answer.body == new
    print(f"{way}: of 48 MiB came {' '.join(outcomes)}")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_folder_of_100_000_files(site: Site, tmp_path: Path) -> None:
    """It is listed whole, from each mount, while others read and write."""
    for mount in MOUNTS:
        folder = site.root(mount) / "many"
        folder.mkdir()
        for number in range(100_000):
            (folder / f"f{number}").touch()
    answers = []
    with Load(site) as load:
        for mount in MOUNTS:
            answers.append(tmp_path / f"answer-{mount}")
            # By a process of its own, or to take it apart would hold up the others here.
            ask = ["curl", "-sSf", "-X", "PROPFIND", "-H", "Depth: 1", "-o", str(answers[-1])]
            subprocess.run([*ask, site.target(mount).url + "many/"], check=True, timeout=120)
    for answer in answers:
        assert answer.read_bytes().count(b":response>") == 2 * (100_000 + 1)
    load.check()
