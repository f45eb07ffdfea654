"""Locks, by the sections of RFC 4918."""

import re

import pytest

from tests.vfs.dav.site import Site, condition, members
from vfs.dav.granted import KNOWN_CHARACTERS, KNOWN_MAX, Granted
from vfs.state.base import Depth, LockRecord, Scope


def _both(*tokens: str) -> str:
    """Return an If header of which one list always holds, and that submits these."""
    return "".join(f"({token})" for token in tokens) + "(Not <DAV:no-lock>)"


# 7.3: a free name


def test_a_free_name_gets_an_empty_file(site: Site) -> None:
    answer = site.try_lock("/a/new")
    assert answer.status == 201
    assert site("GET", "/a/new").body == b""
    assert site("PUT", "/a/new", "x").status == 423
    assert site("PUT", "/a/new", "x", If=f"({answer.headers['lock-token']})").status == 204


def test_a_lock_that_cannot_have_its_file_is_not_kept(site: Site) -> None:
    for path in ("/a/x/new", "/a/f/new"):
        site.put("/a/f")
        assert site.try_lock(path).status == 409
    assert site.store.any_locks() is False


def test_only_one_of_two_gets_a_free_name(site: Site) -> None:
    site.lock("/a/new", user="ann")
    answer = site.try_lock("/a/new", user="bob")
    assert answer.status == 423
    assert condition(answer) == ("no-conflicting-lock", ["/a/new"])


def test_a_file_that_went_before_the_lock_was_granted_is_made_anew(site: Site) -> None:
    """Under a lock there is always a resource."""
    site.put("/a/f")
    acquire = site.store.acquire

    def late(path: str, **wish: object) -> object:
        site.tree._steps.remove_file(path)
        return acquire(path, **wish)  # type: ignore[arg-type] # handed through

    site.store.acquire = late  # type: ignore[assignment,method-assign] # the unlucky moment
    assert site.try_lock("/a/f").status == 201
    assert site("GET", "/a/f").status == 200


# 7.4 and 7.5: folders

_NEW = {
    "PUT": ("/a/d/new", {}),
    "MKCOL": ("/a/d/new", {}),
    "LOCK": ("/a/d/new", {}),
    "DELETE": ("/a/d/f", {}),
    "MOVE": ("/a/d/f", {"Destination": "/a/g"}),
    "COPY": ("/a/o", {"Destination": "/a/d/new"}),
    "MOVE-in": ("/a/o", {"Destination": "/a/d/new"}),
}


def _ask(site: Site, what: str, **headers: str) -> int:
    method = what.partition("-")[0]
    path, own = _NEW[what]
    if method == "LOCK":
        return site.try_lock(path, **headers).status
    body = "x" if method == "PUT" else None
    return site(method, path, body, **own, **headers).status


@pytest.mark.parametrize("depth", ["0", "infinity"])
@pytest.mark.parametrize("what", _NEW)
def test_a_locked_folder_keeps_its_members(site: Site, what: str, depth: str) -> None:
    """No member comes or goes without the token, whatever the depth."""
    site.mkcol("/a/d")
    site.put("/a/d/f")
    site.put("/a/o")
    token = site.lock("/a/d", depth=depth)
    before = sorted(site.propfind("/a/d", "<propname/>", depth="1"))
    assert _ask(site, what) == 423
    assert sorted(site.propfind("/a/d", "<propname/>", depth="1")) == before
    if what == "LOCK" and depth == "infinity":
        return  # the folder's lock covers it already, and is exclusive
    assert _ask(site, what, If=f"</a/d> ({token})") in (201, 204)


@pytest.mark.parametrize(("depth", "status"), [("0", 204), ("infinity", 423)])
def test_depth_says_whether_members_content_is_covered(site: Site, depth: str, status: int) -> None:
    site.mkcol("/a/d", "/a/d/s")
    site.put("/a/d/f")
    site.lock("/a/d", depth=depth)
    assert site("PUT", "/a/d/f", "x").status == status
    assert site("PUT", "/a/d/s/new", "x").status == (201 if depth == "0" else 423)


def test_a_lock_of_depth_infinity_is_refused_for_what_is_locked_beneath(site: Site) -> None:
    """9.10.9: 207 names the member and, for the folder itself, 424."""
    site.mkcol("/a/d")
    site.put("/a/d/f")
    site.lock("/a/d/f", user="ann")
    answer = site.try_lock("/a/d", depth="infinity", user="bob")
    assert answer.status == 207
    assert {h: m.status for h, m in members(answer).items()} == {"/a/d/f": 423, "/a/d": 424}
    assert len(site.store.locks_beneath("/")) == 1
    site.lock("/a/d", depth="0", user="bob")


def test_no_lock_beneath_an_exclusive_one_of_depth_infinity(site: Site) -> None:
    site.mkcol("/a/d")
    site.put("/a/d/f")
    token = site.lock("/a/d", depth="infinity")
    answer = site.try_lock("/a/d/f", If=f"({token})")
    assert (answer.status, condition(answer)) == (423, ("no-conflicting-lock", ["/a/d"]))


