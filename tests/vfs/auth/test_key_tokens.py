"""A token is its signer's alone, whatever it says of itself. Each attack has a good twin."""

import base64
import hashlib
import hmac
import json
import logging
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.vfs.auth.signers import AUDIENCE, Signers, encoded
from vfs.auth.errors import Unauthenticated
from vfs.auth.key_tokens import KeyTokens
from vfs.auth.keys import load_public_key
from vfs.auth.right import Grant, Right
from vfs.auth.tokens import LEEWAY_SECONDS, peek
from vfs.auth.users import User, Users
from vfs.state.base import StateStore

READ = frozenset({Right.LIST, Right.READ})
NOBODY = "no user of this name"


def refused(signers: Signers, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        signers.verify(token)
    assert not any(part in caught.value.detail for part in token.split(".") if len(part) > 20)
    return caught.value.detail


@pytest.mark.parametrize("algorithm", Signers.ALGORITHMS)
def test_a_good_token_is_its_user_s(signers: Signers, algorithm: str) -> None:
    end = int(time.time()) + 60
    caller = signers.verify(signers.token(algorithm, exp=end))
    key = load_public_key(signers.pem(signers.alice[algorithm]))
    assert (caller.name, caller.groups) == ("alice", frozenset({"lofar"}))
    assert (caller.credential, caller.expires_at) == (f"key:{key.id}", end + LEEWAY_SECONDS)
    assert (caller.scopes, caller.vouched) == (None, False)


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS384", "PS512"])
def test_an_rsa_key_signs_by_every_rsa_algorithm(signers: Signers, algorithm: str) -> None:
    token = signers.token(algorithm, key=signers.alice["RS256"])
    assert signers.verify(token).name == "alice"


def test_either_claim_names_the_user(signers: Signers) -> None:
    for claims in (
        {"sub": "alice", "email": "alice@example.org"},
        {"sub": None, "email": "alice@example.org"},
        {"sub": None, "email": "Alice@Example.org"},
        {"sub": "", "email": "alice@example.org"},
        {"sub": "job-17", "email": "alice@example.org"},
        {"sub": "alice", "email": "job-17@example.org"},
    ):
        assert signers.verify(signers.token(claims=claims)).name == "alice", claims


def test_two_names_must_be_one_user_s(signers: Signers) -> None:
    bobs = signers.bob["ES256"]
    for key in (None, bobs):
        token = signers.token(sub="alice", email="bob@example.org", key=key)
        assert NOBODY in refused(signers, token)
    assert signers.verify(signers.token(sub="bob", email="bob@example.org", key=bobs)).name == "bob"


def test_another_s_key_does_not_fit(signers: Signers) -> None:
    """What is said of a wrong signature and of a name that nobody has is the same."""
    for algorithm in signers.ALGORITHMS:
        wrong = refused(signers, signers.token(algorithm, key=signers.bob[algorithm]))
        unknown = refused(signers, signers.token(algorithm, sub="mallory"))
        assert wrong == unknown
        signers.verify(signers.token(algorithm, key=signers.bob[algorithm], sub="bob"))


def test_what_is_claimed_is_told_after_the_signature_alone(signers: Signers) -> None:
    """Somebody without the key learns nothing from the other claims either."""
    past = int(time.time()) - 60
    assert "expired" in refused(signers, signers.token(exp=past))
    assert NOBODY in refused(signers, signers.token(exp=past, key=signers.bob["ES256"]))


@pytest.mark.parametrize("form", ["pem", "der", "base64", "modulus"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_shared_secret(signers: Signers, form: str, algorithm: str) -> None:
    pem = signers.pem(signers.alice["RS256"])
    der = base64.b64decode("".join(pem.split("\n")[1:-2]))
    secret = {"pem": pem.encode(), "der": der, "base64": base64.b64encode(der), "modulus": der[33:]}
    text = f"{encoded(json.dumps({'alg': algorithm}).encode())}.{claims_part(signers)}"
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
    signature = hmac.new(secret[form], text.encode(), digest).digest()
    assert "its algorithm" in refused(signers, f"{text}.{encoded(signature)}")
    # The same digest under the name of an algorithm that is taken is no signature either.
    text = encoded(b'{"alg":"RS256"}') + "." + claims_part(signers)
    signature = hmac.new(secret[form], text.encode(), digest).digest()
    assert NOBODY in refused(signers, f"{text}.{encoded(signature)}")
    signers.verify(signers.token("RS256"))


def claims_part(signers: Signers) -> str:
    return encoded(json.dumps(signers.claims()).encode())


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
def test_an_unsigned_token_is_refused(signers: Signers, algorithm: str) -> None:
    signature = signers.token().rpartition(".")[2]
    head = encoded(json.dumps({"alg": algorithm}).encode())
    for end in ("", signature):
        refused(signers, f"{head}.{claims_part(signers)}.{end}")


def test_an_algorithm_of_another_kind_of_key_is_refused(signers: Signers) -> None:
    """Also when the signature would fit: the header names what the key is not for."""
    for claimed, made in (("RS256", "ES256"), ("ES256", "RS256"), ("EdDSA", "ES256")):
        token = signers.token(made, header={"alg": claimed})
        assert NOBODY in refused(signers, token)
    other = ec.generate_private_key(ec.SECP384R1())
    assert NOBODY in refused(signers, signers.token("ES384", key=other))


def test_an_ec_user_takes_no_rsa_token(signers: Signers) -> None:
    eve = {"sub": "eve"}
    assert NOBODY in refused(signers, signers.token("RS256", key=signers.bob["RS256"], claims=eve))
    assert (
        signers.verify(signers.token("ES256", key=signers.bob["ES256"], claims=eve)).name == "eve"
    )


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/etc/passwd",
        "' OR 1=1 --",
        "x' UNION SELECT 'key",
        "\x00",
        "http://e",
    ],
)
def test_a_key_id_leads_nowhere(signers: Signers, kid: str) -> None:
    header: dict[str, object] = {"kid": kid}
    assert NOBODY in refused(signers, signers.token(header=header, key=signers.bob["ES256"]))
    assert signers.verify(signers.token(header=header)).name == "alice"


def test_a_key_in_the_header_is_not_used(signers: Signers) -> None:
    own = rsa.generate_private_key(65537, 2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(own.public_key()))
    for more in ({"jwk": jwk}, {"jku": "http://127.0.0.1:1/"}, {"x5u": "http://127.0.0.1:1/"}):
        header: dict[str, object] = dict(more)
        assert "header" in refused(signers, signers.token("RS256", key=own, header=header))
        assert "header" in refused(signers, signers.token("RS256", header=header))
    signers.verify(signers.token("RS256"))


def test_odd_signatures_of_curves_are_refused(signers: Signers) -> None:
    token = signers.token("ES256")
    signed, _, part = token.rpartition(".")
    raw = base64.urlsafe_b64decode(part + "==")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for odd in (
        bytes(64),
        raw[:32] + bytes(32),
        bytes(32) + raw[32:],
        order.to_bytes(32, "big") * 2,
        b"\xff" * 64,
        encode_dss_signature(r, s),
        raw[:-1],
        raw + b"\x00",
        b"\x00" + raw,
        raw[::-1],
        b"\x00",
    ):
        assert NOBODY in refused(signers, f"{signed}.{encoded(odd)}")
    signers.verify(token)
    twin = raw[:32] + (order - s).to_bytes(32, "big")
    varied = f"{signed}.{encoded(twin)}"
    assert signers.verify(varied).name == "alice"
    assert peek(varied).id == peek(token).id  # so that revoking one revokes both


@pytest.mark.parametrize("algorithm", Signers.ALGORITHMS)
def test_any_changed_letter_breaks_it(signers: Signers, algorithm: str) -> None:
    token = signers.token(algorithm)
    for place in range(0, len(token), 7):
        other = "A" if token[place] != "A" else "B"
        refused(signers, token[:place] + other + token[place + 1 :])
        refused(signers, token[:place])
    signers.verify(token)


def test_claims_signed_twice_are_refused(signers: Signers) -> None:
    """The signer's own duplicates too: two readers could take the token for two users'."""
    claims = json.dumps(signers.claims())
    signers.verify(signers.signed(claims.encode()))
    refused(signers, signers.signed((claims[:-1] + ',"sub":"alice"}').encode()))
    refused(signers, signers.signed(claims.encode(), header=b'{"alg":"ES256","alg":"ES256"}'))


def test_times_and_audience_are_checked(signers: Signers) -> None:
    now = int(time.time())
    for good in (
        {"nbf": now, "iat": now},
        {"nbf": now + LEEWAY_SECONDS - 5, "exp": now - LEEWAY_SECONDS + 5},
        {"aud": AUDIENCE[0]},
        {"aud": ["x", AUDIENCE[0]]},
    ):
        signers.verify(signers.token(claims=good))
    bad: list[dict[str, object]] = [
        {"exp": None},
        {"exp": now - LEEWAY_SECONDS - 1},
        {"exp": "tomorrow"},
        {"exp": True},
        {"nbf": now + LEEWAY_SECONDS + 60},
        {"iat": now + LEEWAY_SECONDS + 60},
        {"aud": "https://other.example.org"},
        {"aud": []},
        {"aud": [AUDIENCE[0], 1]},
    ]
    for claims in bad:
        detail = refused(signers, signers.token(claims=claims))
        assert NOBODY not in detail, claims


def test_scopes_bound(signers: Signers) -> None:
    for scope in ("read:/a openid", ["storage.read:/a/"]):
        assert signers.verify(signers.token(scope=scope)).scopes == (Grant("/a", READ),)
    assert signers.verify(signers.token(scope="read:/a/../b")).scopes == ()
    assert signers.verify(signers.token(scope="openid")).scopes is None
    assert "scope" in refused(signers, signers.token(scope={"read": "/"}))


def test_a_revoked_token_is_refused_and_no_other(signers: Signers) -> None:
    first, second = signers.token(jti="a"), signers.token(jti="b")
    plain, other = signers.token(note=1), signers.token(note=2)
    for token in (first, plain):
        signers.verify(token)
        signers.store.revoke_token(
            peek(token).id, expires_at_ns=int((time.time() + 3600) * 1_000_000_000)
        )
        assert "revoked" in refused(signers, token)
    signers.verify(second)
    signers.verify(other)
    signers.verify(signers.token(jti="a", sub="bob", key=signers.bob["ES256"]))
    # Signed anew with another end it is still the token of that number.
    assert "revoked" in refused(signers, signers.token(jti="a", exp=int(time.time()) + 60))


def test_odd_names_are_nobody_s(signers: Signers) -> None:
    for name in ("", "ALICE", "alice ", "alice\x00", "a" * 5000, "' OR 1=1 --", "group:lofar"):
        assert NOBODY in refused(signers, signers.token(sub=name))
        assert NOBODY in refused(signers, signers.token(sub=None, email=name))


def test_a_key_that_cannot_be_used_is_skipped_and_told(
    signers: Signers, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        signers.verify(signers.token(sub="eve", key=signers.bob["ES256"]))
    assert "'eve' has a public key that cannot be used" in caplog.text
    assert "nonsense" not in caplog.text


def test_a_key_that_is_taken_away_counts_no_more(store: StateStore, signers: Signers) -> None:
    key = signers.alice["EdDSA"]
    pem, token = signers.pem(key), signers.token("EdDSA")
    with_key = KeyTokens(Users([User(name="alice", public_keys=(pem,))], store), store, AUDIENCE)
    without = KeyTokens(Users([User(name="alice")], store), store, AUDIENCE)
    with_key.verify(peek(token), token)
    with pytest.raises(Unauthenticated, match=NOBODY):
        without.verify(peek(token), token)


def test_keys_in_every_registered_form_verify(store: StateStore, signers: Signers) -> None:
    key = signers.alice["EdDSA"].public_key()
    ssh = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    token = signers.token("EdDSA")
    tokens = KeyTokens(Users([User(name="alice", public_keys=(ssh,))], store), store, AUDIENCE)
    caller = tokens.verify(peek(token), token)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert caller.credential == f"key:{hashlib.sha256(der).hexdigest()[:16]}"


@pytest.mark.bench
@pytest.mark.parametrize("algorithm", Signers.ALGORITHMS)
def test_a_token_seen_first_costs_little(signers: Signers, algorithm: str) -> None:
    """The best of many, so that a busy machine is not taken for slow code."""
    token = signers.token(algorithm)
    took = []
    for _ in range(300):
        before = time.perf_counter()
        peeked = peek(token)
        assert signers.tokens.signer(peeked, token) is not None
        took.append(time.perf_counter() - before)
    print(f"{algorithm}: best {min(took) * 1e6:.0f} us, median {sorted(took)[150] * 1e6:.0f} us")
    assert min(took) < 300e-6
