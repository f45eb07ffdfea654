"""`headgate token`, as operators and users run it."""

import contextlib
import io
import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from vfs.auth.gateway_tokens import ISSUER
from vfs.auth.keys import Signing
from vfs.auth.tokens import peek
from vfs.cli import main
from vfs.state.accounts import UserRecord
from vfs.state.sqlite import STATE_FILE, SqliteStore

if TYPE_CHECKING:
    from tests.vfs.conftest import Command

STATE = ("--state-dir", "state")
KEY = ec.generate_private_key(ec.SECP256R1())
MOUNT = '[mounts."/a"]\nprovider = "local"\nroot = "a"\n'
RULE = '[[rules]]\npath = "/a"\nwho = ["user:ann"]\nrights = ["read"]\n'


def private(key: Signing = KEY, passphrase: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def public(key: Signing = KEY) -> str:
    form = PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(Encoding.PEM, form).decode()


class Inside:
    """Runs the command in this process, which takes a hundredth of the time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end with `given` as its standard input."""
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(io.StringIO()) as out,
            contextlib.redirect_stderr(io.StringIO()) as err,
            patch("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode()))),
            pytest.raises(SystemExit) as ended,
        ):
            main(list(map(str, arguments)))
        code = ended.value.code or 0
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def refused(self, *arguments: str | Path) -> str:
        """Run what must fail as wrong input does; return its one line."""
        done = self.run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr


@pytest.fixture
def ann(tmp_path: Path) -> Inside:
    """Give the command beside a state directory with Ann in it, and her key."""
    (tmp_path / "state").mkdir()
    with SqliteStore(tmp_path / "state" / STATE_FILE) as store:
        store.put_user(UserRecord(name="ann", public_keys=(public(),)))
    (tmp_path / "ann.key").write_bytes(private())
    return Inside(tmp_path)


def made(done: subprocess.CompletedProcess[str]) -> str:
    """Return the token that was printed, alone."""
    assert done.returncode == 0, done
    token, end = done.stdout.split("\n")
    assert end == ""
    assert token not in done.stderr
    assert peek(token).id in done.stderr
    return token


def shown(headgate: "Inside | Command", token: str, *options: str | Path) -> str:
    done = headgate.run("token", "inspect", *options, given=token)
    assert (done.returncode, done.stderr) == (0, "")
    assert token.rpartition(".")[2] not in done.stdout
    return done.stdout


def test_a_process_of_its_own_prints_the_token_alone(ann: Inside, headgate: "Command") -> None:
    """As in TOKEN=$(headgate token issue ...); both fixtures share the folder."""
    assert headgate.folder == ann.folder
    token = made(headgate.run("token", "issue", "--user", "ann", *STATE))
    assert "verdict: the token is accepted" in shown(headgate, token, *STATE)


def test_the_gateway_issues_what_it_accepts(ann: Inside) -> None:
    token = made(
        ann.run(
            "token", "issue", "--user", "ann", "--expires", "2h",
            "--scope", "storage.read:/a", "--scope", "storage.create:/b read:/c", *STATE,
        )
    )  # fmt: skip
    claims = peek(token).claims
    assert (claims["iss"], claims["sub"]) == (ISSUER, "ann")
    assert claims["scope"] == "storage.read:/a storage.create:/b read:/c"
    end = claims["exp"]
    assert isinstance(end, int)
    assert abs(end - time.time() - 7200) < 60
    text = shown(ann, token, *STATE)
    assert "signature: fits\n" in text
    assert "verdict: the token is accepted, as token:" in text
    assert 'bounds: list, read at "/a"\nbounds: create at "/b"\n' in text
    changed = token[:-8] + ("AAAAAAAA" if token[-8:-1] != "AAAAAAA" else "BBBBBBBA")
    assert "signature: does not fit\n" in shown(ann, changed[:-1] + token[-1], *STATE)


@pytest.mark.parametrize(
    "key",
    [KEY, ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)],
    ids=["ec", "ed25519", "rsa"],
)
def test_a_user_s_key_signs_what_the_gateway_accepts(ann: Inside, key: Signing) -> None:
    (ann.folder / "own.key").write_bytes(private(key))
    with SqliteStore(ann.folder / "state" / STATE_FILE) as store:
        store.put_user(UserRecord(name="ann", public_keys=(public(), public(key))))
    token = made(ann.run("token", "issue", "--user", "ann", "--key", "own.key"))
    text = shown(ann, token, *STATE)
    assert "signature: fits\n" in text
    assert "verdict: the token is accepted, as key:" in text
    assert "bounds: none" in text
    bobs = made(ann.run("token", "issue", "--user", "bob", "--key", "own.key"))
    text = shown(ann, bobs, *STATE)
    assert "signature: does not fit\n" in text
    assert "verdict: the token is not accepted: no user of this name" in text
    assert "signature: not checked" in shown(ann, token)