# 6.2 and 7.1: shared locks


def test_one_of_the_shared_locks_is_enough(site: Site) -> None:
    site.put("/a/f")
    ann = site.lock("/a/f", scope="shared", user="ann")
    site.lock("/a/f", scope="shared", user="bob")
    assert site("PUT", "/a/f", "x", user="ann").status == 423
    assert site("PUT", "/a/f", "x", user="cid", If=f"({ann})").status == 423
    assert site("PUT", "/a/f", "x", user="ann", If=f"({ann})").status == 204
    assert site.try_lock("/a/f", user="ann", If=f"({ann})").status == 423


def test_a_shared_lock_from_above_counts_among_those_of_a_member(site: Site) -> None:
    site.mkcol("/a/d")
    site.put("/a/d/f")
    site.lock("/a/d", scope="shared", depth="infinity", user="bob")
    ann = site.lock("/a/d/f", scope="shared", user="ann")
    assert site("PUT", "/a/d/f", "x", user="ann", If=f"({ann})").status == 204
    # The folder's members are covered by the folder's lock alone.
    assert site("DELETE", "/a/d/f", user="ann", If=f"({ann})").status == 423
    assert site("PUT", "/a/d/new", "x", user="ann", If=_both(ann)).status == 423


def test_a_shared_lock_on_the_folder_opens_what_is_shared_beneath(site: Site) -> None:
    site.mkcol("/a/d", "/a/d/s")
    site.put("/a/d/s/f")
    ann = site.lock("/a/d", scope="shared", depth="infinity", user="ann")
    site.lock("/a/d/s/f", scope="shared", user="bob")
    assert site("MOVE", "/a/d", user="bob", Destination="/a/e").status == 423
    assert site("MOVE", "/a/d", user="ann", Destination="/a/e", If=f"({ann})").status == 201


# 6.4 and 7.5: whose lock it is


def test_a_token_opens_nothing_for_somebody_else(site: Site) -> None:
    site.put("/a/f")
    token = site.lock("/a/f", user="ann")
    for method in ("PUT", "DELETE", "PROPPATCH"):
        assert site(method, "/a/f", "x", user="bob", If=f"({token})").status == 423
    assert site("UNLOCK", "/a/f", user="bob", Lock_Token=token).status == 403
    assert site("LOCK", "/a/f", user="bob", If=f"({token})").status == 403
    assert site("UNLOCK", "/a/f", user="ann", Lock_Token=token).status == 204


def test_a_refusal_names_the_lock_roots(site: Site) -> None:
    site.mkcol("/a/d%20d")
    site.lock("/a/d%20d", depth="infinity")
    answer = site("PUT", "/a/d%20d/f", "x")
    assert answer.status == 423
    assert condition(answer) == ("lock-token-submitted", ["/a/d%20d"])


# 7.6 and 9.10.2: refresh


def test_refresh_begins_the_time_anew_and_has_no_token_header(site: Site) -> None:
    site.mkcol("/a/d")
    site.put("/a/d/f")
    token = site.lock("/a/d", depth="infinity", Timeout="Second-100")
    answer = site("LOCK", "/a/d/f", If=f"({token})", Timeout="Second-500")
    assert answer.status == 200
    assert b"Second-500" in answer.body
    assert "lock-token" not in answer.headers
    assert re.search(rb"lockroot><D:href>/a/d<", answer.body)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (None, 400),
        ("(<a:b>)", 412),
        ("({one})({two})", 412),
        ('({one} ["other"])', 412),
        ("(Not <DAV:no-lock>)", 412),
        ("(Not {one})(Not <a:b>)", 412),
        ("({one})", 200),
    ],
)
def test_refresh_names_one_lock_that_covers(site: Site, value: str | None, status: int) -> None:
    site.put("/a/f")
    one = site.lock("/a/f", scope="shared")
    two = site.lock("/a/f", scope="shared")
    headers = {} if value is None else {"If": value.format(one=one, two=two)}
    assert site("LOCK", "/a/f", **headers).status == status


def test_a_lock_elsewhere_is_not_refreshed(site: Site) -> None:
    site.put("/a/f")
    site.put("/a/g")
    token = site.lock("/a/g")
    assert site("LOCK", "/a/f", If=f"</a/g> ({token})").status == 412


# 9.11: UNLOCK


