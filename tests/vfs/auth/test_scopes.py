"""A scope never allows more than what is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import InvalidPath
from vfs.auth.caller import Caller
from vfs.auth.right import Grant, Right
from vfs.auth.rights import Rights
from vfs.auth.scopes import SCOPES_MAX, check, parse, words
from vfs.tree import paths

READ = frozenset({Right.LIST, Right.READ})
CREATE = frozenset({Right.CREATE})
MODIFY = frozenset({Right.CREATE, Right.MODIFY, Right.DELETE, Right.LOCK})

VERBS = {
    "storage.read": READ,
    "storage.stage": READ,
    "storage.create": CREATE,
    "storage.modify": MODIFY,
    "read": READ,
    "write": MODIFY,
}
SEGMENTS = st.text("ab.%2eF\\ é\x00/", min_size=1, max_size=4)
WRITTEN = st.one_of(
    st.lists(SEGMENTS, max_size=3).map(lambda names: "/" + "/".join(names)), st.text(max_size=8)
)
SCOPES = st.tuples(st.sampled_from([*VERBS, "openid", "storage.poll", "Storage.read"]), WRITTEN)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_gives_its_rights(verb: str) -> None:
    assert parse([f"{verb}:/a"]) == (Grant("/a", VERBS[verb]),)
    assert parse([f"{verb}:/"]) == (Grant("/", VERBS[verb]),)


@pytest.mark.parametrize(
    ("written", "path"),
    [("/a/", "/a"), ("/a%20b", "/a b"), ("/%61", "/a"), ("/a%252e", "/a%2e"), ("/é", "/é")],
)
def test_a_path_is_normalised_once(written: str, path: str) -> None:
    assert parse([f"read:{written}"]) == (Grant(path, READ),)


@pytest.mark.parametrize(
    "word",
    [
        "read",
        "read:",
        "read:a",
        "read:/a/../b",
        "read:/%2e%2e/b",
        "read:/a//b",
        "read:/a%2Fb",
        "read:/a%00",
        "read:/%zz",
        "read:/a\ud800",
        "storage.read",
        "storage.poll:/a",
        "STORAGE.read:/a",
        "storage.write:/a",
    ],
)
def test_what_is_not_understood_bounds_and_grants_nothing(word: str) -> None:
    assert parse([word]) == ()
    assert parse([word, "read:/b"]) == (Grant("/b", READ),)
    with pytest.raises(ValueError, match="is no scope"):
        check(word)


@pytest.mark.parametrize("word", ["openid", "offline_access", "compute.read", "", "reader:/a"])
def test_other_words_do_not_bound(word: str) -> None:
    assert parse([word]) is None
    assert parse([word, "read:/b"]) == (Grant("/b", READ),)


def test_the_same_path_is_one_grant() -> None:
    assert parse(["read:/a", "storage.read:/a/", "storage.create:/a"]) == (
        Grant("/a", READ | CREATE),
    )


def test_too_many_grant_nothing_more() -> None:
    many = [f"read:/{number}" for number in range(SCOPES_MAX)]
    assert len(parse(many) or ()) == SCOPES_MAX
    assert parse([*many, "write:/"]) == parse(many)
    assert len(parse(["openid", *many]) or ()) == SCOPES_MAX


def test_the_base_is_joined_by_segments() -> None:
    assert parse(["read:/a"], "/wlcg") == (Grant("/wlcg/a", READ),)
    assert parse(["read:/"], "/wlcg") == (Grant("/wlcg", READ),)
    assert parse(["read:/../b"], "/wlcg") == ()


@given(st.lists(SCOPES, max_size=4), st.sampled_from(["/", "/base", "/base/sub"]))
def test_nothing_is_wider_than_what_is_written(scopes: list[tuple[str, str]], base: str) -> None:
    """Each right at each path comes from one word that gives just this right there or above."""
    spelt = [f"{verb}:{written}" for verb, written in scopes]
    for grant in parse(spelt, base) or ():
        assert paths.parse(grant.path) == grant.path
        assert paths.is_within(grant.path, base)
        for right in grant.rights:
            assert any(
                right in VERBS.get(verb, ())
                and parse([word], base) == (Grant(grant.path, VERBS[verb]),)
                for word, (verb, _) in zip(spelt, scopes, strict=True)
            )


@given(WRITTEN, WRITTEN)
def test_a_scope_reaches_its_path_and_what_lies_beneath(written: str, asked: str) -> None:
    try:
        folder, path = paths.parse(written), paths.parse(asked)
    except InvalidPath:
        return
    caller = Caller(name="a", scopes=parse(words([Grant(folder, READ)])))
    assert Rights().allows(caller, path, Right.READ) == paths.is_within(path, folder)
    assert not Rights().allows(caller, path, Right.MODIFY)


@given(st.lists(SCOPES, max_size=4))
def test_words_say_what_was_parsed(scopes: list[tuple[str, str]]) -> None:
    grants = parse(f"{verb}:{written}" for verb, written in scopes)
    if grants:
        assert parse(words(grants)) == grants


def test_words_never_say_more() -> None:
    assert words([Grant("/a", frozenset({Right.LIST, Right.SHARE, Right.LOCK}))]) == ()


@pytest.mark.parametrize("word", ["READ:/a", "Write:/a", "Storage.Read:/a"])
def test_a_scope_in_other_letters_bounds_and_grants_nothing(word: str) -> None:
    assert parse([word]) == ()
