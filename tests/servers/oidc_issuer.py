"""A small OpenID Connect issuer: discovery and keys over http or https, rotation, misbehaviour.

    python -m tests.servers.oidc_issuer rotate DIR               sign with a new key from now on
    python -m tests.servers.oidc_issuer token DIR [-s SCOPE]... [--aud=AUDIENCE] [ACCOUNT]

Its keys and what it does with a request stand in its directory, and are read anew each time; so a
test changes them while it runs. `token` takes what `oidc-token` of oidc-agent takes, and gives the
groups that INDIGO IAM would: /wlcg and /wlcg/xfers by default, /wlcg/test when asked for.
"""

import argparse
import base64
import json
import ssl
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.servers.authority import Authority
from tests.servers.daemon import Daemon, free_port, main
from tests.servers.target import Target

ANY_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"
_GROUPS = ["/wlcg", "/wlcg/xfers"]
_OPTIONAL_GROUPS = ["/wlcg/test"]


class OidcIssuer(Daemon):
    """The process, with what a test does to it. Used from one thread."""

    @property
    def issuer(self) -> str:
        """What the claim `iss` holds."""
        return self.target.url

    def behave(self, how: str) -> None:
        """Answer in another way from now on; `_Handler` has the ways. "" is the right one.

        A `Cache-Control` is sent with the keys.
        """
        (self.directory / "behaviour").write_text(how)

    def rotate(self, *, keep: bool = True) -> None:
        """Sign with a new key from now on; without `keep` the others are published no more."""
        rotate(self.directory, keep=keep)

    def token(self, claims: dict[str, Any] | None = None, *, kid: str | None = None) -> str:
        """Sign claims with the newest key, or with the older one `kid`; None leaves a claim out."""
        return token(self.directory, self.issuer, claims or {}, kid)

    def kids(self) -> list[str]:
        """Name the published keys, the newest last."""
        return [file.stem for file in _published(self.directory)]

    def requests(self) -> list[str]:
        """List the paths that were asked for."""
        log = self.directory / "requests"
        return log.read_text().split() if log.exists() else []


def launch(directory: Path, *, authority: Authority | None = None, path: str = "") -> OidcIssuer:
    """Start an issuer with one key, whose URL ends with `path`."""
    port = free_port()
    url = f"{'https' if authority else 'http'}://127.0.0.1:{port}{path}/"
    if not _published(directory):
        rotate(directory)
    tls = (str(authority.certificate), str(authority.key)) if authority else ()
    argv = (sys.executable, "-m", __spec__.name, "run", str(directory), url, *tls)
    (directory / "issuer").write_text(url)
    target = Target(url=url, ca=authority.ca if authority else None)
    daemon = OidcIssuer(directory, argv, target)
    daemon.start()
    return daemon


def rotate(directory: Path, *, keep: bool = True) -> None:
    """Make a new signing key; without `keep` unpublish the others, whose holders keep them."""
    keys = directory / "keys"
    keys.mkdir(exist_ok=True)
    if not keep:
        for file in _published(directory):
            file.rename(file.with_suffix(".withdrawn"))
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    new = keys / f"{time.time_ns()}.new"
    new.write_bytes(pem)
    new.rename(new.with_suffix(".pem"))


def token(directory: Path, issuer: str, claims: dict[str, Any], kid: str | None = None) -> str:
    """Sign an access token as WLCG shapes it, with `claims` beside or instead of the usual ones."""
    file = _published(directory)[-1]
    if kid is not None:
        file = next((directory / "keys").glob(f"{kid}.*"))
    now = int(time.time())
    usual = {
        "iss": issuer,
        "sub": "a1b98335-9649-4fb0-961d-5a49ce108d49",
        "aud": ANY_AUDIENCE,
        "wlcg.ver": "1.0",
        "iat": now,
        "nbf": now,
        "exp": now + 1200,
        "jti": str(uuid.uuid4()),
    }
    whole = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode(whole, file.read_text(), algorithm="ES256", headers={"kid": file.stem})


def _published(directory: Path) -> list[Path]:
    return sorted((directory / "keys").glob("*.pem"))


def _jwk(file: Path) -> dict[str, str]:
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    numbers = key.public_key().public_numbers()

    def text(number: int) -> str:
        return base64.urlsafe_b64encode(number.to_bytes(32, "big")).decode().rstrip("=")

    place = {"x": text(numbers.x), "y": text(numbers.y)}
    return {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": file.stem, **place}


class _Handler(BaseHTTPRequestHandler):
    directory: Path
    issuer: str

    def do_GET(self) -> None:
        with (self.directory / "requests").open("a") as log:
            log.write(f"{self.path}\n")
        behaviour = self.directory / "behaviour"
        how = behaviour.read_text() if behaviour.exists() else ""
        base = self.issuer.rstrip("/")
        path = urlsplit(base).path
        place = f"{path}/.well-known/openid-configuration"
        if how == "oauth":
            place = f"/.well-known/oauth-authorization-server{path}"
        if how == "silent":
            time.sleep(60)
        elif how == "dribble":
            self._dribble()
        elif how == "error":
            self._answer(500, b"no")
        elif how == "redirect":
            self._answer(302, b"", Location=f"{base}/elsewhere")
        elif how == "html":
            self._answer(200, b"<html>")
        elif self.path == place:
            named = "https://elsewhere.example.org/" if how == "foreign" else self.issuer
            uri = "http://203.0.113.1/jwks" if how == "elsewhere" else f"{base}/jwks"
            self._answer(200, json.dumps({"issuer": named, "jwks_uri": uri}).encode())
        elif self.path == f"{path}/jwks":
            published = [_jwk(file) for file in _published(self.directory)]
            padding = "x" * 300_000 if how == "huge" else ""
            body = json.dumps({"keys": published, "padding": padding}).encode()
            headers = {"Cache-Control": how} if "max-age" in how or "no-" in how else {}
            self._answer(200, body, **headers)
        else:
            self._answer(404, b"no")

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _dribble(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(300):
            self.wfile.write(b" ")
            time.sleep(0.2)


def _run(directory: str, issuer: str, *tls: str) -> None:
    _Handler.directory, _Handler.issuer = Path(directory), issuer
    server = ThreadingHTTPServer(("127.0.0.1", urlsplit(issuer).port or 0), _Handler)
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def _print_token(directory: Path, arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="oidc-token")
    parser.add_argument("-s", "--scope", action="append", default=[])
    parser.add_argument("--aud", default="")
    parser.add_argument("account", nargs="?")
    asked = parser.parse_args(arguments)
    scopes = [scope for text in asked.scope for scope in text.split()]
    claims: dict[str, Any] = {"scope": " ".join(scopes)}
    groups = [scope.partition(":")[2] for scope in scopes if scope.startswith("wlcg.groups")]
    if groups:
        chosen = [group for group in groups if group in _GROUPS + _OPTIONAL_GROUPS]
        claims["wlcg.groups"] = chosen + [group for group in _GROUPS if group not in chosen]
    if asked.aud:
        audiences = asked.aud.split()
        claims["aud"] = audiences if len(audiences) > 1 else audiences[0]
    print(token(directory, (directory / "issuer").read_text(), claims))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", *arguments]:
            _run(*arguments)
        case ["rotate", name]:
            rotate(Path(name))
        case ["token", name, *arguments]:
            _print_token(Path(name), arguments)
        case _:
            main(launch)
