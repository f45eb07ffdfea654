"""Shares over HTTP: made by POST, listed by GET, ended by DELETE; tokens are shown once."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.vfs.http.asking import Answer, ask
from vfs.auth.caller import Caller
from vfs.auth.gateway_key import GatewayKey
from vfs.auth.gateway_tokens import GatewayTokens
from vfs.auth.right import Right
from vfs.auth.rights import Rights, Rule
from vfs.auth.shares import Shares
from vfs.auth.tokens import peek
from vfs.auth.users import Users
from vfs.auth.vault import Vault
from vfs.http.gate import Gate
from vfs.http.sharing import BODY_MAX_BYTES, SHARES_NAME, Sharing
from vfs.state.accounts import UserRecord
from vfs.state.sqlite import SqliteStore

HOME = f"/{SHARES_NAME}"
JSON = {"content-type": "application/json"}


class Site:
    """A gate with nothing but shares behind it; the header X-User says who asks."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "state.db")
        self.store.put_user(UserRecord(name="ann"))
        rights = Rights(
            [Rule(path="/a", who=frozenset({"user:ann"}), rights=frozenset(Right) - {Right.ADMIN})]
        )
        key = GatewayKey(self.store, Vault(bytes(32)))
        self.tokens = GatewayTokens(self.store, key, Users((), self.store), ())
        sharing = Sharing(Shares(self.store, lambda: rights, lambda: self.tokens))
        self.pages = {SHARES_NAME: sharing.handle}
        self.gate = self.gate_at("")

    def gate_at(self, public_url: str) -> Gate:
        return Gate({}, pages=self.pages, authenticate=_by_header, public_url=public_url)

    def ask(
        self,
        method: str,
        target: str = HOME,
        *,
        body: object = None,
        user: str = "ann",
        headers: Mapping[str, str] = JSON,
        gate: Gate | None = None,
    ) -> Answer:
        """Send a request by `user`; a body that is not bytes goes as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return ask(gate or self.gate, method, target, body, {"x-user": user, **headers})


def _by_header(headers: Mapping[str, str], address: str) -> Caller:
    return Caller(name=headers["x-user"] or None, credential="password", address=address)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Open a site with one user."""
    site = Site(tmp_path)
    yield site
    site.store.close()


def test_a_share_is_made_listed_and_ended(site: Site) -> None:
    made = site.ask("POST", body={"path": "/a/x y", "seconds": 3600, "note": "for Carl"})
    assert made.status == 201
    assert made.headers["content-type"] == "application/json"
    assert made.headers["cache-control"] == "no-store"
    share = json.loads(made.body)
    assert set(share) == {"id", "scopes", "note", "created", "expires", "token", "url", "curl"}
    assert site.tokens.verify(peek(share["token"]), share["token"]).credential == (
        f"share:{share['id']}"
    )
    listed = site.ask("GET")
    assert share["token"] not in listed.body.decode()
    (shown,) = json.loads(listed.body)["shares"]
    assert shown == {key: share[key] for key in ("id", "scopes", "note", "created", "expires")}
    assert shown["scopes"] == ["storage.read:/a/x%20y"]
    ended = site.ask("DELETE", f"{HOME}/{share['id']}")
    assert (ended.status, ended.body) == (204, b"")
    assert json.loads(site.ask("GET").body) == {"shares": []}
    assert site.ask("DELETE", f"{HOME}/{share['id']}").status == 404


def test_the_url_has_the_token_as_its_password(site: Site) -> None:
    share = json.loads(site.ask("POST", body={"path": "/a/x y'"}).body)
    parts = urlsplit(share["url"])
    assert (parts.scheme, parts.username, parts.password) == ("http", "share", share["token"])
    assert (parts.hostname, unquote(parts.path), parts.query) == ("gw.test", "/a/x y'", "")
    assert share["curl"] == f"curl --fail {share['url']}"


def test_the_public_url_is_used_with_its_path(site: Site) -> None:
    gate = site.gate_at("https://gw.example.org:444/data/")
    share = json.loads(site.ask("POST", body={"path": "/a"}, gate=gate).body)
    assert share["url"] == f"https://share:{share['token']}@gw.example.org:444/data/a"


def test_what_is_to_be_written_is_told_as_an_upload(site: Site) -> None:
    share = json.loads(site.ask("POST", body={"path": "/a", "rights": ["create"]}).body)
    assert share["curl"].startswith("curl --fail --upload-file FILE ")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "no share such as"),
        (b"{", "no share such as"),
        (b"\xff", "no share such as"),
        (b'{"path": "\\ud800"}', "no share such as"),
        ([], "Expected `object`"),
        ({}, "missing required field `path`"),
        ({"path": 5}, "Expected `str`"),
        ({"path": "/a", "right": "read"}, "unknown field `right`"),
        ({"path": "/a", "rights": ["admin"]}, "Invalid enum value 'admin'"),
        ({"path": "/a", "rights": []}, "at least one of: read, create, modify"),
        ({"path": "/a", "rights": "read"}, "Expected `array`"),
        ({"path": "/a", "seconds": 0}, "between one second and 366 days"),
        ({"path": "/a", "seconds": 10**30}, "between one second and 366 days"),
        ({"path": "/a", "seconds": "1"}, "Expected `int`"),
        ({"path": "/a", "note": "a\nb"}, "on one line"),
        ({"path": "/a/../c"}, "a path"),
        ({"path": "a"}, "a path starts with a slash"),
        ({"path": "/.headgate-x"}, "belong to the gateway"),
    ],
)
def test_a_body_that_is_no_share_is_400_with_the_cause(site: Site, body: object, told: str) -> None:
    answer = site.ask("POST", body=body)
    assert (answer.status, told in answer.body.decode()) == (400, True), answer.body
    assert site.store.shares() == []


def test_a_body_that_is_too_large_is_413(site: Site) -> None:
    body = {"path": "/a", "note": "x" * BODY_MAX_BYTES}
    assert site.ask("POST", body=body).status == 413


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_type_that_pages_of_other_sites_can_send_is_415(site: Site, kind: str) -> None:
    answer = site.ask("POST", body={"path": "/a"}, headers={"content-type": kind})
    assert (answer.status, site.store.shares()) == (415, [])


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [("PUT", HOME, "POST"), ("PROPFIND", HOME, "POST"), ("GET", f"{HOME}/0", "DELETE")],
)
def test_other_methods_are_405(site: Site, method: str, target: str, allowed: str) -> None:
    answer = site.ask(method, target)
    assert (answer.status, allowed in answer.headers["allow"]) == (405, True)


@pytest.mark.parametrize("user", ["", "eve"])
def test_who_may_not_is_refused(site: Site, user: str) -> None:
    assert site.ask("POST", body={"path": "/a"}, user=user).status == 403
    assert site.ask("DELETE", f"{HOME}/{'0' * 16}", user=user).status == (404 if user else 403)


def test_a_host_that_is_none_gets_into_no_url(site: Site) -> None:
    headers = {**JSON, "host": "gw.test'; rm -rf ~; '"}
    answer = site.ask("POST", body={"path": "/a"}, headers=headers)
    assert (answer.status, site.store.shares()) == (400, [])
