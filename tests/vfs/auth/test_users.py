"""Users: one view of two sources."""

import pytest

from vfs.auth.users import User, Users, check_email, check_name
from vfs.state.accounts import UserRecord
from vfs.state.base import StateStore

ANN = User(name="ann", email="Ann@Example.org", groups=frozenset({"lofar"}))


def test_the_configuration_wins(store: StateStore) -> None:
    """A user of the store cannot take over one of the configuration, nor lend him an address."""
    store.put_user(UserRecord(name="ann", email="other@example.org", groups=("admins",)))
    store.put_user(UserRecord(name="bob", email="bob@example.org", groups=("ska",)))
    users = Users([ANN], store)
    assert users.find("ann") == ANN
    assert users.find_by_email("other@example.org") is None
    bob = users.find("bob")
    assert bob is not None
    assert (bob.name, bob.email, bob.groups) == ("bob", "bob@example.org", frozenset({"ska"}))
    assert bob.created_at_ns
    assert users.find("Ann") is None


def test_an_address_is_found_in_any_case_and_must_be_one_user_s(store: StateStore) -> None:
    users = Users([ANN], store)
    assert users.find_by_email("ann@example.ORG") == ANN
    assert users.find_by_email("") is None
    store.put_user(UserRecord(name="imitator", email="ann@example.org"))
    assert users.find_by_email("ann@example.org") is None


def test_what_is_added_or_removed_holds_at_once(store: StateStore) -> None:
    users = Users([], store)
    assert not users.any()
    store.put_user(UserRecord(name="bob", groups=("ska", "lofar")))
    assert users.any()
    assert users.groups() == {"ska", "lofar"}
    store.remove_user("bob")
    assert (users.any(), users.find("bob"), users.groups()) == (False, None, frozenset())
    assert Users([ANN], store).any()
    assert Users([ANN], store).groups() == {"lofar"}


@pytest.mark.parametrize("text", ["\ud800", "\x00", "x" * 100_000, "", "a\nb", "'; --"])
def test_no_name_from_a_client_breaks_the_search(store: StateStore, text: str) -> None:
    assert Users([ANN], store).find(text) is None
    assert Users([ANN], store).find_by_email(text) is None


@pytest.mark.parametrize("name", ["a", "ann@example.org", "Ann Lee", "Jürgen", "x" * 64, "李"])
def test_names_that_may_be(name: str) -> None:
    assert check_name(name) == name


def test_a_name_has_one_spelling() -> None:
    assert check_name("Ju\u0308rgen") == "J\u00fcrgen"


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("", "empty"),
        ("x" * 65, "64"),
        (" ann", "blank"),
        ("ann\u3000", "blank"),
        ("iam:123", "colon or a slash"),
        ("../ann", "colon or a slash"),
        ("a\x00b", "shown"),
        ("a\u202eb", "shown"),
        ("a\ud800", "shown"),
        ("a\u200bb", "shown"),
    ],
)
def test_names_that_may_not_be(name: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        check_name(name)


def test_a_name_is_found_however_it_is_typed(store: StateStore) -> None:
    apart = User(name="Ju\u0308rgen")
    assert Users([apart], store).find("J\u00fcrgen") == apart
    assert Users([apart], store).find("Ju\u0308rgen") == apart


def test_an_address_has_a_name_and_a_domain() -> None:
    assert check_email("Ann@Example.org") == "ann@example.org"
    for wrong in ("", "ann", "@example.org", "ann@", "a b@c", "a@b\n"):
        with pytest.raises(ValueError, match="no e-mail address"):
            check_email(wrong)
