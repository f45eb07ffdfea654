"""Only public keys for signatures that are strong enough are taken from a key set."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from vfs.auth.download import Unavailable
from vfs.auth.keyset import KEYS_MAX, KeySet


def _rsa(bits: int) -> dict[str, Any]:
    key = rsa.generate_private_key(65537, bits)
    return dict(json.loads(RSAAlgorithm.to_jwk(key.public_key())))


STRONG = _rsa(2048)
WEAK = _rsa(1024)
P256 = dict(json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())))
PRIVATE = dict(json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()))))
OTHER = dict(json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256K1()).public_key())))
ED = dict(json.loads(OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key())))


def fitting(key: dict[str, Any], algorithm: str, kid: str | None = None) -> int:
    return len(KeySet({"keys": [key]}).fitting(kid, algorithm))


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (STRONG, {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        ({**STRONG, "alg": "RS512"}, {"RS512"}),
        ({**STRONG, "use": "sig", "key_ops": ["verify"]}, {"RS256", "RS384", "RS512"}),
        (P256, {"ES256"}),
        (ED, {"EdDSA"}),
    ],
)
def test_a_key_verifies_what_it_is_for(key: dict[str, Any], algorithms: set[str]) -> None:
    assert all(fitting(key, algorithm) for algorithm in algorithms)
    others = {"RS256", "RS512", "ES256", "ES384", "EdDSA", "HS256", "none"} - algorithms
    assert not any(fitting(key, other) for other in others)


@pytest.mark.parametrize(
    "key",
    [
        WEAK,
        OTHER,
        PRIVATE,
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
        {**STRONG, "use": "enc"},
        {**STRONG, "use": 5},
        {**STRONG, "key_ops": ["encrypt"]},
        {**STRONG, "key_ops": "verify"},
        {**STRONG, "alg": "RSA-OAEP"},
        {**STRONG, "alg": "HS256"},
        {**STRONG, "alg": "ES256"},
        {**STRONG, "n": 5},
        {**STRONG, "n": "!"},
        {**STRONG, "n": ""},
        {**STRONG, "kid": 5},
        {**P256, "x": P256["y"]},
        {**P256, "crv": "P-384"},
        {**ED, "crv": "X25519"},
        {**ED, "x": "AA"},
        {"kty": "RSA"},
        {},
        "key",
        None,
    ],
)
def test_any_other_is_left_out(key: Any) -> None:
    with pytest.raises(Unavailable, match="no public key for signatures"):
        KeySet({"keys": [key]})
    assert KeySet({"keys": [key, P256]}).fitting(None, "ES256")


@pytest.mark.parametrize("keys", [None, {}, "x", [P256] * (KEYS_MAX + 1)])
def test_what_is_no_list_of_keys_is_refused(keys: Any) -> None:
    with pytest.raises(Unavailable, match="no list of at most 64 keys"):
        KeySet({"keys": keys})


def test_a_key_is_found_by_its_name() -> None:
    named = KeySet({"keys": [{**P256, "kid": "a"}]})
    assert named.fitting("a", "ES256")
    assert named.fitting(None, "ES256")
    assert not named.fitting("b", "ES256")
    assert fitting(P256, "ES256", "b"), "one without a name may be any"
    assert named.names("a")
    assert not named.names("b")
    assert not named.names(None)
