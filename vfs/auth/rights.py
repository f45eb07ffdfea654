"""Rights: who may do what beneath which path.

Rules only grant. A rule holds for its path and everything beneath, by whole segments, so a right
on a folder is a right on all it holds. That is what lets the tree check a whole subtree by its top.
"""

import enum
from collections.abc import Iterable

import msgspec

from providers.errors import Denied
from vfs.auth.caller import Caller
from vfs.tree import paths


class Right(enum.StrEnum):
    """What a rule can grant. `list` shows names and properties; `read` gives a file's bytes."""

    LIST = "list"
    READ = "read"
    CREATE = "create"
    MODIFY = "modify"
    DELETE = "delete"
    LOCK = "lock"
    SHARE = "share"
    ADMIN = "admin"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Grants `rights` at and beneath `path` to everybody whom `who` names.

    `who` holds "anyone", "authenticated", "user:NAME" and "group:NAME".
    """

    path: str
    who: frozenset[str]
    rights: frozenset[Right]


class Rights:
    """Decides on every access. Immutable: a reload makes a new one.

    Without any rule everything is allowed; then the gateway serves its own machine only.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = tuple(rules)

    def allows(self, caller: Caller, path: str, right: Right) -> bool:
        """Tell whether `caller` has `right` at `path`."""
        return not self._rules or any(
            right in rule.rights and paths.is_within(path, rule.path) and _names(rule, caller)
            for rule in self._rules
        )

    def allows_any(self, caller: Caller, path: str, *rights: Right) -> bool:
        """Tell whether `caller` has one of `rights` at `path`."""
        return any(self.allows(caller, path, right) for right in rights)

    def allows_somewhere(self, caller: Caller, *rights: Right) -> bool:
        """Tell whether `caller` has one of `rights` at any path."""
        return not self._rules or any(
            not rule.rights.isdisjoint(rights) and _names(rule, caller) for rule in self._rules
        )

    def check(self, caller: Caller, path: str, *rights: Right) -> None:
        """Raise Denied unless `caller` has one of `rights` at `path`."""
        if not self.allows_any(caller, path, *rights):
            wanted = " or ".join(f"'{right}'" for right in rights)
            raise Denied(path, detail=f"no rule gives {_who(caller)} the right {wanted} here")

    def leads_somewhere(self, caller: Caller, folder: str) -> bool:
        """Tell whether a rule gives `caller` something beneath `folder`.

        Such a folder may be walked through: its listing shows just what leads on.
        """
        return any(
            rule.path != folder and paths.is_within(rule.path, folder) and _names(rule, caller)
            for rule in self._rules
        )


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
    )


def _who(caller: Caller) -> str:
    return f"user {caller.name!r}" if caller.name is not None else "a caller without a login"