def test_a_passphrase_comes_from_a_pipe_or_a_file(ann: Inside) -> None:
    (ann.folder / "locked.key").write_bytes(private(passphrase=b"pass word"))
    (ann.folder / "pass").write_text("pass word\n")
    issue = ("token", "issue", "--user", "ann", "--key", "locked.key")
    for token in (
        made(ann.run(*issue, given="pass word\n")),
        made(ann.run(*issue, "--passphrase-file", "pass", given="")),
    ):
        assert "signature: fits\n" in shown(ann, token, *STATE)
    wrong = ann.run(*issue, given="other\n")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == (
        "headgate: --key 'locked.key': the passphrase is wrong, or the key is damaged\n"
    )


def test_a_revoked_token_is_refused(ann: Inside) -> None:
    issue = ("token", "issue", "--user", "ann")
    first, second, third = (
        made(ann.run(*issue, *STATE)),
        made(ann.run(*issue, "--key", "ann.key")),
        made(ann.run(*issue, *STATE)),
    )
    done = ann.run("token", "revoke", *STATE, given=first + "\n")
    assert (done.returncode, done.stdout) == (0, f"Token {peek(first).id} was revoked.\n")
    assert ann.run("token", "revoke", "--id", peek(second).id, *STATE).returncode == 0
    for token in (first, second):
        assert "verdict: the token is not accepted: it was revoked" in shown(ann, token, *STATE)
    (ann.folder / "third").write_text(third)
    assert "verdict: the token is accepted" in shown(ann, third, *STATE)
    assert ann.run("token", "revoke", "third", *STATE).returncode == 0
    assert "it was revoked" in shown(ann, third, *STATE)


def test_the_configuration_names_users_and_audience(tmp_path: Path) -> None:
    headgate = Inside(tmp_path)
    url = "https://gw.example.org"
    server = f'[server]\npublic_url = "{url}"\n'
    (headgate.folder / "ann.pem").write_text(public())
    (headgate.folder / "ann.key").write_bytes(private())
    users = '[users.ann]\npublic_keys = ["ann.pem"]\n'
    (tmp_path / "a").mkdir()
    config = tmp_path / "headgate.toml"
    config.write_text(server + MOUNT + users + RULE)
    issue = ("token", "issue", "--user", "ann")
    here = ("--config", config)
    for options in (("--key", "ann.key"), here):
        for audience in ((), ("--audience", url)):
            token = made(headgate.run(*issue, *options, *audience))
            assert "verdict: the token is accepted" in shown(headgate, token, *here)
    other = ("--audience", "https://other.example.org")
    token = made(headgate.run(*issue, "--key", "ann.key", *other))
    assert "verdict: the token is not accepted: it is for another" in shown(headgate, token, *here)
    assert "is not this gateway" in headgate.refused(*issue, *here, *other)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--user", "bob", *STATE), "there is no user 'bob'; see: headgate user list"),
        (("--user", "ann"), "name the gateway by either --config FILE or --state-dir DIR"),
        (("--user", "ann", "--key", "ann.key", *STATE), "either with --key or by the gateway"),
        (("--user", "ann", "--passphrase-file", "p", *STATE), "goes with --key FILE"),
        (("--user", "ann", "--key", "none.key"), "'none.key' cannot be read: No such file"),
        (("--user", "ann", "--key", "public.pem"), "it is no private key in PEM form"),
        (("--user", "ann", "--scope", "read:/a/../b", *STATE), "'read:/a/../b' is no scope"),
        (("--user", "ann", "--scope", "admin", *STATE), "'admin' is no scope; write one of"),
        (("--user", "ann", "--expires", "soon", *STATE), "'soon' is no time; write"),
        (("--user", "ann", "--scope", "read:/" + "a" * 9000, *STATE), "fewer or shorter scopes"),
    ],
)
def test_wrong_input_to_issue_is_told(ann: Inside, arguments: tuple[str, ...], told: str) -> None:
    (ann.folder / "public.pem").write_text(public())
    assert told in ann.refused("token", "issue", *arguments)


