"""`headgate app-password`, as operators run it."""

import base64
import json
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from vfs.auth import app_passwords
from vfs.auth.basic import Basic
from vfs.auth.errors import Unauthenticated
from vfs.auth.passwords import Passwords
from vfs.auth.right import Grant, Right
from vfs.auth.users import Users
from vfs.state.sqlite import STATE_FILE, SqliteStore

if TYPE_CHECKING:
    from tests.vfs.conftest import Command

SITE = """
[server]
listen = "127.0.0.1:0"
state_dir = "state"
cache_dir = "cache"
[mounts."/a"]
provider = "local"
root = "a"
[mounts."/b"]
provider = "local"
root = "b"
[[rules]]
path = "/"
who = ["user:ann"]
rights = ["list", "read"]
"""
STATE = ("--state-dir", "state")


@pytest.fixture
def with_ann(headgate: "Command") -> "Command":
    headgate.run("user", "add", "ann", "--no-password", *STATE)
    return headgate


def test_the_secret_is_printed_once_and_lets_in_until_it_is_revoked(with_ann: "Command") -> None:
    made = with_ann.run(
        "app-password", "add", "ann", "phone", "--scope", "storage.read:/data",
        "--expires", "30d", *STATE,
    )  # fmt: skip
    secret = made.stdout.removesuffix("\n")
    assert app_passwords.is_one(secret)
    assert "'ann'" in made.stderr
    with SqliteStore(with_ann.folder / "state" / STATE_FILE) as store:
        basic = Basic(Users([], store), Passwords(), store)
        caller = basic.verify("ann", secret)
        assert caller.scopes == (Grant("/data", frozenset({Right.LIST, Right.READ})),)
        assert caller.expires_at is not None
        assert abs(caller.expires_at - time.time() - 30 * 86_400) < 120
        plain = with_ann.run("app-password", "list", "ann", *STATE).stdout
        assert plain.startswith("ann\tphone\tstorage.read:/data\t20")
        listed = with_ann.run("app-password", "list", "--json", *STATE).stdout
        (row,) = json.loads(listed)
        assert (row["user"], row["label"]) == ("ann", "phone")
        assert secret not in listed + plain
        done = with_ann.run("app-password", "revoke", "ann", "phone", *STATE)
        assert done.stdout == "The app password 'phone' of 'ann' was revoked.\n"
        with pytest.raises(Unauthenticated):
            basic.verify("ann", secret)
    assert with_ann.run("app-password", "list", *STATE).stdout == ""


def status(url: str, name: str, password: str) -> int:
    plain = base64.b64encode(f"{name}:{password}".encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {plain}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_running_gateway_takes_it_at_once_and_refuses_it_when_revoked(
    headgate: "Command",
) -> None:
    """The user's own password, one bounded to another folder, one that is taken back."""
    file = headgate.write(SITE)
    for name in ("a", "b"):
        (headgate.folder / name / "f").write_text("content")
    options = ("--config", file)
    headgate.run("user", "add", "ann", *options, given="correct horse battery")
    _, url = headgate.serve(*options)
    made = headgate.run(
        "app-password", "add", "ann", "phone", "--scope", "storage.read:/a", *options
    )
    secret = made.stdout.strip()
    assert status(f"{url}/a/f", "ann", "correct horse battery") == 200
    assert status(f"{url}/b/f", "ann", "correct horse battery") == 200
    assert status(f"{url}/a/f", "ann", secret) == 200
    assert status(f"{url}/b/f", "ann", secret) == 403
    assert status(f"{url}/a/f", "ann", app_passwords.fresh()) == 401
    headgate.run("app-password", "revoke", "ann", "phone", *options)
    end = time.monotonic() + 5
    while status(f"{url}/a/f", "ann", secret) != 401:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert status(f"{url}/a/f", "ann", "correct horse battery") == 200


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "bob", "x"), "there is no user 'bob'; if it stands in the configuration, use"),
        (("add", "ann", " x"), "' x' cannot be a label"),
        (("add", "ann", "x", "--scope", "all"), "'all' is no scope"),
        (("add", "ann", "x", "--scope", "storage.read:/a/../b"), "is no scope"),
        (("add", "ann", "x", "--expires", "soon"), "'soon' is no time; write for example"),
        (("add", "ann", "old"), "'ann' has an app password 'old' already; choose another label"),
        (("revoke", "ann", "x"), "'ann' has no app password 'x'; see: headgate app-password list"),
    ],
)
def test_wrong_input_is_one_sentence(
    with_ann: "Command", arguments: tuple[str, ...], told: str
) -> None:
    with_ann.run("app-password", "add", "ann", "old", *STATE)
    assert told in with_ann.refused("app-password", *arguments, *STATE)
    assert with_ann.run("app-password", "list", *STATE).stdout.count("\n") == 1
