"""Claims of the shapes that issuers have become callers; what is no access token does not."""

from typing import Any

import pytest

from vfs.auth import claims
from vfs.auth.caller import Caller
from vfs.auth.errors import Unauthenticated
from vfs.auth.right import Grant, Right
from vfs.auth.settings import OidcConfig

READ = frozenset({Right.LIST, Right.READ})
MODIFY = frozenset({Right.CREATE, Right.MODIFY, Right.DELETE, Right.LOCK})
CLIENT = "https://gw.example.org"

KEYCLOAK = {
    "exp": 2_000_000_000,
    "iss": "https://sso.example.org/realms/science",
    "aud": ["https://gw.example.org", "account"],
    "sub": "5f7c4d1e-97a2-4a4b-9a55-30f2f5f7a5c1",
    "typ": "Bearer",
    "azp": "portal",
    "realm_access": {"roles": ["offline_access", "astronomer"]},
    "resource_access": {CLIENT: {"roles": ["writer"]}},
    "scope": "openid profile email",
    "preferred_username": "alice",
}
IAM = {
    "wlcg.ver": "1.0",
    "sub": "a1b98335-9649-4fb0-961d-5a49ce108d49",
    "aud": "https://wlcg.cern.ch/jwt/v1/any",
    "iss": "https://iam.example.org/",
    "scope": "storage.read:/ storage.modify:/home openid wlcg.groups",
    "wlcg.groups": ["/wlcg", "/wlcg/xfers"],
}
MEMBER = "urn:mace:egi.eu:group:vo.example.eu:role=member#aai.egi.eu"
CHECK_IN = {
    "sub": "0123456789abcdef@egi.eu",
    "iss": "https://aai.egi.eu/auth/realms/egi",
    "typ": "Bearer",
    "scope": "openid eduperson_entitlement",
    "eduperson_entitlement": [MEMBER],
}
SCITOKEN = {
    "ver": "scitoken:2.0",
    "sub": "job-17",
    "aud": "https://gw.example.org",
    "scope": "read:/data write:/data/out",
}


def caller(given: dict[str, Any], **keys: Any) -> Caller:
    claims.check_kind(given)
    return claims.caller(given, OidcConfig(name="x", issuer="https://unused", **keys), 1.0)


@pytest.mark.parametrize(
    ("given", "groups_claim", "groups", "scopes"),
    [
        (KEYCLOAK, "realm_access.roles", {"offline_access", "astronomer"}, None),
        (KEYCLOAK, f"resource_access.{CLIENT}.roles", {"writer"}, None),
        (KEYCLOAK, "realm_access", set(), None),
        (KEYCLOAK, "realm_access.roles.0", set(), None),
        (KEYCLOAK, "scope", set(), None),
        (
            IAM,
            "wlcg.groups",
            {"/wlcg", "/wlcg/xfers"},
            (Grant("/", READ), Grant("/home", MODIFY)),
        ),
        (CHECK_IN, "eduperson_entitlement", {MEMBER}, None),
        (SCITOKEN, "groups", set(), (Grant("/data", READ), Grant("/data/out", MODIFY))),
    ],
)
def test_each_shape_of_issuer_is_understood(
    given: dict[str, Any], groups_claim: str, groups: set[str], scopes: tuple[Grant, ...] | None
) -> None:
    found = caller(given, groups_claim=groups_claim)
    assert found.name == f"x:{given['sub']}"
    assert found.groups == groups
    assert found.scopes == scopes
    assert found.vouched


def test_a_claim_of_just_that_name_comes_before_a_nested_one() -> None:
    given = {"a.b": ["flat"], "a": {"b": ["nested"], "c.d": {"e": ["deep"]}}}
    assert claims.find(given, "a.b") == ["flat"]
    assert claims.find(given, "a.c.d.e") == ["deep"]
    assert claims.find(given, "a.c") is None


def test_with_a_mapping_only_mapped_groups_count() -> None:
    keys = {"groups_claim": "eduperson_entitlement", "groups": {MEMBER: "vo"}}
    assert caller(CHECK_IN, **keys).groups == {"vo"}
    other = {**CHECK_IN, "eduperson_entitlement": ["vo", "urn:other", 5, None]}
    assert caller(other, **keys).groups == frozenset()


def test_scopes_start_from_the_base_path() -> None:
    found = caller(IAM, base_path="/site-a")
    assert found.scopes == (Grant("/site-a", READ), Grant("/site-a/home", MODIFY))


def test_scopes_may_be_a_list_named_scp() -> None:
    given = {"sub": "s", "scp": ["storage.read:/a", "openid"]}
    assert caller(given).scopes == (Grant("/a", READ),)


def test_a_name_is_that_of_a_local_user_only_where_it_is_said() -> None:
    assert caller(KEYCLOAK, user_claim="preferred_username").name == "x:alice"
    assert caller(KEYCLOAK, user_claim="preferred_username", local_names=True).name == "alice"


@pytest.mark.parametrize("name", ["", None, 5, ["a"], " a", "a\n", "a\x00", "a" * 256, "\ud800"])
@pytest.mark.parametrize("local_names", [True, False])
def test_what_is_no_name_is_refused(name: object, *, local_names: bool) -> None:
    with pytest.raises(Unauthenticated, match="'sub' of the token"):
        caller({"sub": name}, local_names=local_names)


@pytest.mark.parametrize("name", ["other:alice", "a/b", "ange\u0301lique"])
def test_a_local_name_is_one_that_a_local_user_may_have(name: str) -> None:
    with pytest.raises(Unauthenticated, match="name of a user of this gateway"):
        caller({"sub": name}, local_names=True)
    assert caller({"sub": name}).name == f"x:{name}"


def test_too_many_groups_are_refused() -> None:
    groups = [str(number) for number in range(claims.GROUPS_MAX + 1)]
    assert len(caller({"sub": "s", "wlcg.groups": groups[1:]}).groups) == claims.GROUPS_MAX
    with pytest.raises(Unauthenticated, match="more than 1000 groups"):
        caller({"sub": "s", "wlcg.groups": groups})


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"typ": "ID"}, "no access token"),
        ({"typ": "Refresh"}, "no access token"),
        ({"typ": "Offline"}, "no access token"),
        ({"at_hash": "x"}, "no access token"),
        ({"c_hash": "x"}, "no access token"),
        ({"wlcg.ver": "2.0"}, "WLCG profile"),
        ({"wlcg.ver": 1}, "WLCG profile"),
        ({"ver": "scitoken:3.0"}, "SciToken"),
        ({"ver": "scitoken:2.0"}, "needs the claim 'aud'"),
    ],
)
def test_what_is_no_access_token_is_refused(change: dict[str, Any], cause: str) -> None:
    with pytest.raises(Unauthenticated, match=cause):
        caller({"sub": "s", **change})
