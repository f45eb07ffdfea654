"""Right and Grant: what can be allowed, and where."""

import enum

import msgspec


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


class Grant(msgspec.Struct, frozen=True):
    """Rights at `path` and everything beneath, by whole segments."""

    path: str
    rights: frozenset[Right]
