"""A gateway lets callers in by the tokens of a real issuer, and outlives that."""

import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.e2e.wire import Answer, ask
from tests.servers import headgate
from tests.servers.daemon import REPOSITORY, Daemon
from tests.servers.oidc_issuer import OidcIssuer
from tests.servers.target import Target

TABLES = """
[oidc.iam]
issuer = "{issuer}"

[[rules]]
path = "/memory"
who = ["scope"]
rights = ["list", "read", "create", "modify", "delete", "lock"]

[[rules]]
path = "/local"
who = ["anyone"]
rights = ["list", "read"]
"""


def launch(folder: Path, issuer: OidcIssuer) -> Daemon:
    return headgate.launch(folder, more=TABLES.format(issuer=issuer.issuer))


def show(target: Target, token: str, method: str = "GET", name: str = "memory/f") -> Answer:
    return ask(target, method, name, Authorization=f"Bearer {token}")


def test_rights_are_those_of_the_token(tmp_path: Path, issuer: OidcIssuer) -> None:
    reader = issuer.token({"scope": "storage.read:/memory"})
    writer = issuer.token({"scope": "storage.modify:/memory/f"})
    outsider = issuer.token({"scope": "openid"})
    with launch(tmp_path, issuer) as gateway:
        target = gateway.target
        assert show(target, reader).status == 404
        assert show(target, outsider).status == 403
        assert show(target, writer).status == 403
        assert show(target, writer, "PUT").status == 201
        assert show(target, writer, "PUT", "memory/g").status == 403
        assert show(target, reader).status == 200
        assert show(target, reader, "DELETE").status == 403
        assert show(target, issuer.token({"aud": "https://elsewhere.example.org"})).status == 401
        refused = show(target, issuer.token({"exp": int(time.time()) - 60}))
        assert refused.status == 401
        challenges = refused.headers.get_all("WWW-Authenticate", [])
        assert [challenge.split()[0] for challenge in challenges] == ["Basic", "Bearer"]


def test_the_gateway_starts_and_serves_without_the_issuer(
    tmp_path: Path, issuer: OidcIssuer
) -> None:
    token = issuer.token({"scope": "storage.read:/memory"})
    issuer.kill()
    with launch(tmp_path, issuer) as gateway:
        assert ask(gateway.target, "GET", "local/").status == 200
        refused = show(gateway.target, token)
        assert refused.status == 503
        assert int(refused.header("Retry-After")) >= 1
        issuer.start()
        end = time.monotonic() + 30
        while show(gateway.target, token).status != 404:
            assert time.monotonic() < end
            time.sleep(0.2)


def test_tokens_serve_while_the_issuer_is_down(tmp_path: Path, issuer: OidcIssuer) -> None:
    with launch(tmp_path, issuer) as gateway:
        first = issuer.token({"scope": "storage.read:/memory"})
        assert show(gateway.target, first).status == 404
        issuer.kill()
        second = issuer.token({"scope": "storage.read:/memory"})
        assert show(gateway.target, second).status == 404
        forged = f"{second[:-8]}AAAAAAAA"
        assert show(gateway.target, forged).status == 401


def test_a_reload_needs_no_issuer(tmp_path: Path, issuer: OidcIssuer) -> None:
    with launch(tmp_path, issuer) as gateway:
        token = issuer.token({"scope": "storage.read:/memory"})
        assert show(gateway.target, token).status == 404
        issuer.kill()
        config = str(gateway.directory / "headgate.toml")
        reload = (sys.executable, "-m", "vfs.cli", "reload", "--config", config)
        subprocess.run(reload, cwd=REPOSITORY, check=True, capture_output=True, timeout=30)
        other = issuer.token({"scope": "storage.read:/memory"})
        assert show(gateway.target, other).status == 404


def test_a_silent_issuer_keeps_nobody_else_waiting(tmp_path: Path, issuer: OidcIssuer) -> None:
    """A hundred requests that need its keys leave those of other callers quick."""
    issuer.behave("silent")
    with launch(tmp_path, issuer) as gateway:
        tokens = [issuer.token({"scope": "storage.read:/memory"}) for _ in range(100)]
        answers: list[int] = []
        threads = [
            threading.Thread(
                target=lambda token=token: answers.append(show(gateway.target, token).status)
            )
            for token in tokens
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert ask(gateway.target, "GET", "local/").status == 200
        assert len(answers) < len(tokens)
        for thread in threads:
            thread.join()
        assert answers == [503] * 100
