"""Accounts in the configuration: what is wrong is told with its line and the way out."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from vfs import config
from vfs.auth.passwords import hash_password
from vfs.toml_file import ConfigError
from vfs.toml_text import effective

HEAD = '[mounts."/a"]\nprovider = "memory"\n[[rules]]\npath = "/a"\nwho = ["user:alice"]\n'
HEAD += 'rights = ["read"]\n'
HASH = hash_password("correct horse")
USER = f'{HEAD}[users.alice]\npassword_hash = "{HASH}"\n'


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture(scope="session")
def keys() -> dict[str, str]:
    good = ec.generate_private_key(ec.SECP256R1())
    private = good.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    weak = rsa.generate_private_key(65537, 1024)
    return {"good": _pem(good), "weak": _pem(weak), "private": private}


@pytest.fixture
def folder(tmp_path: Path, keys: dict[str, str]) -> Path:
    for name, text in keys.items():
        (tmp_path / f"{name}.pem").write_text(text)
    (tmp_path / "hash").write_text(HASH + "\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    return tmp_path


def load(folder: Path, text: str) -> config.Config:
    path = folder / "headgate.toml"
    path.write_text(text)
    return config.load(path)


def test_everything_is_read(folder: Path, keys: dict[str, str]) -> None:
    inline = keys["good"].replace("\n", "\\n")
    loaded = load(
        folder,
        f"""{HEAD}
[users.alice]
password_hash_file = "hash"
public_keys = ["good.pem", "{inline}"]
groups = ["lofar"]
email = "alice@example.org"
[users."iam only"]
public_keys = ["good.pem"]
[oidc.iam]
issuer = "https://iam.example.org/"
audience = ["https://gw.example.org"]
groups_claim = "wlcg.groups"
base_path = "/a/"
[oidc.iam.groups]
"/lofar" = "lofar"
[auth]
audience = ["https://other.example.org"]
[limits]
requests_at_once = 10
[audit]
enabled = false
""",
    )
    alice = loaded.users[0]
    assert (alice.name, alice.password_hash, alice.groups) == ("alice", HASH, ("lofar",))
    assert alice.public_keys == (keys["good"], keys["good"])
    assert loaded.oidc[0].base_path == "/a"
    assert loaded.oidc[0].groups == {"/lofar": "lofar"}
    assert loaded.audience == ("https://other.example.org",)
    assert HASH not in effective(loaded)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (HEAD + "[users.alice]\n", "7: [users.alice] can never log in: give it 'password_hash'"),
        (
            HEAD + '[users.alice]\npassword_hash = "secret"\n',
            "8: users.alice.password_hash: this is no argon2id hash of version 19; make one with",
        ),
        (
            USER + 'password_hash_file = "hash"\n',
            "9: [users.alice] has 'password_hash' and 'password_hash_file'; keep one",
        ),
        (
            HEAD + '[users.alice]\npassword_hash_file = "bytes"\n',
            "8: users.alice.password_hash_file: '{folder}/bytes' holds no text",
        ),
        (
            HEAD + '[users.alice]\npassword_hash_file = "gone"\n',
            "8: users.alice.password_hash_file: '{folder}/gone' does not exist",
        ),
        (
            HEAD + '[users."a:b"]\npublic_keys = ["good.pem"]\n',
            """7: users."a:b": 'a:b' cannot be the name of a user: it has a colon""",
        ),
        (
            HEAD + '[users.alice]\npublic_keys = ["weak.pem"]\n',
            "8: users.alice.public_keys: ",
        ),
        (
            HEAD + '[users.alice]\npublic_keys = ["private.pem"]\n',
            "8: users.alice.public_keys: it is a private key; keep that one to yourself",
        ),
        (HEAD + '[users.alice]\npassword = "x"\n', "8: [users.alice] has no key 'password'"),
        (HEAD + "[oidc.iam]\n", "7: [oidc.iam] lacks the key 'issuer'"),
        (
            HEAD + '[oidc.iam]\nissuer = "http://iam.example.org"\n',
            "8: oidc.iam.issuer must be an https URL",
        ),
        (
            HEAD + '[oidc.a]\nissuer = "https://i/"\n[oidc.b]\nissuer = "https://i"\n',
            "10: [oidc.b] names the issuer of [oidc.a] again",
        ),
        (
            HEAD + '[oidc.iam]\nissuer = "https://i"\nbase_path = "a/.."\n',
            "9: oidc.iam.base_path is no path",
        ),
        (HEAD.replace("user:alice", "user:iam:x"), "5: rules.who: 'user:iam:x' is a user of"),
        (HEAD + '[limits]\nrequests_at_once = "many"\n', "8: limits.requests_at_once must be a"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(folder: Path, text: str, error: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(folder, text)
    expected = f"{folder}/headgate.toml:{error.replace('{folder}', str(folder))}"
    assert str(refused.value).startswith(expected), refused.value
    assert "\n" not in str(refused.value)


def test_a_weak_key_is_told_as_such(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"2048"):
        load(folder, HEAD + '[users.alice]\npublic_keys = ["weak.pem"]\n')


def test_a_rule_for_a_group_that_nobody_is_in_is_refused(folder: Path) -> None:
    text = USER.replace("user:alice", "group:lofer")
    loaded = load(folder, text)
    with pytest.raises(ConfigError, match=r":5: .*no group 'lofer'; did you mean 'lofar'\?"):
        config.check_groups(loaded, frozenset({"lofar"}))
    config.check_groups(loaded, frozenset({"lofer"}))
    issuer = '[oidc.iam]\nissuer = "https://i"\n'
    config.check_groups(load(folder, text + issuer), frozenset())
    mapped = load(folder, text + issuer + '[oidc.iam.groups]\nx = "lofer"\n')
    config.check_groups(mapped, frozenset())
