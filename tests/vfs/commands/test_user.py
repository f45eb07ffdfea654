"""`headgate user`, as operators run it."""

import json
import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vfs.auth.passwords import Passwords, check_hash
from vfs.commands.user import Account
from vfs.state.accounts import ShareRecord, UserRecord
from vfs.state.base import StateStore
from vfs.state.sqlite import STATE_FILE, SqliteStore

if TYPE_CHECKING:
    from tests.vfs.conftest import Command

PASSWORD = "correct horse battery"
STATE = ("--state-dir", "state")
HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA"
    "$jvw2cXUQZ0o6DRXmEwHxUGDDaFCXKBZdy9OWPT0wxQY"
)
MOUNT = '[mounts."/a"]\nprovider = "local"\nroot = "a"\n'


@contextmanager
def stored(folder: Path) -> Iterator[StateStore]:
    with SqliteStore(folder / "state" / STATE_FILE) as store:
        yield store


def write_key(file: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> Path:
    public = key.public_key()
    file.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return file


def test_a_user_is_added_changed_listed_and_removed(headgate: "Command") -> None:
    key = write_key(headgate.folder / "ann.pem", ec.generate_private_key(ec.SECP256R1()))
    added = headgate.run(
        "user", "add", "ann", "--group", "lofar", "--group", "ska", "--group", "lofar",
        "--email", "Ann@Example.org", "--key", key, *STATE, given=f"{PASSWORD}\r\n",
    )  # fmt: skip
    assert (added.returncode, added.stdout, added.stderr) == (0, "User 'ann' was added.\n", "")
    with stored(headgate.folder) as store:
        ann = store.user("ann")
        assert ann is not None
        assert (ann.groups, ann.email) == (("lofar", "ska"), "ann@example.org")
        assert ann.public_keys == (key.read_text(),)
        assert Passwords().verify(ann.password_hash, PASSWORD)
    listed = headgate.run("user", "list", *STATE).stdout
    assert listed.startswith("ann\tann@example.org\tlofar,ska\tyes\t1\tstate\t20")
    assert PASSWORD not in listed
    changed = headgate.run("user", "passwd", "ann", *STATE, given="another password")
    assert changed.stdout == "The password of 'ann' was changed.\n"
    with stored(headgate.folder) as store:
        later = store.user("ann")
        assert later is not None
        assert Passwords().verify(later.password_hash, "another password")
        assert msgspec.structs.replace(later, password_hash=ann.password_hash) == ann
    assert headgate.run("user", "remove", "ann", *STATE).stdout == "User 'ann' was removed.\n"
    assert headgate.run("user", "list", *STATE).stdout == ""
    assert headgate.run("user", "list", "--json", *STATE).stdout == "[]\n"


def test_a_change_replaces_what_is_given_and_keeps_the_rest(headgate: "Command") -> None:
    """Password, app passwords and shares stay; the audit log has it."""
    keys = [
        write_key(headgate.folder / f"{name}.pem", ec.generate_private_key(ec.SECP256R1()))
        for name in ("old", "new")
    ]
    add = ("user", "add", "ann", "--group", "a", "--group", "b", "--key", keys[0])
    assert headgate.run(*add, *STATE, given=PASSWORD).returncode == 0
    assert headgate.run("app-password", "add", "ann", "phone", *STATE).returncode == 0
    with stored(headgate.folder) as store:
        share = ShareRecord(id="s", maker="ann", scopes=(), expires_at_ns=time.time_ns() + 10**12)
        store.add_share(share)
        before = store.user("ann")
        assert before is not None

    def change(*options: str | Path) -> UserRecord:
        done = headgate.run("user", "change", "ann", *options, *STATE)
        assert (done.stdout, done.stderr) == ("User 'ann' was changed.\n", "")
        with stored(headgate.folder) as store:
            found = store.user("ann")
            assert found is not None
            assert [record.label for record in store.app_passwords("ann")] == ["phone"]
            assert [record.id for record in store.shares("ann")] == ["s"]
        return found

    now = msgspec.structs.replace(before, groups=("c", "d"), email="ann@x.org")
    assert change("--group", "c", "--group", "d", "--group", "c", "--email", "Ann@x.org") == now
    assert change("--email", "ann@x.org") == now
    now = msgspec.structs.replace(now, public_keys=(keys[1].read_text(),))
    assert change("--key", keys[1]) == now
    assert change("--no-groups", "--no-keys", "--email", "") == msgspec.structs.replace(
        now, groups=(), public_keys=(), email=""
    )
    lines = (headgate.folder / "state" / "audit.jsonl").read_text().splitlines()
    noted = [json.loads(line) for line in lines]
    assert [line["user"] for line in noted if line["action"] == "user changed"] == ["ann"] * 4


def test_an_address_is_taken_from_nobody_by_a_change(headgate: "Command") -> None:
    for name in ("ann", "bob"):
        email = ("--email", f"{name}@x.org")
        assert headgate.run("user", "add", name, "--no-password", *email, *STATE).returncode == 0
    told = headgate.refused("user", "change", "ann", "--email", "BOB@x.org", *STATE)
    assert "--email bob@x.org is the address of user 'bob'" in told


def test_one_without_a_password_has_none(headgate: "Command") -> None:
    assert headgate.run("user", "add", "job", "--no-password", *STATE).returncode == 0
    (account,) = json.loads(headgate.run("user", "list", "--json", *STATE).stdout)
    assert (account["name"], account["password"], account["groups"]) == ("job", False, [])
    assert tuple(account) == Account.__struct_fields__


def test_the_state_directory_is_closed_to_others(headgate: "Command") -> None:
    headgate.run("user", "add", "job", "--no-password", *STATE)
    folder = headgate.folder / "state"
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / STATE_FILE).stat().st_mode & 0o077 == 0


