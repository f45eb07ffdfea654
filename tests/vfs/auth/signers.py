"""Users with keys, and tokens that are well or badly made."""

import base64
import json
import time
from collections.abc import Mapping

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vfs.auth.caller import Caller
from vfs.auth.key_tokens import KeyTokens
from vfs.auth.keys import Signing
from vfs.auth.tokens import peek
from vfs.auth.users import User, Users
from vfs.state.base import StateStore

AUDIENCE = ("https://gw.example.org",)


def encoded(data: bytes) -> str:
    """Return a part of a token."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Signers:
    """Alice signs with one key of each kind, Bob with a key of each kind of his own."""

    ALGORITHMS = ("RS256", "ES256", "EdDSA")

    def __init__(self, store: StateStore) -> None:
        self.store = store
        self.alice = self._keys()
        self.bob = self._keys()
        self.users = Users(
            [
                User(
                    name="alice",
                    email="alice@example.org",
                    groups=frozenset({"lofar"}),
                    public_keys=tuple(map(self.pem, self.alice.values())),
                ),
                User(
                    name="bob",
                    email="bob@example.org",
                    public_keys=tuple(map(self.pem, self.bob.values())),
                ),
                User(name="eve", public_keys=("nonsense", self.pem(self.bob["ES256"]))),
            ],
            store,
        )
        self.tokens = KeyTokens(self.users, store, AUDIENCE)

    def _keys(self) -> dict[str, Signing]:
        return {
            "RS256": rsa.generate_private_key(65537, 2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }

    @staticmethod
    def pem(key: Signing) -> str:
        """Return the public half of a key."""
        form = PublicFormat.SubjectPublicKeyInfo
        return key.public_key().public_bytes(Encoding.PEM, form).decode()

    @staticmethod
    def claims(**changes: object) -> dict[str, object]:
        """Return claims of Alice's that are good for an hour; a change to None leaves one out."""
        claims = {"sub": "alice", "exp": int(time.time()) + 3600, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self,
        algorithm: str = "ES256",
        *,
        header: Mapping[str, object] | None = None,
        key: Signing | None = None,
        claims: Mapping[str, object] | None = None,
        **changes: object,
    ) -> str:
        """Return a token of Alice's, or one signed with `key`."""
        content = json.dumps(self.claims(**(claims or {}), **changes)).encode()
        return self.signed(content, algorithm, header=header, key=key)

    def signed(
        self,
        claims: bytes,
        algorithm: str = "ES256",
        *,
        header: Mapping[str, object] | bytes | None = None,
        key: Signing | None = None,
    ) -> str:
        """Sign any bytes as claims under any header: what is odd in it was made by its signer."""
        if not isinstance(header, bytes):
            header = json.dumps({"alg": algorithm, **(header or {})}).encode()
        text = f"{encoded(header)}.{encoded(claims)}"
        method = jwt.get_algorithm_by_name(algorithm)
        return f"{text}.{encoded(method.sign(text.encode(), key or self.alice[algorithm]))}"

    def verify(self, token: str) -> Caller:
        """Return whom a token is taken for."""
        return self.tokens.verify(peek(token), token)
