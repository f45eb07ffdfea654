"""Nothing odd gets as far as a signature; what is well made does."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vfs.auth.signers import Signers, encoded
from vfs.auth.errors import Unauthenticated
from vfs.auth.tokens import (
    ALGORITHMS,
    ANY_AUDIENCE,
    LEEWAY_SECONDS,
    TOKEN_MAX_BYTES,
    check_claims,
    peek,
    scope_words,
)

GATEWAY = ("https://gw.example.org", "other")
NOW = 1_700_000_000.0
SIGNATURE = encoded(b"s" * 64)


def made(header: bytes, claims: bytes = b"{}") -> str:
    return f"{encoded(header)}.{encoded(claims)}.{SIGNATURE}"


GOOD = made(b'{"alg":"ES256"}', b'{"sub":"alice"}')


def refused(token: str) -> str:
    with pytest.raises(Unauthenticated, match=r"^the token is not accepted: ") as caught:
        peek(token)
    return caught.value.detail


def test_a_token_is_read() -> None:
    peeked = peek(GOOD)
    assert (peeked.algorithm, peeked.name, peeked.claims) == ("ES256", "alice", {"sub": "alice"})


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_good_algorithms_are_taken(algorithm: str) -> None:
    assert peek(made(json.dumps({"alg": algorithm}).encode())).algorithm == algorithm


@pytest.mark.parametrize(
    "algorithm",
    [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "HS256",
        "HS384",
        "HS512",
        "ES256K",
        "rs256",
        "RS1",
        "RS256 ",
        "dir",
        "RSA-OAEP",
        "ES256\x00",
        0,
        None,
        True,
        ["RS256"],
        {"RS256": 1},
    ],
)
def test_other_algorithms_are_refused(algorithm: object) -> None:
    assert "its algorithm" in refused(made(json.dumps({"alg": algorithm}).encode()))
    assert "its algorithm" in refused(made(json.dumps({"typ": "JWT"}).encode()))


@pytest.mark.parametrize(
    "more",
    [
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/chain"},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"x5c": ["AAAA"]},
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"enc": "A128GCM"},
        {"typ": "logout+jwt"},
        {"typ": 1},
        {"kid": ["a"]},
        {"kid": {"a": 1}},
    ],
)
def test_headers_that_lead_elsewhere_are_refused(more: dict[str, object]) -> None:
    assert "header" in refused(made(json.dumps({"alg": "ES256", **more}).encode()))


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt"])
def test_usual_headers_are_taken(typ: str) -> None:
    header = {"alg": "ES256", "typ": typ, "kid": "../../dev/null", "x5t": "AAAA"}
    assert peek(made(json.dumps(header).encode())).header == header


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "....",
        "a.b.c",
        GOOD.rpartition(".")[0],
        GOOD.rpartition(".")[0] + ".",
        GOOD + ".",
        GOOD + "." + SIGNATURE,
        "." + GOOD,
        GOOD + ".a.b",
        GOOD + "=",
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace(".", ". ", 1),
        GOOD[:-1],
        GOOD[:10] + "+" + GOOD[11:],
        GOOD[:10] + "é" + GOOD[11:],
        GOOD[:10] + "\x00" + GOOD[11:],
        GOOD[:10] + "\ud800" + GOOD[11:],
        GOOD.replace(".", "%2E"),
        "Bearer " + GOOD,
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    refused(token)


def test_a_second_spelling_of_a_signature_is_refused() -> None:
    """The last character has bits that say nothing; a revoked token must not come back by them."""
    assert SIGNATURE[-1] == "w"  # 86 characters for 64 bytes: four bits are spare
    for last in "xyz01":
        refused(GOOD[:-1] + last)


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"1",
        b'"text"',
        b"\xff{}",
        b'{"sub":"\xff"}',
        b'\xef\xbb\xbf{"sub":"a"}',
        b'{"sub":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"sub":"alice","sub":"bob"}',
        b'{"sub":"alice","\\u0073ub":"bob"}',
        b'{"a":{"b":1,"b":2}}',
        b'{"exp":NaN}',
        b'{"exp":Infinity}',
        b'{"exp":-Infinity}',
        b'{"exp":' + b"9" * 5000 + b"}",
        b'{"a":' + b"[" * 5000,
        b'{"a":' + b"[" * 2500 + b"]" * 2500 + b"}",
        b'{"a":' * 201 + b"1" + b"}" * 201,
        b'{"sub":"a"} {}',
        b"{'sub':'a'}",
    ],
    ids=range(23),
)
def test_odd_json_is_refused(part: bytes) -> None:
    refused(made(b'{"alg":"ES256"}', part))
    refused(made(part))


@pytest.mark.parametrize("claim", ["iss", "sub", "email", "jti", "share"])
@pytest.mark.parametrize("value", [1, None, True, [], {}, ["alice"]])
def test_names_must_be_text(claim: str, value: object) -> None:
    assert claim in refused(made(b'{"alg":"ES256"}', json.dumps({claim: value}).encode()))


def test_a_long_token_is_refused_at_once() -> None:
    head = encoded(b'{"alg":"ES256"}')
    fill = "A" * ((TOKEN_MAX_BYTES - len(head) - len(SIGNATURE) - 2) // 4 * 4)
    assert "JSON" in refused(f"{head}.{fill}.{SIGNATURE}")
    before = time.perf_counter()
    assert "longer than 8192 bytes" in refused(f"{head}.{'A' * 1_000_000}.{SIGNATURE}")
    assert time.perf_counter() - before < 0.05


def test_an_encrypted_token_is_told_from_a_signed_one() -> None:
    assert "encrypted" in refused("a.b.c.d.e")


@given(
    st.text(max_size=60) | st.binary(max_size=60).map(lambda part: made(b'{"alg":"EdDSA"}', part))
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        peeked = peek(text)
    except Unauthenticated:
        return
    assert peeked.algorithm in ALGORITHMS


def test_the_text_of_a_token_is_in_no_message(signers: Signers) -> None:
    token = signers.token(header={"jku": "https://evil"})
    detail = refused(token)
    assert not any(part in detail for part in token.split("."))
    long = "A" * 3000
    assert long[:100] not in refused(made(json.dumps({"alg": long}).encode()))


def test_the_id_is_that_of_what_is_signed() -> None:
    """Another signature of the same claims, which a bearer may be able to make, is the same."""
    other = GOOD.rpartition(".")[0] + "." + encoded(b"t" * 64)
    assert peek(GOOD).id == peek(other).id
    assert peek(GOOD).id != peek(made(b'{"alg":"ES256"}', b'{"sub":"bob"}')).id


def test_a_jti_counts_for_its_maker_alone() -> None:
    def of(**claims: object) -> str:
        return peek(made(b'{"alg":"ES256"}', json.dumps(claims).encode())).id

    assert of(sub="alice", jti="1", exp=1) == of(sub="alice", jti="1", exp=2)
    ids = {
        of(sub="alice", jti="1"),
        of(sub="alice", jti="2"),
        of(sub="bob", jti="1"),
        of(email="alice", jti="1"),
        of(iss="alice", jti="1"),
        of(iss="https://a", sub="alice", jti="1"),
        of(sub='alice", null, "1'),
    }
    assert len(ids) == 7
    assert of(sub="alice", jti="", exp=1) != of(sub="alice", jti="", exp=2)


def claims_refused(claims: dict[str, object], audience: tuple[str, ...] = GATEWAY) -> str:
    with pytest.raises(Unauthenticated) as caught:
        check_claims({"exp": NOW + 60, **claims}, audience, NOW)
    return caught.value.detail


def test_good_times_pass_with_leeway() -> None:
    assert check_claims({"exp": NOW + 60}, GATEWAY, NOW) == NOW + 60 + LEEWAY_SECONDS
    assert check_claims({"exp": NOW + 0.5, "nbf": NOW, "iat": NOW}, GATEWAY, NOW) > NOW
    early: dict[str, object] = {
        "exp": int(NOW) + 60,
        "nbf": NOW + LEEWAY_SECONDS,
        "iat": NOW + LEEWAY_SECONDS,
    }
    check_claims(early, GATEWAY, NOW)
    check_claims({"exp": NOW - LEEWAY_SECONDS + 1}, GATEWAY, NOW)


def test_bad_times_are_refused() -> None:
    with pytest.raises(Unauthenticated, match="no end"):
        check_claims({}, GATEWAY, NOW)
    assert "expired at 2023-11-14T22:12:50Z" in claims_refused({"exp": NOW - LEEWAY_SECONDS})
    assert "holds from" in claims_refused({"nbf": NOW + LEEWAY_SECONDS + 1})
    assert "holds from" in claims_refused({"iat": NOW + LEEWAY_SECONDS + 1})


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [
        "abc",
        "1700000060",
        "",
        None,
        True,
        False,
        [],
        [1700000060],
        {},
        -1,
        -0.1,
        1e309,
        -1e309,
        float("nan"),
        10**400,
        1e300,
        2**63,
        9000000001,
    ],
)
def test_what_is_no_time_is_refused(claim: str, value: object) -> None:
    assert f"{claim!r} is no time" in claims_refused({claim: value})


@pytest.mark.parametrize(
    "aud", ["other", ["x", "other"], ["https://gw.example.org"], ANY_AUDIENCE, ["x", ANY_AUDIENCE]]
)
def test_the_audience_is_met(aud: object) -> None:
    check_claims({"exp": NOW + 60, "aud": aud}, GATEWAY, NOW)


@pytest.mark.parametrize(
    "aud",
    [
        "x",
        "",
        [],
        ["x", ""],
        "https://gw.example.org/x",
        "https://gw.example.org.evil",
        "Other",
        "othe",
    ],
)
def test_another_audience_is_refused(aud: object) -> None:
    assert "get one for 'https://gw.example.org'" in claims_refused({"aud": aud})
    assert "set [auth] audience" in claims_refused({"aud": aud}, ())


@pytest.mark.parametrize(
    "aud", [None, 1, True, {}, {"other": 1}, ["other", 1], [["other"]], [None]]
)
def test_an_audience_of_another_type_is_refused(aud: object) -> None:
    assert "neither a text nor a list" in claims_refused({"aud": aud})


def test_scopes_are_text_or_a_list() -> None:
    assert scope_words({}) == ()
    assert scope_words({"scope": " read:/a  write:/b "}) == ("read:/a", "write:/b")
    assert scope_words({"scope": ["read:/a", "openid"]}) == ("read:/a", "openid")
    assert scope_words({"scp": ["read:/a"]}) == ("read:/a",)
    assert scope_words({"scope": "read:/a\u2003b\tc"}) == ("read:/a\u2003b\tc",)
    odds: list[object] = [None, 1, True, {}, ["read:/a", 1]]
    for odd in odds:
        with pytest.raises(Unauthenticated, match="scope"):
            scope_words({"scope": odd})
