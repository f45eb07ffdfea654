"""KeySet: the public keys that an issuer signs with (RFC 7517)."""

from typing import Any

import jwt
import msgspec

from vfs.auth.download import Unavailable
from vfs.auth.keys import Verifying, public_key

KEYS_MAX = 64

_MATERIAL = ("kty", "crv", "n", "e", "x", "y")
_NAMES = ("kid", "use", "alg")


class Key(msgspec.Struct, frozen=True):
    """One public key, what it is called and which algorithms it may verify."""

    kid: str | None
    algorithms: frozenset[str]
    public: Verifying


class KeySet:
    """The usable keys of one answer of an issuer. Fixed."""

    def __init__(self, document: dict[str, Any]) -> None:
        """Take the keys of a JWK set; raise Unavailable when it has none that serves.

        Keys of other kinds and for other uses may stand beside them.
        """
        listed = document.get("keys")
        if not isinstance(listed, list) or len(listed) > KEYS_MAX:
            raise Unavailable(f"the key set is no list of at most {KEYS_MAX} keys")
        self._keys = tuple(key for key in map(_parse, listed) if key is not None)
        if not self._keys:
            raise Unavailable("the key set has no public key for signatures that is strong enough")

    def fitting(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """Return the keys that a token of this header may be signed with."""
        return tuple(
            key
            for key in self._keys
            if algorithm in key.algorithms and (kid is None or key.kid in (None, kid))
        )

    def names(self, kid: str | None) -> bool:
        """Tell whether there is a key that is called just that."""
        return kid is not None and any(key.kid == kid for key in self._keys)


def _parse(listed: Any) -> Key | None:  # noqa: ANN401 - JSON of a stranger
    """Return a key of a JWK set, None when it is none that signatures are checked with here.

    One that is published with its private half is nobody's key any more.
    """
    if not isinstance(listed, dict) or "d" in listed:
        return None
    texts = {name: listed[name] for name in _MATERIAL + _NAMES if name in listed}
    if not all(isinstance(text, str) for text in texts.values()):
        return None
    operations = listed.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if texts.get("use", "sig") != "sig":
        return None
    try:
        # What it may be used for is ours to say, so the library is not told of "alg".
        loaded = jwt.PyJWK({name: texts[name] for name in _MATERIAL if name in texts}).key
        known = public_key(loaded)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    algorithms = frozenset(known.algorithms)
    if "alg" in texts:
        algorithms &= {texts["alg"]}
    return Key(texts.get("kid"), algorithms, known.key) if algorithms else None