def test_a_hash_for_the_configuration_fits_the_password(headgate: "Command") -> None:
    """And nothing else is printed, so that it can be redirected into a file."""
    done = headgate.run("user", "hash", given=PASSWORD + "\n")
    check_hash(done.stdout.removesuffix("\n"))
    assert Passwords().verify(done.stdout.removesuffix("\n"), PASSWORD)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "given", "told"),
    [
        (("add", "a:b"), PASSWORD, "'a:b' cannot be the name of a user: it has a colon"),
        (("add", "ann", "--group", " x"), PASSWORD, "' x' cannot be the name of a group"),
        (("add", "ann", "--email", "ann"), PASSWORD, "'ann' is no e-mail address"),
        (("add", "ann", "--key", "gone.pem"), PASSWORD, "--key 'gone.pem' cannot be read: No such"),
        (("add", "ann", "--key", "weak.pem"), PASSWORD, "--key 'weak.pem': it is an RSA key of"),
        (("add", "ann"), "", "write the password as one line to standard input"),
        (("add", "ann"), "tiny", "the password is too short; it needs at least 10"),
        (("add", "annannannann"), "AnnAnnAnnAnn", "the password is the user's own name"),
        (("add", "ann"), "x" * 2000, "a password has at most 1024 bytes"),
        (("add", "ann"), "x" * 20_000, "the password on standard input is too long"),
        (("add", "bob"), PASSWORD, "there is a user 'bob' already"),
        (("add", "ann", "--email", "BOB@x.org"), PASSWORD, "is the address of user 'bob'"),
        (("passwd", "ann"), PASSWORD, "there is no user 'ann'; see: headgate user list"),
        (("remove", "ann"), "", "there is no user 'ann'; see: headgate user list"),
        (("change", "ann", "--no-keys"), "", "there is no user 'ann'; see: headgate user list"),
        (("change", "bob"), "", "nothing is to be changed; give --group, --email or --key"),
        (("change", "bob", "--group", "g", "--no-groups"), "", "--group and --no-groups contrad"),
        (("change", "bob", "--key", "weak.pem"), "", "--key 'weak.pem': it is an RSA key of"),
        (("change", "bob", "--email", "bob"), "", "'bob' is no e-mail address"),
    ],
)
def test_wrong_input_is_one_sentence_and_changes_nothing(
    headgate: "Command", arguments: tuple[str, ...], given: str, told: str
) -> None:
    weak = rsa.generate_private_key(public_exponent=65_537, key_size=1024)
    write_key(headgate.folder / "weak.pem", weak)
    headgate.run("user", "add", "bob", "--no-password", "--email", "bob@x.org", *STATE)
    line = headgate.refused("user", *arguments, *STATE, given=given)
    assert told in line
    assert not given or given not in line
    with stored(headgate.folder) as store:
        assert [user.name for user in store.users()] == ["bob"]


def test_the_gateway_must_be_named_once(headgate: "Command") -> None:
    for options in ((), ("--state-dir", "state", "--config", "x.toml")):
        told = headgate.refused("user", "list", *options)
        assert "either --config FILE or --state-dir DIR" in told


