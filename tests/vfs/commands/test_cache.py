"""`headgate cache`, beside a running gateway."""

import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.vfs.conftest import Command

HERE = ("--config", "headgate.toml")
CONFIG = """
[server]
listen = "127.0.0.1:0"
[mounts."/a"]
provider = "local"
root = "a"
cache = "read"
[mounts."/a/inner"]
provider = "local"
root = "b"
cache = "read"
[mounts."/plain"]
provider = "local"
root = "b"
[cache]
listing_ttl_seconds = 3600
"""


@pytest.fixture
def site(headgate: "Command") -> "Command":
    headgate.write(CONFIG)
    (headgate.folder / "a" / "deep").mkdir(parents=True, exist_ok=True)
    (headgate.folder / "a" / "f").write_bytes(b"f" * 300_000)
    (headgate.folder / "a" / "deep" / "g").write_bytes(b"g" * 1000)
    return headgate


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        data: bytes = answer.read()
        return data


def told(site: "Command") -> dict[str, dict[str, Any]]:
    done = site.run("cache", "stat", "--json", *HERE)
    assert done.returncode == 0, done.stderr
    return {row["mount"]: row for row in json.loads(done.stdout)}


def test_warm_brings_files_in_and_evict_takes_them_out(site: "Command") -> None:
    done = site.run("cache", "warm", "/a", *HERE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 files are in the cache.\n", "")
    rows = told(site)
    assert rows["/a"]["files"] == 2
    assert rows["/a"]["size_bytes"] >= 301_000
    assert rows["(all)"]["files"] == 2
    lines = site.run("cache", "stat", *HERE).stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [
        ["/a", "2"],
        ["/a/inner", "0"],
        ["(all)", "2"],
    ]
    done = site.run("cache", "evict", "/a/deep", *HERE)
    assert done.stdout.startswith("1 files with ")
    assert told(site)["/a"]["files"] == 1


def test_a_gateway_serves_what_was_warmed(site: "Command") -> None:
    """Also after the file has gone from the store, until somebody refreshes."""
    site.run("cache", "warm", "/a/f", *HERE)
    _, url = site.serve(*HERE)
    (site.folder / "a" / "f").unlink()
    (site.folder / "a" / "new").write_bytes(b"new")
    assert fetch(f"{url}/a/f") == b"f" * 300_000
    done = site.run("cache", "refresh", "/a/f", *HERE)
    assert (done.returncode, done.stdout) == (0, "/a/f is asked for anew.\n")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(f"{url}/a/f")


def test_pins(site: "Command") -> None:
    assert site.run("cache", "pin", "/a/deep", *HERE).returncode == 0
    assert told(site)["/a"]["pinned"] == ["deep"]
    assert site.run("cache", "unpin", "/a/deep", *HERE).returncode == 0
    assert told(site)["/a"]["pinned"] == []
    done = site.run("cache", "unpin", "/a/deep", *HERE)
    assert done.returncode == 2
    assert "is not pinned" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("warm", "/plain"), 'nothing at /plain is cached; a mount with cache = "read" is'),
        (("warm", "/nowhere"), "nothing at /nowhere is cached"),
        (("warm", "/a/missing"), "/a/missing: there is no such file or folder"),
        (("evict", "/a/../b"), "is no path"),
    ],
)
def test_wrong_input_is_one_sentence(
    site: "Command", arguments: tuple[str, ...], text: str
) -> None:
    done = site.run("cache", *arguments, *HERE)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_used_is_said_and_hinders_no_start(site: "Command") -> None:
    site.write(CONFIG.replace("listen =", 'cache_dir = "a/f/cache"\nlisten ='))
    done = site.run("cache", "stat", *HERE)
    assert done.returncode == 2
    assert "cannot be used: Not a directory" in done.stderr
    _, url = site.serve(*HERE)
    for _ in range(2):
        assert fetch(f"{url}/a/deep/g") == b"g" * 1000
