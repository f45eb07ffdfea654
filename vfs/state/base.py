"""The contract between the gateway and what it remembers.

Authoritative: nothing here can be computed again. Every method may be called from many threads,
and several gateway processes share one store: what one has done, all see at once. Every method
that changes something does all of it or nothing, and has done it when it returns.

Paths are canonical tree paths: "/" is the root, "/a/b" a resource, never a slash at the end.
"Beneath" goes by whole segments: "/ab" is not beneath "/a". Names, owners and values come from
clients and are only ever values. Every failure is a leaf of `errors.StateError`.
"""

import enum
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Self, TypeAlias

import msgspec

from vfs.state.accounts import AccountStore
from vfs.state.derived import DerivedStore

__all__ = [
    "Depth",
    "LockRecord",
    "PartRecord",
    "PropertyName",
    "Scope",
    "StateStore",
    "UploadRecord",
]

PropertyName: TypeAlias = tuple[str, str]
"""Namespace and local name of a property."""


class Depth(enum.StrEnum):
    """What a lock covers: its resource alone, or everything beneath as well."""

    ZERO = "0"
    INFINITY = "infinity"


class Scope(enum.StrEnum):
    """Whether a lock tolerates others beside it."""

    EXCLUSIVE = "exclusive"
    SHARED = "shared"


class LockRecord(msgspec.Struct, frozen=True, gc=False):
    """One write lock (RFC 4918, section 6).

    `path` is the lock root. `owner_xml` is what the client wrote about itself, kept as it is;
    `principal` is who the gateway knows it to be. `timeout_seconds` is what was granted last.
    """

    token: str
    path: str
    depth: Depth
    scope: Scope
    owner_xml: str
    principal: str
    timeout_seconds: int
    created_at_ns: int
    expires_at_ns: int


class UploadRecord(msgspec.Struct, frozen=True, gc=False):
    """One upload that arrives in parts.

    The client chose `id`, unique for its owner. `size` is the announced total, None if it was not.
    `staging` is the caller's own: where the parts are (a folder, a multipart upload of a store).
    """

    owner: str
    id: str
    target: str
    size: int | None
    staging: str
    created_at_ns: int
    touched_at_ns: int


class PartRecord(msgspec.Struct, frozen=True, gc=False):
    """One part that is safely stored. `token` is the caller's own: an ETag, a file name."""

    number: int
    size: int
    token: str


