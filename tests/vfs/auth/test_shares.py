"""A share lends what its maker has, for a time, and never more."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.errors import Denied, InvalidPath
from vfs.auth.caller import ANONYMOUS, Caller
from vfs.auth.errors import Unauthenticated
from vfs.auth.gateway_key import GatewayKey
from vfs.auth.gateway_tokens import GatewayTokens
from vfs.auth.right import Grant, Right
from vfs.auth.rights import Rights, Rule
from vfs.auth.shares import NOTE_MAX_CHARACTERS, SHARE_SECONDS_MAX, Shares, Verb
from vfs.auth.tokens import peek
from vfs.auth.users import Users
from vfs.auth.vault import Vault
from vfs.state.accounts import UserRecord
from vfs.state.errors import NoSuchAccount
from vfs.state.sqlite import SqliteStore

ALL = frozenset(Right) - {Right.ADMIN}
ANN = Caller(name="ann", credential="password")
BEN = Caller(name="ben", credential="password")
ROOT = Caller(name="root", credential="password")
DAY = 86_400


def rule(path: str, who: str, rights: frozenset[Right]) -> Rule:
    return Rule(path=path, who=frozenset({who}), rights=rights)


class Site:
    """A gateway's accounts: `ann` may do all at /a, `ben` may read and share /a/b, `root` rules."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "state.db")
        for name in ("ann", "ben", "root"):
            self.store.put_user(UserRecord(name=name))
        self.rights = Rights(
            [
                rule("/a", "user:ann", ALL),
                rule("/a/b", "user:ben", frozenset({Right.LIST, Right.READ, Right.SHARE})),
                rule("/c", "user:ann", ALL - {Right.SHARE}),
                rule("/", "user:root", frozenset({Right.ADMIN})),
            ]
        )
        users = Users((), self.store)
        key = GatewayKey(self.store, Vault(bytes(32)))
        self.tokens = GatewayTokens(self.store, key, users, ("https://gw.example.org",))
        self.shares = Shares(self.store, lambda: self.rights, lambda: self.tokens)

    def bearer(self, token: str) -> Caller:
        """Return whom a token lets in."""
        return self.tokens.verify(peek(token), token)

    def may(self, token: str, path: str) -> set[str]:
        """Return what the bearer of a token may do at a path."""
        caller = self.bearer(token)
        return {str(right) for right in Right if self.rights.allows(caller, path, right)}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Open an empty state store and its accounts."""
    site = Site(tmp_path)
    yield site
    site.store.close()


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("read", {"list", "read"}),
        ("create", {"create"}),
        ("modify", {"create", "modify", "delete", "lock"}),
    ],
)
def test_the_bearer_may_do_what_was_lent_where_it_was_lent(
    site: Site, verb: Verb, expected: set[str]
) -> None:
    _, token = site.shares.make(ANN, "/a/x", [verb])
    assert site.may(token, "/a/x") == expected
    assert site.may(token, "/a/x/deep/er") == expected
    for path in ("/a", "/a/xy", "/a/b", "/", "/c"):
        assert site.may(token, path) == set()


@pytest.mark.parametrize("path", ["/a/50% of/ü:#?", "/a/\udcff", "/a/"])
def test_any_path_can_be_shared(site: Site, path: str) -> None:
    record, token = site.shares.make(ANN, path, ["read"])
    assert site.may(token, path.rstrip("/")) == {"list", "read"}
    assert site.may(token, "/c") == set()
    assert record.scopes[0].isascii()


@pytest.mark.parametrize(
    ("caller", "path", "verb", "lacking"),
    [
        (BEN, "/a/b", "modify", "create"),
        (BEN, "/a/b", "create", "create"),
        (BEN, "/a", "read", "share"),
        (BEN, "/a/bc", "read", "share"),
        (ANN, "/c", "read", "share"),
        (ROOT, "/a", "read", "share"),
        (Caller(name="eve"), "/a", "read", "share"),
    ],
)
def test_nobody_lends_what_they_have_not(
    site: Site, caller: Caller, path: str, verb: Verb, lacking: str
) -> None:
    with pytest.raises(Denied, match=f"the right '{lacking}'"):
        site.shares.make(caller, path, [verb])
    assert site.store.shares() == []


def test_the_maker_s_present_rights_bound_a_share(site: Site) -> None:
    _, token = site.shares.make(BEN, "/a/b", ["read"])
    assert site.may(token, "/a/b/f") == {"list", "read"}
    site.rights = Rights([rule("/a/b", "user:ben", frozenset({Right.LIST}))])
    assert site.may(token, "/a/b/f") == {"list"}
    site.rights = Rights((), closed=True)
    assert site.may(token, "/a/b/f") == set()


def test_a_share_goes_with_its_maker(site: Site) -> None:
    _, token = site.shares.make(BEN, "/a/b", ["read"])
    site.store.remove_user("ben")
    with pytest.raises(Unauthenticated):
        site.bearer(token)


def test_a_bounded_credential_deals_with_no_shares(site: Site) -> None:
    """The holder of a share is its maker by name, and may yet neither see nor make nor end any."""
    record, token = site.shares.make(ANN, "/a", ["read", "modify"])
    narrow = Caller(name="ann", scopes=(Grant("/", ALL),), credential="app:x")
    odd = Caller(name="ann", credential="share:1")
    for caller in (site.bearer(token), narrow, odd, ANONYMOUS):
        with pytest.raises(Denied):
            site.shares.make(caller, "/a", ["read"])
        with pytest.raises(Denied):
            site.shares.made_by(caller)
        with pytest.raises(Denied):
            site.shares.revoke(caller, record.id)
    assert site.store.shares() == [record]


def test_a_share_ends_no_later_than_what_its_maker_logged_in_with(site: Site) -> None:
    soon = time.time() + 60
    caller = Caller(name="ann", credential="oidc:iam", expires_at=soon)
    record, token = site.shares.make(caller, "/a", ["read"], seconds=DAY)
    assert record.expires_at_ns <= soon * 1e9
    ends = site.bearer(token).expires_at
    assert ends is not None
    assert ends <= soon


def test_the_groups_of_an_issuer_are_kept_and_an_account_s_are_not(site: Site) -> None:
    site.rights = Rights([rule("/a", "group:lofar", ALL)])
    groups = frozenset({"lofar"})
    by_issuer = Caller(name="iam:7", groups=groups, credential="oidc:iam")
    _, token = site.shares.make(by_issuer, "/a", ["read"])
    assert site.may(token, "/a/f") == {"list", "read"}
    by_password = Caller(name="ann", groups=groups, credential="password")
    record, token = site.shares.make(by_password, "/a", ["read"])
    assert record.groups == ()
    assert site.may(token, "/a/f") == set(), "ann is in no group by now"


def test_a_share_lasts_a_week_unless_told(site: Site) -> None:
    record, _ = site.shares.make(ANN, "/a", ["read"], note="for Carl")
    assert record.expires_at_ns - record.created_at_ns == 7 * DAY * 10**9
    assert site.shares.made_by(ANN) == [record]
    assert site.shares.made_by(BEN) == []


@pytest.mark.parametrize("seconds", [0, -1, 0.5, SHARE_SECONDS_MAX + 1, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_refused(site: Site, seconds: float) -> None:
    with pytest.raises(ValueError, match="one second and 366 days"):
        site.shares.make(ANN, "/a", ["read"], seconds=seconds)


@pytest.mark.parametrize("note", ["x" * (NOTE_MAX_CHARACTERS + 1), "a\nb", "\x1b[2J"])
def test_a_note_that_could_upset_a_terminal_is_refused(site: Site, note: str) -> None:
    with pytest.raises(ValueError, match="on one line"):
        site.shares.make(ANN, "/a", ["read"], note=note)


@pytest.mark.parametrize("verbs", [[], ["admin"], ["read", "share"]])
def test_only_what_a_share_can_lend_is_lent(site: Site, verbs: list[Verb]) -> None:
    with pytest.raises(ValueError, match="read, create, modify"):
        site.shares.make(ANN, "/a", verbs)


@pytest.mark.parametrize("path", ["", "a", "/a/../c", "/a//b", "/.headgate-x", "/a\0"])
def test_a_path_that_is_none_is_refused(site: Site, path: str) -> None:
    with pytest.raises(InvalidPath):
        site.shares.make(ANN, path, ["read"])


def test_a_token_is_short_enough_for_a_mount(site: Site) -> None:
    """The WebDAV library of davfs2 and cadaver holds passwords of at most 255 bytes."""
    site.rights = Rights([rule("/", "authenticated", ALL)])
    for maker in ("ann", "ä" * 64, f"iam:{'x' * 400}"):
        caller = Caller(name=maker, groups=frozenset({"g" * 500}), credential="oidc:iam")
        record, token = site.shares.make(
            caller, f"/{'x' * 200}", ["read", "modify"], note="n" * 200
        )
        assert len(token) <= 255
        assert site.bearer(token).name == record.maker == maker


def test_revoking_ends_it(site: Site) -> None:
    record, token = site.shares.make(ANN, "/a", ["read"])
    _, other = site.shares.make(ANN, "/a", ["read"])
    site.shares.revoke(ANN, record.id)
    with pytest.raises(Unauthenticated):
        site.bearer(token)
    assert site.may(other, "/a") == {"list", "read"}
    with pytest.raises(NoSuchAccount):
        site.shares.revoke(ANN, record.id)


def test_one_who_administers_the_path_may_revoke_and_others_learn_nothing(site: Site) -> None:
    record, _ = site.shares.make(ANN, "/a", ["read"])
    with pytest.raises(NoSuchAccount) as others:
        site.shares.revoke(BEN, record.id)
    with pytest.raises(NoSuchAccount) as nobodys:
        site.shares.revoke(BEN, "0" * 16)
    assert str(others.value) == str(nobodys.value)
    site.shares.revoke(ROOT, record.id)
    assert site.store.shares() == []


def test_a_token_is_kept_nowhere(site: Site, tmp_path: Path) -> None:
    _, token = site.shares.make(ANN, "/a", ["read"])
    site.store.close()
    signature = token.rpartition(".")[2].encode()
    assert all(signature not in file.read_bytes() for file in tmp_path.iterdir())
