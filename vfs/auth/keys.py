"""Public keys that users sign tokens with."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

Verifying = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)
Signing = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)

_MAX_CHARACTERS = 16 * 1024
_RSA_BITS = range(2048, 8192 + 1)  # a larger one is no safer and takes long to verify with
_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_EC_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_BEGIN = "-----BEGIN "
_LABEL = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
_PUBLIC = ("PUBLIC KEY", "RSA PUBLIC KEY")
_SSH = re.compile(r"(?:ssh-rsa|ssh-ed25519|ecdsa-sha2-nistp\d+) ")

_KINDS = "an RSA key of 2048 bits or more, an EC key on P-256, P-384 or P-521, or an Ed25519 key"
_NOT_A_KEY = (
    "it is no public key; give one in PEM form (-----BEGIN PUBLIC KEY-----), that or DER in"
    " base64, or a line of OpenSSH"
)
_PRIVATE = (
    "it is a private key; keep that one to yourself and register its public half:"
    " openssl pkey -in KEY -pubout"
)
_LOAD_ERRORS = (ValueError, TypeError, UnsupportedAlgorithm)


class PublicKey(msgspec.Struct, frozen=True):
    """A public key with the signature algorithms that it may be used for, the usual one first.

    `id` is the start of the SHA-256 of its DER form, for logs.
    """

    pem: str
    id: str
    algorithms: tuple[str, ...]
    key: Verifying


def load_public_key(text: str) -> PublicKey:
    """Read a key in PEM form, base64 of that or of DER, or a line of OpenSSH.

    ValueError with cause and cure for anything else, for a private key, and for a weak one.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(_NOT_A_KEY)
    return public_key(_load(text.strip()))


def public_key(key: object) -> PublicKey:
    """Describe a key that is loaded already; ValueError for a kind or strength that is not taken.

    For a private key describe its `public_key()`.
    """
    algorithms = _algorithms(key)
    assert isinstance(key, Verifying)
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return PublicKey(pem.decode(), hashlib.sha256(der).hexdigest()[:16], algorithms, key)


def load_private_key(pem: bytes, ask: Callable[[], str]) -> Signing:
    """Read a private key to sign with; `ask` is called for its passphrase if it has one.

    ValueError with the cause for a wrong passphrase, for a key of a kind or strength that is not
    taken, and for anything else.
    """
    is_openssh = b"-----BEGIN OPENSSH PRIVATE KEY-----" in pem
    load = serialization.load_ssh_private_key if is_openssh else serialization.load_pem_private_key
    try:
        key: object = load(pem, None)
    except TypeError:  # what it raises for an encrypted one
        try:
            key = load(pem, ask().encode())
        except _LOAD_ERRORS as error:
            raise ValueError("the passphrase is wrong, or the key is damaged") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("it is no private key in PEM form") from error
    if isinstance(key, Signing):
        _algorithms(key.public_key())
        return key
    raise ValueError(_other_kind(key))


def _load(text: str) -> object:
    if _SSH.match(text):
        return _loaded(serialization.load_ssh_public_key, text.encode())
    if text.startswith(_BEGIN):
        return _from_pem(text)
    try:
        # Base64 may be wrapped, as `base64` prints it; nothing else is skipped.
        binary = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(_NOT_A_KEY) from error
    if binary.startswith(_BEGIN.encode()):
        return _from_pem(binary.decode("ascii", errors="replace").strip())
    if _is_private(binary):
        raise ValueError(_PRIVATE)
    return _loaded(serialization.load_der_public_key, binary)


def _from_pem(text: str) -> object:
    labels = _LABEL.findall(text)
    if any("PRIVATE KEY" in label for label in labels):
        raise ValueError(_PRIVATE)
    if labels == ["CERTIFICATE"]:
        raise ValueError(
            "it is a certificate; register the key in it: openssl x509 -in FILE -noout -pubkey"
        )
    if len(labels) != 1:
        raise ValueError("there must be just one key in it; register several one by one")
    if labels[0] not in _PUBLIC:
        raise ValueError(_NOT_A_KEY)
    return _loaded(serialization.load_pem_public_key, text.encode("ascii", errors="replace"))


def _loaded(load: Callable[[bytes], object], data: bytes) -> object:
    try:
        return load(data)
    except _LOAD_ERRORS as error:
        raise ValueError(_NOT_A_KEY) from error


def _is_private(der: bytes) -> bool:
    try:
        serialization.load_der_private_key(der, None)
    except TypeError:  # what it raises for an encrypted one
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _algorithms(key: object) -> tuple[str, ...]:
    """Return what a public key may be used for; ValueError when that is nothing."""
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in _RSA_BITS:
            bounds = f"{_RSA_BITS[0]} to {_RSA_BITS[-1]}"
            raise ValueError(f"it is an RSA key of {key.key_size} bits; make one of {bounds} bits")
        return _RSA_ALGORITHMS
    if isinstance(key, ec.EllipticCurvePublicKey):
        algorithm = _EC_ALGORITHMS.get(key.curve.name)
        if algorithm is None:
            raise ValueError(f"it is an EC key on {key.curve.name}; make {_KINDS}")
        return (algorithm,)
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return ("EdDSA",)
    raise ValueError(_other_kind(key))


def _other_kind(key: object) -> str:
    kind = type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey")
    return f"it is a key of the kind {kind}, which is not taken; make {_KINDS}"