class StateStore(AccountStore, DerivedStore):
    """Remembers locks, dead properties and upload sessions.

    Two parts of it have files of their own: who may come in (`accounts`), and how derived files
    came to be (`derived`).
    """

    @abstractmethod
    def health(self) -> None:
        """Return when the store serves; raise what hinders it, with cause and way out."""

    @abstractmethod
    def close(self) -> None:
        """Give back connections and descriptors. Closing twice is no error."""

    # Locks. One that has expired is gone: no method returns it or is hindered by it.

    @abstractmethod
    def acquire(
        self,
        path: str,
        *,
        principal: str,
        scope: Scope = Scope.EXCLUSIVE,
        depth: Depth = Depth.INFINITY,
        owner_xml: str = "",
        seconds: float | None = None,
    ) -> LockRecord:
        """Take a lock; among all threads and processes only one of two that conflict gets it.

        Conflicting are locks on `path`, locks of depth infinity on what is above it and, if
        `depth` is infinity, locks on anything beneath it, unless both are shared. Raises
        LockConflict with those (the first hundred). `seconds` None asks for the default,
        `math.inf` for the longest; `limits.lock_seconds` grants. Raises TooMany, TooLarge.
        """

    @abstractmethod
    def refresh(self, lock: LockRecord, principal: str, seconds: float | None = None) -> LockRecord:
        """Let the time of a lock, found by its path and token, begin anew.

        Raises NoSuchLock, NotLockOwner.
        """

    @abstractmethod
    def release(self, lock: LockRecord) -> None:
        """End a lock, found likewise; NoSuchLock. Who may do that, the caller decides."""

    @abstractmethod
    def locks_on(self, path: str) -> list[LockRecord]:
        """Return every lock that covers `path`: its own, and those of depth infinity above it."""

    @abstractmethod
    def locks_beneath(self, path: str) -> list[LockRecord]:
        """Return the locks on `path` and on everything beneath it."""

    @abstractmethod
    def locks_of_children(self, folder: str) -> dict[str, list[LockRecord]]:
        """Return the locks on each direct member of `folder`, by the member's name.

        Inherited locks are left out: they are `locks_on(folder)` of depth infinity.
        """

    @abstractmethod
    def any_locks(self) -> bool:
        """Tell whether there is any lock at all: true for all processes, and cheap."""

    # Dead properties: kept for the client, without meaning here.

    @abstractmethod
    def properties(self, path: str) -> dict[PropertyName, str]:
        """Return the properties of one resource; empty if it has none."""

    @abstractmethod
    def properties_of_children(
        self, folder: str, names: Collection[str] | None = None
    ) -> dict[str, dict[PropertyName, str]]:
        """Return the properties of the direct members of `folder`, by the member's name.

        Members without properties are left out. With `names`, only those are looked up, so that
        a listing goes page by page in bounded memory.
        """

    @abstractmethod
    def set_properties(
        self,
        path: str,
        sets: Mapping[PropertyName, str],
        removes: Iterable[PropertyName] = (),
    ) -> None:
        """Remove, then set; removing what is not there is no error.

        Raises TooLarge or TooMany beyond `limits`, and then nothing has changed.
        """

    @abstractmethod
    def knows(self, path: str) -> bool:
        """Tell whether there is a property or a lock of `path` or of anything beneath it."""

    # Whole trees: the caller has done it to the files, and tells. `vfs.state.follower` does.

    @abstractmethod
    def drop_tree(self, path: str) -> None:
        """Forget properties and locks of `path` and of all beneath: it was deleted."""

    @abstractmethod
    def drop_properties(self, path: str) -> None:
        """Forget the properties of `path` and of all beneath: it is new. Cheap if there are none.

        Locks stay: a name may be locked before something is put there.
        """

    @abstractmethod
    def prune(self, path: str, exists: Callable[[str], bool]) -> None:
        """Forget properties and locks of each path, `path` or beneath, that `exists` denies.

        `exists` is asked in no transaction and may be slow. Each page of paths is dropped by
        itself, so this alone of all methods may do a part and then fail.
        """

    @abstractmethod
    def move_tree(self, source: str, target: str) -> None:
        """Move the properties of `source` and of all beneath to `target`: it was renamed.

        Those that `target` had are gone. Locks do not move: those on the source and beneath it
        die, and those beneath the target. A lock on `target` itself stays and covers what is there
        now (RFC 4918, 7.6). Raises Invalid when one path is beneath the other.
        """

    @abstractmethod
    def copy_tree(self, source: str, target: str, *, shallow: bool = False) -> None:
        """Copy the properties of `source` and of all beneath to `target`: it was copied.

        `shallow` copies those of `source` alone. Those that `target` had are gone, in any depth.
        Locks are never copied; beneath the target they die, one on `target` itself stays. Raises
        Invalid when one path is beneath the other.
        """

    # Uploads in parts. A session survives the process, not its target's fate: it is by itself.

    @abstractmethod
    def begin_upload(
        self, owner: str, upload_id: str, *, target: str, size: int | None, staging: str
    ) -> UploadRecord:
        """Open a session; UploadExists, TooMany."""

    @abstractmethod
    def upload(self, owner: str, upload_id: str) -> UploadRecord:
        """Return one session; NoSuchUpload, also when it is somebody else's."""

    @abstractmethod
    def uploads(self, owner: str) -> list[UploadRecord]:
        """Return the owner's sessions."""

    @abstractmethod
    def stale_uploads(self, *, untouched_seconds: float) -> list[UploadRecord]:
        """Return the sessions, of all owners, that took no part for so long, oldest first."""

    @abstractmethod
    def put_part(self, owner: str, upload_id: str, part: PartRecord) -> PartRecord | None:
        """Record a part; return the one of the same number that it replaces.

        Raises NoSuchUpload, TooMany.
        """

    @abstractmethod
    def parts(self, owner: str, upload_id: str) -> list[PartRecord]:
        """Return the parts by number; NoSuchUpload."""

    @abstractmethod
    def end_upload(self, owner: str, upload_id: str) -> None:
        """Forget a session and its parts; NoSuchUpload, so only one of two callers ends it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
