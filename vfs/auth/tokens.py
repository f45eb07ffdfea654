"""Tokens before anybody is believed: their form, their times, whom they are for.

A token is a signed JWT (RFC 7519) in compact form. What is read here is hostile until the one who
knows the right key has verified the signature.
"""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm

from vfs.auth.errors import Unauthenticated
from vfs.auth.keys import Verifying
from vfs.state.accounts import AccountStore

TOKEN_MAX_BYTES = 8 * 1024
LEEWAY_SECONDS = 30

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
ID = re.compile("[0-9a-f]{32}")
ANY_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"

_PART = re.compile("[A-Za-z0-9_-]+")
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
# Keys come from the gateway's own list, never from the token. What is critical, compressed or
# nested would be read in another way than here.
_REFUSED_HEADERS = ("crit", "b64", "zip", "cty", "enc", "jku", "jwk", "x5u", "x5c")
_TEXT_CLAIMS = ("iss", "sub", "email", "jti", "share")
LATEST_SECONDS = 9_000_000_000  # in the year 2255; nanoseconds beyond 2262 fit no 64 bits
_ECHOED = 20
_BRACKETS_MAX = 200

_SIGNED = {name: jwt.get_algorithm_by_name(name) for name in ALGORITHMS}
_MALFORMED = "it is no signed token (three parts of base64url, joined by dots)"


class Peeked(msgspec.Struct, frozen=True):
    """What a token says of itself. Nothing of it is verified.

    `id` is what it is revoked by: its `jti` with all that names its maker, or else the digest of
    what is signed. It does not depend on the signature, which its bearer may be able to vary.
    """

    header: dict[str, object]
    claims: dict[str, object]
    id: str

    @property
    def algorithm(self) -> str:
        """Return the algorithm that it says it is signed with, one of ALGORITHMS."""
        return str(self.header["alg"])

    @property
    def name(self) -> str:
        """Return whom it claims to be, for the audit log."""
        return str(self.claims.get("sub") or self.claims.get("email") or "")


def peek(text: str) -> Peeked:
    """Read a token without believing it; Unauthenticated when it is malformed or out of bounds."""
    if len(text) > TOKEN_MAX_BYTES:
        raise _refused(f"it is longer than {TOKEN_MAX_BYTES} bytes")
    parts = text.split(".")
    if len(parts) == 5:  # noqa: PLR2004 - the parts of JWE, RFC 7516
        raise _refused("it is encrypted; send one that is signed")
    if len(parts) != 3:  # noqa: PLR2004 - the parts of JWS, RFC 7515
        raise _refused(_MALFORMED)
    header, claims = _object(_bytes(parts[0])), _object(_bytes(parts[1]))
    _check_header(header)
    _bytes(parts[2])
    for name in _TEXT_CLAIMS:
        if not isinstance(claims.get(name, ""), str):
            raise _refused(f"its claim {name!r} is no text")
    return Peeked(header, claims, _id(claims, f"{parts[0]}.{parts[1]}"))


def fits(text: str, key: Verifying, algorithm: str) -> bool:
    """Tell whether the signature of a peeked token is by `key`, made with just this algorithm.

    The key must be one for this algorithm. `peek` has judged the header, so nothing reads it again.
    """
    signed, _, signature = text.rpartition(".")
    try:
        return _SIGNED[algorithm].verify(signed.encode(), key, _bytes(signature))
    except (UnsupportedAlgorithm, ValueError, TypeError):
        return False


def check_claims(claims: dict[str, object], audience: tuple[str, ...], now: float) -> float:
    """Return until when a token is good, in Unix seconds: `exp` with the leeway.

    Raises Unauthenticated unless it has an `exp` to come, no `nbf` or `iat` ahead and, if it has
    an `aud`, one of `audience` in it or the wildcard of WLCG.
    """
    ends = good_until(claims)
    if now >= ends:
        raise _refused(f"it expired at {moment(ends - LEEWAY_SECONDS)}; get a new one")
    for name in ("nbf", "iat"):
        begins = time_of(claims, name)
        if begins is not None and now < begins - LEEWAY_SECONDS:
            raise _refused(f"it holds from {moment(begins)} on; check the clocks")
    if "aud" in claims and not _is_for(claims["aud"], audience):
        raise _refused(
            f"it is for another service (claim 'aud'); get one for {audience[0]!r}"
            if audience
            else "it is for a service (claim 'aud'), and this gateway has no name to be meant by;"
            " set [auth] audience"
        )
    return ends


