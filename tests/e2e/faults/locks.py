"""A lock protects what it locks, and ends when it should."""

import re
import time

from tests.e2e.faults.catalogue import Catalogue
from tests.e2e.wire import (
    ask,
    expect,
    lock,
    lock_body,
    mkcol,
    put,
    url,
)
from tests.servers.target import Target

CHECKS = Catalogue()

_BODY = b"locked bytes"
_LOCKED = {
    "child": ("d/f", {}),
    "grandchild": ("d/sub/f", {}),
    "folder-depth-0": ("d/sub/", {"depth": "0"}),
    "folder-depth-infinity": ("d/sub/", {"depth": "infinity"}),
    "shared": ("d/f", {"scope": "shared"}),
    "shared-grandchild": ("d/sub/f", {"scope": "shared"}),
}
_SHAPES = tuple(f"{shape}{slash}" for slash in ("", "/") for shape in _LOCKED)


def _tree(target: Target) -> None:
    """Make d/f, d/free and d/sub/f."""
    mkcol(mkcol(target, "d"), "sub")
    for name in ("d/f", "d/free", "d/sub/f"):
        put(target, name, _BODY)


def _stands(target: Target, name: str) -> None:
    if name.endswith("/"):
        answer = ask(target, "PROPFIND", name, Depth="0")
        expect(answer.status == 207, f"the locked folder {name} is gone")
        return
    answer = ask(target, "GET", name)
    expect(answer.body == _BODY, f"the locked file {name} is gone: {answer.status}")


# A direct child survives there when the request URL ends with a slash, and only then.
_HOLDS_ON_PLAIN = {"child/", "shared/", "folder-depth-0/", "folder-depth-infinity/"}


@CHECKS.check(
    *_SHAPES, plain={shape: "is gone" for shape in _SHAPES if shape not in _HOLDS_ON_PLAIN}
)
def folder_with_a_locked_member_is_not_deleted(target: Target, shape: str) -> None:
    """DELETE without the token leaves the member, its content and every folder above it."""
    name, how = _LOCKED[shape.rstrip("/")]
    _tree(target)
    lock(target, name, **how)
    answer = ask(target, "DELETE", "d/" if shape.endswith("/") else "d")
    _stands(target, name)
    if name.startswith("d/sub/"):
        _stands(target, "d/sub/")
    if "depth-infinity" in shape:
        _stands(target, "d/sub/f")
    expect(answer.status in {207, 423}, f"DELETE is answered {answer.status}")
    if answer.status == 207:
        expect(b"423" in answer.body, "no member is named as locked")


@CHECKS.check(*_LOCKED)
def folder_with_a_locked_member_is_not_moved(target: Target, shape: str) -> None:
    name, how = _LOCKED[shape]
    _tree(target)
    lock(target, name, **how)
    answer = ask(target, "MOVE", "d", Destination=url(target, "moved"))
    _stands(target, name)
    expect(answer.status in {207, 423}, f"MOVE is answered {answer.status}")


@CHECKS.check(*_LOCKED)
def folder_with_a_locked_member_is_not_overwritten(target: Target, shape: str) -> None:
    """COPY and MOVE onto a folder delete it first: a locked member forbids that too."""
    name, how = _LOCKED[shape]
    _tree(target)
    mkcol(target, "other")
    lock(target, name, **how)
    for method in ("COPY", "MOVE"):
        answer = ask(target, method, "other", Destination=url(target, "d"), Overwrite="T")
        _stands(target, name)
        expect(answer.status in {207, 423}, f"{method} is answered {answer.status}")


@CHECKS.check(plain="lasts 604")
def lock_ends_in_an_hour_by_default(target: Target) -> None:
    put(target, "f", b"")
    seconds = _granted(target, "f")
    expect(seconds == 3600, f"a lock without Timeout lasts {seconds} s")


@CHECKS.check("Infinite", "Second-4100000000", plain="lasts")
def lock_ends_within_a_day(target: Target, wish: str) -> None:
    put(target, "f", b"")
    seconds = _granted(target, "f", Timeout=wish)
    expect(0 < seconds <= 86_400, f"a lock with Timeout: {wish} lasts {seconds} s")


def _granted(target: Target, name: str, **headers: str) -> float:
    answer = ask(target, "LOCK", name, lock_body(), Content_Type="application/xml", **headers)
    expect(answer.status == 200, f"LOCK is answered {answer.status}")
    found = re.search(rb"timeout[^>]*>\s*(Second-(\d+)|Infinite)", answer.body)
    if found is None:
        raise RuntimeError(f"no timeout in {answer.body!r}")
    return float(found[2]) if found[2] else float("inf")


