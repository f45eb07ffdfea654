"""Rights: who may do what beneath which path.

Rules only grant. A rule holds for its path and everything beneath, by whole segments, so a right
on a folder is a right on all it holds. That is what lets the tree check a whole subtree by its top.
The scopes of a credential are paths with rights too: they bound what the rules give its bearer.
"""

from collections.abc import Iterable

import msgspec

from providers.errors import Denied
from vfs.auth.caller import Caller
from vfs.auth.right import Grant, Right
from vfs.tree import paths

_KNOWN_MAX = 4096

_EVERYTHING = Grant(paths.ROOT, frozenset(Right))


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Grants `rights` at and beneath `path` to everybody whom `who` names.

    `who` holds "anyone", "authenticated", "user:NAME", "group:NAME" and "scope": whoever shows
    scopes that a trusted issuer vouches for, as far as they reach.
    """

    path: str
    who: frozenset[str]
    rights: frozenset[Right]


class Rights:
    """Decides on every access. Its rules are fixed: a reload makes a new one.

    Without any rule everything is allowed, unless `closed`: then there are accounts, and rules
    have to say what they are for. `_known` remembers what callers may do; each entry is set in one
    atomic step and may be lost at any time.
    """

    def __init__(self, rules: Iterable[Rule] = (), *, closed: bool = False) -> None:
        self._rules = tuple(rules)
        self._open = not self._rules and not closed
        self._known: dict[tuple[object, ...], tuple[Grant, ...]] = {}

    def grants(self, caller: Caller) -> tuple[Grant, ...]:
        """Return all that `caller` may do, each path with everything beneath it."""
        key = (caller.name, caller.groups, caller.scopes, caller.vouched)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            known = self._known[key] = tuple(self._given(caller))
        return known

    def allows(self, caller: Caller, path: str, right: Right) -> bool:
        """Tell whether `caller` has `right` at `path`."""
        for grant in self.grants(caller):  # a loop, since it runs on each operation
            if right in grant.rights and paths.is_within(path, grant.path):
                return True
        return False

    def allows_any(self, caller: Caller, path: str, *rights: Right) -> bool:
        """Tell whether `caller` has one of `rights` at `path`."""
        for right in rights:  # noqa: SIM110 - likewise
            if self.allows(caller, path, right):
                return True
        return False

    def allows_somewhere(self, caller: Caller, *rights: Right) -> bool:
        """Tell whether `caller` has one of `rights` at any path."""
        return any(not grant.rights.isdisjoint(rights) for grant in self.grants(caller))

    def check(self, caller: Caller, path: str, *rights: Right) -> None:
        """Raise Denied unless `caller` has one of `rights` at `path`."""
        for grant in self.grants(caller):  # likewise
            if paths.is_within(path, grant.path) and not grant.rights.isdisjoint(rights):
                return
        wanted = " or ".join(f"'{right}'" for right in rights)
        raise Denied(path, detail=f"{_cause(caller)} the right {wanted} here")

    def leads_somewhere(self, caller: Caller, folder: str) -> bool:
        """Tell whether `caller` has any right beneath `folder`.

        Such a folder may be walked through: its listing shows just what leads on.
        """
        for grant in self.grants(caller):
            if grant.path != folder and paths.is_within(grant.path, folder):
                return True
        return False

    def _given(self, caller: Caller) -> Iterable[Grant]:
        if self._open:
            yield from _bounded(_EVERYTHING, caller)
        for rule in self._rules:
            if _names(rule, caller):
                yield from _bounded(Grant(rule.path, rule.rights), caller)


def _names(rule: Rule, caller: Caller) -> bool:
    who = rule.who
    if "anyone" in who:
        return True
    if caller.name is None:
        return False
    return (
        "authenticated" in who
        or f"user:{caller.name}" in who
        or any(f"group:{group}" in who for group in caller.groups)
        or ("scope" in who and caller.vouched and caller.scopes is not None)
    )


def _bounded(given: Grant, caller: Caller) -> Iterable[Grant]:
    """Yield what is left of `given` within the scopes of the caller's credential."""
    if caller.scopes is None:
        yield given
        return
    for scope in caller.scopes:
        rights = given.rights & scope.rights
        if not rights:
            continue
        if paths.is_within(scope.path, given.path):
            yield Grant(scope.path, rights)
        elif paths.is_within(given.path, scope.path):
            yield Grant(given.path, rights)


def _cause(caller: Caller) -> str:
    if caller.name is None:
        return "no rule gives a caller without a login"
    if caller.scopes is not None:
        return f"neither a rule nor its token gives user {caller.name!r}"
    return f"no rule gives user {caller.name!r}"
