"""A mount that writes back, through the tree, the gateway and the command."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from providers.errors import Denied, Unavailable
from providers.memory import MemoryOptions, MemoryProvider
from providers.testing.harness import get, put
from providers.wrap import FaultProvider
from providers.write_back import WriteBackProvider
from vfs import config
from vfs.auth.caller import ANONYMOUS
from vfs.auth.right import Right
from vfs.auth.rights import Rights, Rule
from vfs.cache_config import CacheConfig
from vfs.toml_file import ConfigError
from vfs.tree.health import FAILURES_TO_OPEN
from vfs.tree.mounts import Mount, MountTable, Replica
from vfs.tree.tree import Tree
from vfs.write_back import journal_folder, open_journal, write_back

if TYPE_CHECKING:
    from tests.vfs.conftest import Command

SERVER = '[server]\nlisten = "127.0.0.1:0"\n'
MOUNT = '[mounts."/a"]\nprovider = "local"\nroot = "a"\ncache = "write"\n'


class Site:
    """A tree with one mount that writes back, whose origin can be cut off."""

    def __init__(self, state_dir: Path) -> None:
        self.memory = MemoryProvider(MemoryOptions())
        put(self.memory, "known", b"old")
        self.fault = FaultProvider(self.memory)
        self.origin = Replica(self.fault)
        self.replica = write_back(self.origin, open_journal(state_dir, "/m", CacheConfig()))
        self.table = MountTable([Mount("/m", [self.replica])])
        self.tree = Tree(self.table)

    @property
    def store(self) -> WriteBackProvider:
        assert isinstance(self.replica.provider, WriteBackProvider)
        return self.replica.provider

    def cut(self) -> None:
        """Let every call fail."""
        for call in ("stat", "scandir", "open", "create", "remove", "mkdir"):
            self.fault.fail(call, Unavailable)

    def put(self, path: str, data: bytes) -> None:
        with self.tree.create(ANONYMOUS, path) as writer:
            writer.write(data)
            writer.commit()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.replica.retire()


def test_an_open_breaker_refuses_no_write(site: Site) -> None:
    """The breaker keeps calls from the origin; writes and what is pending go on."""
    site.cut()
    for _ in range(FAILURES_TO_OPEN + 1):
        with pytest.raises(Unavailable):
            site.tree.open(ANONYMOUS, "/m/else")
    assert site.replica.breaker.down_seconds is not None
    for number in range(20):
        site.put(f"/m/{number}", b"%d" % number)
    site.put("/m/known", b"new")
    assert site.tree.stat(ANONYMOUS, "/m/known").size == 3
    with site.tree.open(ANONYMOUS, "/m/7") as reader:
        assert reader.read_at(0, 10) == b"7"
    site.fault.heal()
    assert site.store.flush(seconds=20)
    assert get(site.memory, "known") == b"new"
    assert {get(site.memory, f"{number}") for number in range(20)} == {
        b"%d" % number for number in range(20)
    }
    assert site.store.journal.conflicts() == []


@pytest.mark.parametrize("right", [Right.CREATE, Right.MODIFY])
def test_one_right_is_not_enough_unseen(site: Site, right: Right) -> None:
    """While nobody can tell whether a file is there, both rights are needed."""
    rule = Rule(path="/m", who=frozenset({"anyone"}), rights=frozenset({right}))
    site.tree.remount(site.table, Rights((rule,)))
    site.cut()
    with pytest.raises(Denied):
        site.put("/m/known", b"new")


def ask(url: str, method: str = "GET", data: bytes | None = None, **headers: str) -> int:
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            number: int = answer.status
            return number
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def arrived(file: Path, data: bytes) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if file.exists() and file.read_bytes() == data:
            return True
        time.sleep(0.05)
    return False


def test_a_gateway_writes_back(headgate: "Command") -> None:
    """A PUT is answered, shown and uploaded; a gateway that was killed goes on."""
    headgate.write(SERVER + MOUNT)
    process, url = headgate.serve("--config", "headgate.toml")
    folder = headgate.folder / "a"
    assert ask(f"{url}/a/file", "PUT", b"data") == 201
    assert ask(f"{url}/a/file") == 200
    assert arrived(folder / "file", b"data")
    assert ask(f"{url}/a/file", "PUT", b"newer", **{"If-None-Match": "*"}) == 412
    assert ask(f"{url}/a/file", "PUT", b"newest") == 204
    process.kill()
    process.wait()
    headgate.serve("--config", "headgate.toml")
    assert arrived(folder / "file", b"newest")


def test_the_command_shows_retries_and_drops(headgate: "Command") -> None:
    headgate.write(SERVER + MOUNT)
    state = headgate.folder / "state"
    journal = open_journal(state, "/a", CacheConfig())
    for path in ("one", "two"):
        spool = journal.spool()
        spool.write_at(0, path.encode())
        kept = journal.accept(path, spool, base="", look=journal.look(path))
        assert kept is not None
        journal.uploads.put_back(kept, "stuck", cause="no permission")
    journal.close()
    command = ("cache", "pending", "--config", "headgate.toml")
    listed = json.loads(headgate.run(*command, "--json").stdout)
    assert [(row["path"], row["state"], row["cause"], row["size"]) for row in listed] == [
        ("/a/one", "stuck", "no permission", 3),
        ("/a/two", "stuck", "no permission", 3),
    ]
    dropped = headgate.run(*command, "--discard", listed[0]["id"])
    assert (dropped.returncode, dropped.stderr) == (0, "")
    again = headgate.run(*command, "--discard", listed[0]["id"])
    assert again.returncode == 2
    assert "there is no write" in again.stderr
    assert headgate.run(*command, "--retry", "nonsense").returncode == 2
    assert headgate.run(*command, "--retry", listed[1]["id"]).returncode == 0
    headgate.serve("--config", "headgate.toml")
    assert arrived(headgate.folder / "a" / "two", b"two")
    assert not (headgate.folder / "a" / "one").exists()
    assert headgate.run(*command).stdout == ""


def test_every_mount_has_a_folder(tmp_path: Path) -> None:
    mounts = ("/", "/a", "/a/b", "/a%2Fb", "/" + "x" * 300, "/" + "x" * 301)
    folders = {journal_folder(tmp_path, mount) for mount in mounts}
    assert len(folders) == len(mounts)
    for folder in folders:
        folder.mkdir(parents=True)
        assert folder.parent == tmp_path / "pending"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (MOUNT + "read_only = true\n", "makes no sense with read_only"),
        (MOUNT.replace("write", "sometimes"), "cache"),
        (MOUNT + "[cache]\npending_bytes = 0\n", "pending_bytes"),
    ],
)
def test_wrong_settings(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "a").mkdir()
    file = tmp_path / "headgate.toml"
    file.write_text(SERVER + text)
    with pytest.raises(ConfigError, match=cause):
        config.load(file)
