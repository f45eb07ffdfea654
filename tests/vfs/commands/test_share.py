"""`headgate share`, and what its tokens are good for in real programs."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.e2e.clients.davfs2 import Davfs2
from tests.servers.programs import find
from tests.servers.target import Target
from vfs.auth.passwords import hash_password

if TYPE_CHECKING:
    from tests.vfs.conftest import Command

PASSWORD = "correct horse battery"
HERE = ("--config", "headgate.toml")
CONFIG = f"""
[server]
listen = "127.0.0.1:0"
[mounts."/a"]
provider = "local"
root = "a"
[users.ann]
password_hash = "{hash_password(PASSWORD)}"
[[rules]]
path = "/a"
who = ["user:ann"]
rights = ["list", "read", "create", "modify", "delete", "lock", "share"]
"""
REVOKED_SECONDS = 5.0


@pytest.fixture
def site(headgate: "Command") -> "Command":
    """Configure a user and files."""
    headgate.write(CONFIG)
    folder = headgate.folder / "a" / "lent"
    folder.mkdir()
    (folder / "f").write_text("content")
    (headgate.folder / "a" / "own").write_text("private")
    return headgate


def make(site: "Command", *arguments: str) -> dict[str, str]:
    """Make a share and return what was printed."""
    done = site.run("share", "make", *arguments, "--user", "ann", *HERE)
    assert (done.returncode, done.stderr) == (0, "")
    pairs = (line.partition(":") for line in done.stdout.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def status(
    url: str, headers: dict[str, str], method: str = "GET", data: bytes | None = None
) -> int:
    request = urllib.request.Request(url, headers=headers, method=method, data=data)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            number: int = answer.status
            return number
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.server("curl", "rclone")
def test_a_share_works_in_curl_and_rclone_until_it_is_revoked(site: "Command") -> None:
    made = make(site, "/a/lent", "--right", "read", "--note", "for Carl")
    _, url = site.serve(*HERE)
    place = urlsplit(url).netloc

    def at(path: str) -> str:
        return f"http://share:{made['token']}@{place}{path}"

    assert run("curl", "-fsS", at("/a/lent/f")).stdout == "content"
    assert run("curl", "-sw", "%{http_code}", "-o", "/dev/null", at("/a/own")).stdout == "403"
    assert run("curl", "-sw", "%{http_code}", "-T", __file__, at("/a/lent/new")).stdout.endswith(
        "403"
    )
    obscured = run(find("rclone"), "obscure", made["token"]).stdout.strip()
    remote = (f':webdav,url="{url}/a/lent",user=share,pass={obscured}:',)
    quiet = ("--config", str(site.folder / "rclone.conf"), "--retries", "1")
    assert run(find("rclone"), "lsf", *remote, *quiet).stdout == "f\n"
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert status(f"{url}/a/lent/f", bearer) == 200
    assert status(f"{url}/a/lent/f?access_token={made['token']}", {}) == 400

    assert site.run("share", "revoke", made["id"], *HERE).returncode == 0
    end = time.monotonic() + REVOKED_SECONDS
    refused = 0  # in a row: each connection comes to one of several workers, and all must know
    while refused < 10:
        refused = refused + 1 if status(f"{url}/a/lent/f", bearer) == 401 else 0
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.server("mount.davfs", "/dev/fuse")
def test_a_share_works_in_a_mount(site: "Command", tmp_path: Path) -> None:
    made = make(site, "/a/lent", "--right", "read", "--right", "modify")
    _, url = site.serve(*HERE)
    work = tmp_path / "davfs2"
    work.mkdir()
    (work / "data").write_bytes(b"through the mount")
    target = Target(url=f"{url}/a/lent/", user="share", password=made["token"])
    with Davfs2(target, work) as mount:
        mount.get("f", work / "copy")
        assert (work / "copy").read_text() == "content"
        mount.put(work / "data", "new")
    assert (site.folder / "a" / "lent" / "new").read_bytes() == b"through the mount"


def test_a_share_that_lends_writing_takes_uploads(site: "Command") -> None:
    made = make(site, "/a/lent", "--right", "create")
    assert "--upload-file FILE" in made["curl"]
    _, url = site.serve(*HERE)
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert status(f"{url}/a/lent/new", bearer, "PUT", b"data") == 201
    assert status(f"{url}/a/lent/new", bearer, "PUT", b"more") == 403
    assert status(f"{url}/a/lent/new", bearer) == 403


def test_a_user_makes_shares_over_http(site: "Command") -> None:
    _, url = site.serve(*HERE)
    login = b64encode(f"ann:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    target = f"{url}/.headgate-shares"
    body = json.dumps({"path": "/a/lent", "seconds": 60}).encode()
    request = urllib.request.Request(target, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        share = json.load(answer)
    bearer = {"Authorization": f"Bearer {share['token']}", "Content-Type": "application/json"}
    assert status(f"{url}/a/lent/f", bearer) == 200
    assert status(target, bearer) == 403, "a share shows no shares"
    assert status(target, bearer, "POST", body) == 403, "nor makes any"
    assert status(target, {"Content-Type": "application/json"}, "POST", body) == 401
    assert status(f"{target}/{share['id']}", headers, "DELETE") == 204
    assert status(f"{target}/{share['id']}", headers, "DELETE") == 404


def test_what_was_made_is_listed_without_its_token(site: "Command") -> None:
    made = make(site, "/a/lent", "--note", "for Carl", "--expires", "12h")
    listed = site.run("share", "list", "--json", *HERE).stdout
    (row,) = json.loads(listed)
    assert (row["id"], row["maker"], row["note"]) == (made["id"], "ann", "for Carl")
    assert row["scopes"] == ["storage.read:/a/lent"]
    assert made["token"] not in listed
    assert site.run("share", "list", "--user", "ann", *HERE).stdout.startswith(made["id"])
    assert site.run("share", "list", "--user", "ben", *HERE).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("make", "/a", "--user", "eve", *HERE), "there is no user 'eve'"),
        (("make", "/b", "--user", "ann", *HERE), "no rule gives user 'ann' the right 'share' here"),
        (("make", "/a/..", "--user", "ann", *HERE), "/a/.."),
        (("make", "a", "--user", "ann", *HERE), "a path starts with a slash"),
        (("make", "/a", "--user", "ann", "--expires", "400d", *HERE), "366 days"),
        (("make", "/a", "--user", "ann", "--expires", "soon", *HERE), "is no time"),
        (("make", "/a", "--user", "ann", "--right", "admin", *HERE), "'admin' is not one of"),
        (("make", "/a", "--user", "ann", "--note", "a\nb", *HERE), "on one line"),
        (("make", "/a", "--user", "ann", "--state-dir", "state"), "needs --config FILE"),
        (("revoke", "0000", *HERE), "there is no share '0000'"),
        (("list",), "either --config FILE or --state-dir DIR"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    site: "Command", arguments: tuple[str, ...], told: str
) -> None:
    assert told in site.refused("share", *arguments)
