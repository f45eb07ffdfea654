"""Keys of good kinds are read in every usual form; others are refused with the cure."""

import base64
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from vfs.auth.keys import Signing, load_private_key, load_public_key

RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
KINDS: dict[str, tuple[Signing, tuple[str, ...]]] = {
    "rsa": (RSA, ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    "p256": (P256, ("ES256",)),
    "p384": (ec.generate_private_key(ec.SECP384R1()), ("ES384",)),
    "p521": (ec.generate_private_key(ec.SECP521R1()), ("ES512",)),
    "ed25519": (ED25519, ("EdDSA",)),
    "ed448": (ed448.Ed448PrivateKey.generate(), ("EdDSA",)),
}
SPKI = PublicFormat.SubjectPublicKeyInfo


def public_pem(key: Signing) -> str:
    return key.public_key().public_bytes(Encoding.PEM, SPKI).decode()


def private_pem(key: Signing, passphrase: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def never() -> str:
    raise AssertionError("a passphrase was asked for")


@pytest.mark.parametrize("kind", KINDS)
def test_every_form_is_the_same_key(kind: str) -> None:
    key, algorithms = KINDS[kind]
    pem = public_pem(key)
    der = key.public_key().public_bytes(Encoding.DER, SPKI)
    forms = [
        pem,
        f"\n {pem}\n",
        pem.replace("\n", "\r\n"),
        base64.b64encode(pem.encode()).decode(),
        base64.encodebytes(pem.encode()).decode(),
        base64.b64encode(der).decode(),
    ]
    if kind == "rsa":
        pkcs1 = key.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        forms.append(pkcs1.decode())
    if kind != "ed448":
        ssh = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        forms += [ssh, f"{ssh} alice@laptop\n"]
    keys = [load_public_key(form) for form in forms]
    assert {(key.pem, key.algorithms, len(key.id)) for key in keys} == {(pem, algorithms, 16)}
    assert len({key.id for key in keys}) == 1


def test_keys_have_their_own_ids() -> None:
    assert len({load_public_key(public_pem(key)).id for key, _ in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_private_key_is_refused_and_not_repeated(kind: str) -> None:
    key, _ = KINDS[kind]
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    locked = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"p"))
    pem = private_pem(key)
    for text in (
        pem.decode(),
        public_pem(key) + pem.decode(),
        private_pem(key, b"p").decode(),
        base64.b64encode(pem).decode(),
        base64.b64encode(der).decode(),
        base64.b64encode(locked).decode(),
    ):
        with pytest.raises(ValueError, match=r"it is a private key; .* openssl pkey") as caught:
            load_public_key(text)
        assert text[40:80] not in str(caught.value)


def test_weak_and_odd_kinds_are_refused() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    other: dict[str, PublicKeyTypes] = {
        "RSA key of 1024 bits; make": weak.public_key(),
        "EC key on secp256k1; make": ec.generate_private_key(ec.SECP256K1()).public_key(),
        "kind DSA": dsa.generate_private_key(1024).public_key(),
        "kind X25519": x25519.X25519PrivateKey.generate().public_key(),
    }
    for cause, key in other.items():
        with pytest.raises(ValueError, match=cause):
            load_public_key(key.public_bytes(Encoding.PEM, SPKI).decode())
    with pytest.raises(ValueError, match="RSA key of 1024 bits"):
        load_private_key(private_pem(weak), never)


def test_a_huge_key_is_refused() -> None:
    numbers = rsa.RSAPublicNumbers(65537, (1 << 16383) + 1)
    pem = numbers.public_key().public_bytes(Encoding.PEM, SPKI).decode()
    with pytest.raises(ValueError, match="16384 bits; make one of 2048 to 8192"):
        load_public_key(pem)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice.pem",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PARAMETERS-----\nAAAA\n-----END PARAMETERS-----",
        "AAAA",
        "é",
        "\x00",
        "A" * 20_000,
        "ssh-ed25519 AAAA",
        "ssh-ed25519-cert-v01@openssh.com AAAA",
        "sk-ssh-ed25519@openssh.com AAAA",
        base64.b64encode(b"-----BEGIN \xff").decode(),
        public_pem(P256) + public_pem(ED25519),
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"it is no public key; give|just one key"):
        load_public_key(text)


@pytest.mark.server("openssl")
def test_a_certificate_is_refused_with_the_command_that_takes_its_key() -> None:
    subject = ["-subj", "/CN=a", "-keyout", "/dev/null", "-nodes", "-newkey", "ed25519"]
    made = subprocess.run(
        ["openssl", "req", "-x509", *subject], check=True, capture_output=True, text=True
    )
    with pytest.raises(ValueError, match="openssl x509 -in FILE -noout -pubkey"):
        load_public_key(made.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_a_private_key_is_loaded_to_sign_with(kind: str) -> None:
    key, _ = KINDS[kind]
    public = key.public_key()
    assert load_private_key(private_pem(key), never).public_key() == public
    assert load_private_key(private_pem(key, b"pass"), lambda: "pass").public_key() == public
    with pytest.raises(ValueError, match="passphrase is wrong"):
        load_private_key(private_pem(key, b"pass"), lambda: "other")


def test_what_is_no_private_key_is_refused() -> None:
    openssh = ED25519.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    assert load_private_key(openssh, never).public_key() == ED25519.public_key()
    for text in (b"", public_pem(P256).encode(), b"-----BEGIN OPENSSH PRIVATE KEY-----"):
        with pytest.raises(ValueError, match="no private key"):
            load_private_key(text, never)
    odd = x25519.X25519PrivateKey.generate()
    pem = odd.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="kind X25519"):
        load_private_key(pem, never)