def test_another_master_key_is_told(ann: Inside) -> None:
    token = made(ann.run("token", "issue", "--user", "ann", *STATE))
    (ann.folder / "state" / "master.key").unlink()
    for arguments in (("issue", "--user", "ann"), ("inspect",)):
        done = ann.run("token", *arguments, *STATE, given=token)
        assert done.returncode != 0
        assert "sealed with another master key" in done.stderr


def test_a_weak_key_is_refused(ann: Inside) -> None:
    (ann.folder / "weak.key").write_bytes(private(rsa.generate_private_key(65537, 1024)))
    told = ann.refused("token", "issue", "--user", "ann", "--key", "weak.key")
    assert "RSA key of 1024 bits; make one of 2048" in told


def test_a_token_is_no_argument(ann: Inside) -> None:
    token = made(ann.run("token", "issue", "--user", "ann", *STATE))
    for command in (("inspect",), ("revoke", *STATE)):
        told = ann.refused("token", *command, token)
        assert "a token is no argument" in told
        assert token[:20] not in told


@pytest.mark.parametrize("command", ["inspect", "revoke"])
def test_what_is_no_token_is_told(ann: Inside, command: str) -> None:
    (ann.folder / "odd").write_bytes(b"\xff\x00.a.b")
    told = ann.refused("token", command, "odd", *STATE)
    assert "the token is not accepted: it is no signed token" in told
    assert "cannot be read" in ann.refused("token", command, "none", *STATE)


def test_wrong_input_to_revoke_is_told(ann: Inside) -> None:
    assert "is no id of a token" in ann.refused("token", "revoke", "--id", "x", *STATE)
    both = ("odd", "--id", "0" * 32)
    assert "not both" in ann.refused("token", "revoke", *both, *STATE)


def test_a_token_that_is_over_needs_no_revoking(ann: Inside) -> None:
    import jwt

    old = jwt.encode({"sub": "ann", "exp": 1}, KEY, algorithm="ES256")
    done = ann.run("token", "revoke", *STATE, given=old)
    assert (done.returncode, "is over already" in done.stdout) == (0, True)
    text = shown(ann, old, *STATE)
    assert "good until: 1970-01-01T00:00:01Z (over)" in text
    assert "signature: fits" in text


def test_inspect_shows_odd_claims_as_they_are(ann: Inside) -> None:
    import jwt

    claims = {"sub": "ann\x1b[31m", "exp": "never", "nbf": [], "scope": 1}
    text = shown(ann, jwt.encode(claims, KEY, algorithm="ES256"), *STATE)
    assert "\x1b" not in text
    assert "good until: not readable" in text
    assert "bounds: it is good for nothing" in text
    start = text.index("claims: ") + len("claims: ")
    assert json.JSONDecoder().raw_decode(text[start:])[0] == claims


@pytest.mark.server("openssl")
def test_the_page_s_recipe_for_openssl_works(ann: Inside, root: Path) -> None:
    page = (root / "docs" / "howto" / "tokens.md").read_text()
    _, _, rest = page.partition("nothing but openssl and a shell:\n\n")
    recipe, _, _ = rest.partition("\n\n")
    key = rsa.generate_private_key(65537, 2048)
    (ann.folder / "ann-rsa.key").write_bytes(private(key))
    with SqliteStore(ann.folder / "state" / STATE_FILE) as store:
        store.put_user(UserRecord(name="ann", public_keys=(public(key),)))
    done = subprocess.run(
        ["sh", "-c", f'{recipe}\nprintf %s "$TOKEN"'],
        cwd=ann.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "verdict: the token is accepted" in shown(ann, done.stdout, *STATE)