def good_until(claims: dict[str, object]) -> float:
    """Return `exp` with the leeway, in Unix seconds; Unauthenticated when there is none."""
    ends = time_of(claims, "exp")
    if ends is None:
        raise _refused("it has no end (claim 'exp'); make one that expires")
    return ends + LEEWAY_SECONDS


def check_revoked(peeked: Peeked, store: AccountStore) -> None:
    """Raise Unauthenticated for a token that was revoked."""
    if store.is_revoked(peeked.id):
        raise _refused("it was revoked; get a new one")


def scope_words(claims: dict[str, object]) -> tuple[str, ...]:
    """Return the words of the claim `scope`, a text or a list, or else of `scp`.

    Unauthenticated when it is neither.
    """
    claim = claims.get("scope", claims.get("scp", ""))
    if isinstance(claim, str):
        # Nothing but a space parts words: any other blank may belong to a path.
        return tuple(word for word in claim.split(" ") if word)
    if isinstance(claim, list) and all(isinstance(word, str) for word in claim):
        return tuple(claim)
    raise _refused("its claim 'scope' is neither a text nor a list of texts")


def time_of(claims: dict[str, object], name: str) -> float | None:
    """Return a claim that is a time in Unix seconds, None if it is not there; Unauthenticated."""
    if name not in claims:
        return None
    value = claims[name]
    # A bool is an int to Python, and an int or float may be beyond all dates.
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value <= LATEST_SECONDS
    ):
        return float(value)
    raise _refused(f"its claim {name!r} is no time in seconds since 1970")


def moment(seconds: float) -> str:
    """Return a time as people and programs read it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_header(header: dict[str, object]) -> None:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        shown = f"{algorithm[:_ECHOED]!r}" if isinstance(algorithm, str) else "none"
        raise _refused(
            f"its algorithm ({shown}) is not taken; sign with RS256 to 512, PS256 to 512, ES256 to"
            " 512 or EdDSA"
        )
    for name in _REFUSED_HEADERS:
        if name in header:
            raise _refused(f"its header holds {name!r}, which is not taken; leave it out")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.casefold() not in _TYPES:
        raise _refused("its header names another type than JWT; leave 'typ' out")
    if not isinstance(header.get("kid", ""), str):
        raise _refused("the 'kid' in its header is no text")


def _bytes(part: str) -> bytes:
    """Decode one part in the one way that it can be written: no padding, no stray bits."""
    if _PART.fullmatch(part) is None or len(part) % 4 == 1:
        raise _refused(_MALFORMED)
    decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(decoded).decode().rstrip("=") != part:
        raise _refused(_MALFORMED)
    return decoded


def _object(data: bytes) -> dict[str, object]:
    if data.count(b"{") + data.count(b"[") > _BRACKETS_MAX:
        raise _refused("a part of it is nested too deep")
    try:
        value = _JSON.decode(data.decode())
        if b"\\" in data:
            # An escape can smuggle in a lone surrogate, which can be neither stored nor logged.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise _refused("a part of it is no JSON of plain, unique names") from error
    if not isinstance(value, dict):
        raise _refused("a part of it is no JSON object")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _id(claims: dict[str, object], signed: str) -> str:
    if claims.get("jti"):
        named = [claims.get(name) for name in ("iss", "sub", "email", "jti")]
        signed = json.dumps(named)
    return hashlib.sha256(signed.encode()).hexdigest()[:32]


def _is_for(claim: object, audience: tuple[str, ...]) -> bool:
    named = claim if isinstance(claim, list) else [claim]
    if not all(isinstance(one, str) for one in named):
        raise _refused("its claim 'aud' is neither a text nor a list of texts")
    return any(one == ANY_AUDIENCE or one in audience for one in named)


def _refused(cause: str) -> Unauthenticated:
    return Unauthenticated(f"the token is not accepted: {cause}")
