"""What is revoked is refused within seconds by every process that shares the state."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests import planted
from tests.e2e import accounts
from tests.e2e.wire import ask
from tests.servers import headgate
from tests.servers.daemon import Daemon
from tests.servers.oidc_issuer import OidcIssuer
from tests.servers.target import Target

REVOKED_SECONDS = 5

OIDC = """
[oidc.iam]
issuer = "{issuer}"
"""


class Credential(NamedTuple):
    """Something to log in with, and what ends it."""

    kind: str
    show: Callable[[Target], int]
    revoke: Callable[[], object]


@pytest.fixture
def pair(tmp_path: Path, issuer: OidcIssuer) -> Iterator[tuple[Daemon, Daemon]]:
    """Two processes with ports of their own over the same files and the same state."""
    mounts = {headgate.LOCAL: {"provider": "local", "root": str(tmp_path / "files")}}
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "f").write_bytes(b"x")
    options = {"mounts": mounts, "state": tmp_path / "state"}
    more = OIDC.format(issuer=issuer.issuer)
    with (
        accounts.launch(tmp_path / "one", more, **options) as one,
        accounts.launch(tmp_path / "two", more, **options) as two,
    ):
        yield one, two


def test_revocation_holds_in_both_within_five_seconds(
    pair: tuple[Daemon, Daemon], issuer: OidcIssuer, tmp_path: Path
) -> None:
    """Each kind of credential is remembered by both, then revoked, one after the other."""
    took: dict[str, float] = {}
    for credential in credentials(pair[0], issuer, tmp_path):
        for daemon in pair:
            assert [credential.show(daemon.target) for _ in "ab"] == [200, 200], credential.kind
        credential.revoke()
        begin = time.monotonic()
        waiting = list(pair)
        while waiting:
            assert time.monotonic() - begin < REVOKED_SECONDS, credential.kind
            waiting = [daemon for daemon in waiting if credential.show(daemon.target) != 401]
            time.sleep(0.01)
        took[credential.kind] = time.monotonic() - begin
    print("".join(f"\n{kind:24} {seconds:5.2f} s" for kind, seconds in took.items()))
    print(f"slowest: {max(took.values()):.2f} s")


def credentials(daemon: Daemon, issuer: OidcIssuer, folder: Path) -> Iterator[Credential]:
    """Yield one of each kind, made when its turn comes."""

    def run(*arguments: str | Path, given: str = "") -> str:
        return accounts.command(daemon, *arguments, given=given)

    def revoking(token: str) -> Callable[[], object]:
        return lambda: run("token", "revoke", given=token)

    first = accounts.add_user(daemon, "ann")
    yield Credential(
        "password changed",
        by_password("ann", first),
        lambda: run("user", "passwd", "ann", given=planted.plant()),
    )
    private, public = key_pair(folder)
    second = accounts.add_user(daemon, "bob", "--key", public)
    phone = accounts.add_app_password(daemon, "bob", "phone")
    yield Credential(
        "app password revoked",
        by_password("bob", phone),
        lambda: run("app-password", "revoke", "bob", "phone"),
    )
    signed = planted.add(accounts.plain("token", "issue", "--user", "bob", "--key", private))
    yield Credential("token of a user", by_token(signed), revoking(signed))
    other = planted.add(
        accounts.plain("token", "issue", "--user", "bob", "--key", private, "--expires", "2h")
    )
    yield Credential(
        "key of a user", by_token(other), lambda: run("user", "change", "bob", "--no-keys")
    )
    issued = planted.add(run("token", "issue", "--user", "bob"))
    yield Credential("token of the gateway", by_token(issued), revoking(issued))
    foreign = planted.add(issuer.token({"scope": "storage.read:/"}))
    yield Credential("token of an issuer", by_token(foreign), revoking(foreign))
    made = run("share", "make", "/local/f", "--user", "bob")
    told = dict(line.split(": ", 1) for line in made.splitlines())
    share = planted.add(told["token"].strip())
    yield Credential(
        "share revoked", by_token(share), lambda: run("share", "revoke", told["id"].strip())
    )
    yield Credential(
        "user removed", by_password("bob", second), lambda: run("user", "remove", "bob")
    )


def by_password(name: str, password: str) -> Callable[[Target], int]:
    return lambda target: ask(accounts.as_user(target, name, password), "GET", "local/f").status


def by_token(token: str) -> Callable[[Target], int]:
    return lambda target: ask(target, "GET", "local/f", Authorization=f"Bearer {token}").status


def key_pair(folder: Path) -> tuple[Path, Path]:
    """Write a key, and its public half."""
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / "key.pem", folder / "public.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public