def test_a_file_that_is_no_store_is_named(headgate: "Command") -> None:
    (headgate.folder / "state").mkdir()
    (headgate.folder / "state" / STATE_FILE).write_bytes(b"no database" * 500)
    told = headgate.refused("user", "list", *STATE)
    assert "damaged" in told
    assert STATE_FILE in told


def test_the_configuration_leads_to_its_state_directory(headgate: "Command") -> None:
    file = headgate.write('[server]\nstate_dir = "state"\n' + MOUNT)
    assert headgate.run("user", "add", "job", "--no-password", "--config", file).returncode == 0
    assert headgate.run("user", "list", *STATE).stdout.startswith("job\t")


@pytest.fixture
def with_ann(headgate: "Command") -> tuple[str, Path]:
    """Give the options for a gateway whose configuration has a user."""
    ann = f'[users.ann]\npassword_hash = "{HASH}"\ngroups = ["g"]\nemail = "Ann@x.org"\n'
    return "--config", headgate.write('[server]\nstate_dir = "state"\n' + MOUNT + ann)


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "ann", "--no-password"),
        ("passwd", "ann"),
        ("change", "ann", "--no-groups"),
        ("remove", "ann"),
    ],
)
def test_a_user_of_the_configuration_is_changed_there(
    headgate: "Command", with_ann: tuple[str, Path], arguments: tuple[str, ...]
) -> None:
    told = headgate.refused("user", *arguments, *with_ann)
    assert f"user 'ann' stands in [users.ann] of '{with_ann[1]}'; change it there" in told


def test_both_kinds_of_users_are_listed(headgate: "Command", with_ann: tuple[str, Path]) -> None:
    assert headgate.run("user", "add", "bob", "--no-password", *with_ann).returncode == 0
    lines = headgate.run("user", "list", *with_ann).stdout.splitlines()
    ann, bob = (line.split("\t") for line in lines)
    assert ann == ["ann", "Ann@x.org", "g", "yes", "0", "configuration", "-"]
    assert (bob[0], bob[5]) == ("bob", "state")
    taken = headgate.refused(
        "user", "add", "imp", "--no-password", "--email", "ann@x.org", *with_ann
    )
    assert "--email ann@x.org is the address of user 'ann'" in taken
    assert headgate.run("app-password", "add", "ann", "phone", *with_ann).returncode == 0


class Terminal:
    """A command on a terminal of its own, with somebody who types."""

    def __init__(self, headgate: "Command", *arguments: str) -> None:
        self.main, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [*headgate.python, *arguments],
            cwd=headgate.folder, env={**headgate.environment, "COLUMNS": "200"},
            stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        )  # fmt: skip
        os.close(terminal)
        self.shown = ""
        self.read = 0

    def read_until(self, text: str) -> None:
        """Wait for a text beyond those waited for before."""
        end = time.monotonic() + 20
        while text not in self.shown[self.read :]:
            ready, _, _ = select.select([self.main], [], [], end - time.monotonic())
            assert ready, self.shown
            try:
                self.shown += os.read(self.main, 4096).decode()
            except OSError:  # the other side is closed
                break
        assert text in self.shown[self.read :], self.shown
        self.read = self.shown.index(text, self.read) + len(text)

    def type(self, text: str) -> None:
        os.write(self.main, text.encode() + b"\n")

    def close(self) -> int:
        code = self.process.wait(timeout=20)
        os.close(self.main)
        return code


def test_a_password_is_typed_twice_and_never_shown(headgate: "Command") -> None:
    terminal = Terminal(headgate, "user", "add", "ann", *STATE)
    terminal.read_until("Password: ")
    terminal.type(PASSWORD)
    terminal.read_until("Again: ")
    terminal.type("another one, by mistake")
    terminal.read_until("do not match")
    terminal.read_until("Password: ")
    terminal.type(PASSWORD)
    terminal.read_until("Again: ")
    terminal.type(PASSWORD)
    terminal.read_until("User 'ann' was added.")
    assert terminal.close() == 0
    assert PASSWORD not in terminal.shown
    assert "by mistake" not in terminal.shown
    with stored(headgate.folder) as store:
        ann = store.user("ann")
        assert ann is not None
        assert Passwords().verify(ann.password_hash, PASSWORD)


def test_a_terminal_gets_a_table_with_headings(headgate: "Command") -> None:
    """What looks like markup of the table is shown as it is."""
    headgate.run("user", "add", "[red]x", "--no-password", "--group", "g", *STATE)
    terminal = Terminal(headgate, "user", "list", *STATE)
    terminal.read_until("state")
    assert terminal.close() == 0
    for word in ("name", "groups", "[red]x", "g"):
        assert word in terminal.shown