@pytest.mark.parametrize("is_forgotten", [False, True], ids=["just granted", "granted elsewhere"])
def test_unlock_judges_what_it_remembers_as_what_it_looks_up(
    site: Site, *, is_forgotten: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock of this process is not looked up, and ends by the same rules."""
    if is_forgotten:
        monkeypatch.setattr(Granted, "get", lambda _self, _token: None)
    site.mkcol("/a/d")
    site.put("/a/d/f")
    token = site.lock("/a/d", depth="0", user="ann")
    assert site("UNLOCK", "/a/d/f", user="ann", Lock_Token=token).status == 409
    assert site("UNLOCK", "/a/d", user="bob", Lock_Token=token).status == 403
    assert site("PUT", "/a/d/new", "x", user="ann").status == 423
    assert site("UNLOCK", "/a/d", user="ann", Lock_Token=token).status == 204
    assert site("UNLOCK", "/a/d", user="ann", Lock_Token=token).status == 409
    assert site("PUT", "/a/d/new", "x", user="ann").status == 201


def test_unlock_of_a_lock_that_went_with_its_file(site: Site) -> None:
    """It is remembered, and is none all the same."""
    site.put("/a/f")
    token = site.lock("/a/f")
    assert site("DELETE", "/a/f", If=f"({token})").status == 204
    site.put("/a/f")
    assert site("UNLOCK", "/a/f", Lock_Token=token).status == 409


def test_few_locks_are_remembered_and_no_large_one() -> None:
    granted = Granted()

    def lock(number: int, owner: str = "") -> LockRecord:
        return LockRecord(
            f"t{number}", "/a", Depth.ZERO, Scope.EXCLUSIVE, owner, "ann", 1, number, number
        )

    for number in range(KNOWN_MAX + 1):
        granted.put(lock(number))
    granted.put(lock(-1, owner="o" * KNOWN_CHARACTERS))
    assert granted.get("t0") is None
    assert granted.get("t-1") is None
    assert granted.get("t1") == lock(1)
    granted.drop(lock(1))
    assert granted.get("t1") is None


def test_unlock_through_a_member_ends_the_whole_lock(site: Site) -> None:
    site.mkcol("/a/d")
    site.put("/a/d/f")
    token = site.lock("/a/d", depth="infinity")
    assert site("UNLOCK", "/a/d/f", Lock_Token=token).status == 204
    assert site("PUT", "/a/d/new", "x").status == 201


@pytest.mark.parametrize("value", ["", "x", "<>", "<a:b>", "a:b"])
def test_unlock_of_what_is_no_lock_is_refused(site: Site, value: str) -> None:
    site.put("/a/f")
    site.lock("/a/f")
    answer = site("UNLOCK", "/a/f", Lock_Token=value)
    assert answer.status in (400, 409)
    assert site("PUT", "/a/f", "x").status == 423


def test_a_lock_of_depth_0_does_not_cover_a_member_for_unlock(site: Site) -> None:
    site.mkcol("/a/d")
    site.put("/a/d/f")
    token = site.lock("/a/d")
    assert site("UNLOCK", "/a/d/f", Lock_Token=token).status == 409
    assert site.store.any_locks()


# 9.8, 9.9: COPY and MOVE


def test_a_locked_source_may_be_copied_and_the_copy_is_free(site: Site) -> None:
    site.put("/a/f")
    site.lock("/a/f")
    assert site("COPY", "/a/f", Destination="/a/g").status == 201
    assert site("PUT", "/a/g", "x").status == 204


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_a_locked_target_needs_its_token_and_stays_locked(site: Site, method: str) -> None:
    site.put("/a/f", b"new")
    site.put("/a/g", b"old")
    token = site.lock("/a/g")
    assert site(method, "/a/f", Destination="/a/g").status == 423
    assert site("GET", "/a/g").body == b"old"
    assert site(method, "/a/f", Destination="/a/g", If=f"</a/g> ({token})").status == 204
    assert site("PUT", "/a/g", "x").status == 423


def test_a_moved_resource_comes_under_the_locks_of_its_new_folder(site: Site) -> None:
    site.mkcol("/a/d")
    site.put("/a/f")
    token = site.lock("/a/d", depth="infinity")
    assert site("MOVE", "/a/f", Destination="/a/d/f", If=f"</a/d> ({token})").status == 201
    assert site("PUT", "/a/d/f", "x").status == 423


# What a LOCK must say


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("<lockinfo", {}, 400),
        ("<x/>", {}, 422),
        ('<D:lockinfo xmlns:D="DAV:"/>', {}, 400),
        (None, {"Depth": "1"}, 400),
        (None, {"If_Match": '"x"'}, 412),
        (None, {"If_None_Match": "*"}, 412),
        (None, {"If": "(<a:b>)"}, 412),
    ],
)
def test_a_lock_that_makes_no_sense_is_refused(
    site: Site, body: str | None, headers: dict[str, str], status: int
) -> None:
    site.put("/a/f")
    if body is None:
        depth = headers.pop("Depth", "0")
        assert site.try_lock("/a/f", depth=depth, **headers).status == status
    else:
        assert site("LOCK", "/a/f", body, **headers).status == status
    assert site.store.any_locks() is False


def test_the_owner_is_given_back_as_it_was(site: Site) -> None:
    owner = '<D:owner xmlns:D="DAV:"><D:href>mailto:a&amp;b</D:href> text</D:owner>'
    body = (
        '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:shared/></D:lockscope>'
        f"<D:locktype><D:write/></D:locktype>{owner}</D:lockinfo>"
    )
    site("LOCK", "/a/f", body)
    (found,) = site.propfind("/a/f", "<prop><lockdiscovery/></prop>").values()
    href = found.element.find(".//{DAV:}owner/{DAV:}href")
    assert href is not None
    assert (href.text, href.tail) == ("mailto:a&b", " text")