@CHECKS.check()
def short_lock_ends_by_itself(target: Target) -> None:
    """A lock whose time is over no longer keeps anybody out."""
    put(target, "f", b"old")
    lock(target, "f", Timeout="Second-1")
    end = time.monotonic() + 5
    while (status := ask(target, "PUT", "f", b"new").status) == 423 and time.monotonic() < end:
        time.sleep(0.2)
    expect(status in {200, 201, 204}, "a lock of one second lasts more than five")


@CHECKS.check()
def lock_dies_with_its_resource(target: Target) -> None:
    put(target, "f", b"old")
    token = lock(target, "f")
    expect(ask(target, "DELETE", "f", If=f"({token})").status == 204, "DELETE is refused")
    expect(ask(target, "PUT", "f", b"new").status == 201, "the lock of a deleted file is alive")


@CHECKS.check(plain="stayed on the old name")
def lock_does_not_move(target: Target) -> None:
    """After a MOVE neither name is locked."""
    put(target, "f", b"old")
    token = lock(target, "f")
    answer = ask(target, "MOVE", "f", Destination=url(target, "g"), If=f"({token})")
    expect(answer.status == 201, f"MOVE is answered {answer.status}")
    expect(ask(target, "PUT", "f", b"new").ok, "the lock stayed on the old name")
    expect(ask(target, "PUT", "g", b"new").ok, "the lock went to the new name")


@CHECKS.check(plain="with a token is refused")
def shared_locks_keep_out_writers_and_exclusive_locks(target: Target) -> None:
    put(target, "f", b"old")
    lock(target, "f", scope="shared")
    token = lock(target, "f", scope="shared")
    answer = ask(target, "LOCK", "f", lock_body("exclusive"), Content_Type="application/xml")
    expect(answer.status == 423, f"an exclusive LOCK is answered {answer.status}")
    expect(ask(target, "PUT", "f", b"new").status == 423, "PUT without a token is let in")
    expect(ask(target, "PUT", "f", b"new", If=f"({token})").ok, "PUT with a token is refused")


@CHECKS.check()
def token_of_another_file_opens_nothing(target: Target) -> None:
    put(target, "f", b"old")
    put(target, "g", b"old")
    lock(target, "f")
    other = lock(target, "g")
    status = ask(target, "PUT", "f", b"new", If=f"({other})").status
    expect(status in {412, 423}, f"PUT with another file's token is answered {status}")
    tagged = f"<{url(target, 'g')}> ({other})"
    status = ask(target, "PUT", "f", b"new", If=tagged).status
    expect(status in {412, 423}, f"PUT with a tagged list for another file is answered {status}")
    expect(ask(target, "GET", "f").body == b"old", "the locked file has changed")


@CHECKS.check()
def folder_lock_covers_new_members(target: Target) -> None:
    mkcol(target, "d")
    token = lock(target, "d/", depth="infinity")
    for method, name in (("PUT", "d/f"), ("MKCOL", "d/sub")):
        expect(ask(target, method, name).status == 423, f"{method} into a locked folder is let in")
    tagged = f"<{url(target, 'd/')}> ({token})"
    answer = ask(target, "PUT", "d/f", b"x", If=tagged)
    expect(answer.status == 201, f"PUT with the folder's token is answered {answer.status}")


@CHECKS.check()
def lock_on_a_new_name_makes_an_empty_file(target: Target) -> None:
    answer = ask(target, "LOCK", "f", lock_body(), Content_Type="application/xml")
    expect(answer.status == 201, f"LOCK on a new name is answered {answer.status}")
    expect(answer.header("Lock-Token").startswith("<"), "there is no Lock-Token")
    found = ask(target, "GET", "f")
    expect((found.status, found.body) == (200, b""), f"GET then gives {found.status}")


@CHECKS.check()
def lock_is_refreshed_and_released(target: Target) -> None:
    put(target, "f", b"")
    token = lock(target, "f", Timeout="Second-60")
    answer = ask(target, "LOCK", "f", If=f"({token})", Timeout="Second-600")
    expect(answer.status == 200, f"a refresh is answered {answer.status}")
    expect(b"Second-600" in answer.body or b"Second-599" in answer.body, "no new timeout")
    expect(ask(target, "UNLOCK", "f", Lock_Token=token).status == 204, "UNLOCK is refused")
    expect(ask(target, "PUT", "f", b"x").ok, "the lock is alive after UNLOCK")
