"""Rules grant by path, caller and right; nothing else does."""

import itertools

import pytest

from providers.errors import Denied
from vfs.auth.caller import ANONYMOUS, Caller
from vfs.auth.right import Grant, Right
from vfs.auth.rights import Rights, Rule

ALICE = Caller(name="alice", groups=frozenset({"lofar"}))
BOB = Caller(name="bob")


def _rights(who: str, path: str = "/a", *rights: Right) -> Rights:
    given = frozenset(rights or (Right.READ,))
    return Rights([Rule(path=path, who=frozenset({who}), rights=given)])


def test_without_rules_everything_is_allowed() -> None:
    assert all(Rights().allows(ANONYMOUS, "/a", right) for right in Right)


@pytest.mark.parametrize(
    ("who", "callers"),
    [
        ("anyone", {ANONYMOUS, ALICE, BOB}),
        ("authenticated", {ALICE, BOB}),
        ("user:alice", {ALICE}),
        ("group:lofar", {ALICE}),
        ("group:alice", set()),
        ("user:lofar", set()),
    ],
)
def test_a_rule_names_just_these_callers(who: str, callers: set[Caller]) -> None:
    rights = _rights(who)
    for caller in (ANONYMOUS, ALICE, BOB):
        assert rights.allows(caller, "/a/x", Right.READ) == (caller in callers)


def test_a_rule_gives_just_its_rights_at_and_beneath_its_path() -> None:
    rights = _rights("anyone", "/a/b", Right.READ, Right.LIST)
    places = {"/": False, "/a": False, "/a/b": True, "/a/b/c": True, "/a/bc": False, "/b": False}
    for (place, inside), right in itertools.product(places.items(), Right):
        expected = inside and right in {Right.READ, Right.LIST}
        assert rights.allows(ANONYMOUS, place, right) == expected, (place, right)


def test_the_way_to_a_granted_path_may_be_walked_but_not_read() -> None:
    rights = _rights("user:alice", "/a/b")
    assert rights.leads_somewhere(ALICE, "/")
    assert rights.leads_somewhere(ALICE, "/a")
    assert not rights.leads_somewhere(ALICE, "/a/b")
    assert not rights.leads_somewhere(ALICE, "/c")
    assert not rights.leads_somewhere(BOB, "/a")


def test_check_names_the_caller_and_the_right() -> None:
    with pytest.raises(Denied, match=r"user 'bob' the right 'modify' or 'create'"):
        _rights("user:alice").check(BOB, "/a", Right.MODIFY, Right.CREATE)
    with pytest.raises(Denied, match="a caller without a login"):
        _rights("user:alice").check(ANONYMOUS, "/a", Right.READ)


def test_what_a_narrowed_credential_holds_is_its_own() -> None:
    """Two tokens with the same scopes are one holder, as a token and its renewal are."""
    bound = (Grant("/a", frozenset({Right.MODIFY})),)
    full = Caller(name="ann", credential="password")
    share = Caller(name="ann", credential="share:1", scopes=bound)
    token = Caller(name="ann", credential="token:1", scopes=bound)
    renewed = Caller(name="ann", credential="token:2", scopes=bound)
    wider = Caller(name="ann", credential="token:3", scopes=(*bound, Grant("/b", frozenset())))
    assert (full.holder, ANONYMOUS.holder, renewed.holder) == ("ann", "", token.holder)
    assert len({caller.holder for caller in (full, share, token, wider)}) == 4
