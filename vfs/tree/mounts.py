"""Where each store stands in the namespace."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import ParamSpec, TypeVar

from providers.base import Entry, Kind, Provider
from providers.errors import InvalidPath, ReadOnly, StorageError
from vfs.tree import paths
from vfs.tree.computed import READ_ONLY, ComputedProvider
from vfs.tree.health import DOWN, Breaker

_KNOWN_MAX = 4_096
_KNOWN_CHARACTERS = 256

P = ParamSpec("P")
T = TypeVar("T")


class Replica:
    """One provider of a mount, with its breaker and a count of who uses it.

    `provider`, `breaker`, `is_guarded` are fixed; `_lock` guards the rest. A retired replica closes
    its provider when the last call, reader and writer is done, so a reload drops no transfer.

    A provider that is guarded asks the breaker itself, and only for what it cannot answer alone: a
    cache goes on while its store is down.
    """

    def __init__(
        self, provider: Provider, breaker: Breaker | None = None, *, is_guarded: bool = False
    ) -> None:
        self.provider = provider
        self.breaker = breaker or Breaker()
        self.is_guarded = is_guarded
        self._lock = threading.Lock()
        self._users = 0
        self._retired = False

    def call(self, path: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call one method of the provider under the breaker; complete the error with context.

        `path` is the tree path that an error is reported for.
        """
        entered = None if self.is_guarded else self.breaker.enter()
        self.acquire()
        failure: StorageError | None = None
        try:
            return function(*args, **kwargs)
        except StorageError as error:
            failure = error.at(provider=self.provider.name, operation=function.__name__, path=path)
            raise
        finally:
            if entered is not None:
                self.breaker.leave(entered, failure)
            self.release()

    def hand_out(
        self, path: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call as `call` does, and count a user in for what is returned: who closes it, releases.

        It is counted before the call, so that no reload closes the provider in between.
        """
        self.acquire()
        try:
            return self.call(path, function, *args, **kwargs)
        except BaseException:
            self.release()
            raise

    def acquire(self) -> None:
        """Count a user in: a call, a reader, a writer or a listing under way."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """Count a user out."""
        with self._lock:
            self._users -= 1
            last = self._retired and self._users == 0
        if last:
            self.provider.close()

    def retire(self) -> None:
        """Close the provider as soon as nobody uses it."""
        with self._lock:
            self._retired = True
            last = self._users == 0
        if last:
            self.provider.close()


class Mount:
    """One or more providers at one path, in order of preference. All attributes are fixed.

    `computed` is the provider of files that are made when they are read, None of any other. The
    first replica is the primary: it takes every change. The others hold the same files, kept
    in step by other means, and answer reads while the primary is down.
    """

    def __init__(
        self,
        path: str,
        replicas: Sequence[Provider | Replica],
        *,
        read_only: bool = False,
    ) -> None:
        if not replicas:
            raise ValueError(f"the mount {path!r} needs a provider")
        self.path = paths.parse(path)
        self.replicas = tuple(
            replica if isinstance(replica, Replica) else Replica(replica) for replica in replicas
        )
        self.read_only = read_only

        provider = self.primary.provider
        self.computed = provider if isinstance(provider, ComputedProvider) else None

    @property
    def computes(self) -> bool:
        """Tell whether its files are made when they are read."""
        return self.computed is not None

    @property
    def primary(self) -> Replica:
        """The replica that takes changes."""
        return self.replicas[0]

    @property
    def is_certain(self) -> bool:
        """Tell whether what is read here is what a change will find: one store, asked each time."""
        return len(self.replicas) == 1 and not self.primary.provider.capabilities.deferred

    @property
    def is_prompt(self) -> bool:
        """Tell whether no store of it waits for another machine."""
        for replica in self.replicas:  # noqa: SIM110 - a loop, since it runs on each request
            if not replica.provider.prompt:
                return False
        return True

    def writable(self, path: str) -> Replica:
        """Return the primary; raise ReadOnly for a read-only mount."""
        if self.computes:
            raise ReadOnly(path, detail=READ_ONLY)
        if self.read_only:
            raise ReadOnly(path, detail=f"the mount {self.path} is read-only")
        return self.primary

    def read(self, path: str, use: Callable[[Replica], T]) -> T:
        """Return what the first replica that serves gives; raise the primary's error if none."""
        first: StorageError | None = None
        for replica in self.replicas:
            try:
                return use(replica)
            except DOWN as error:
                first = first or error.at(provider=replica.provider.name, operation="", path=path)
        assert first is not None
        raise first

    @property
    def down_seconds(self) -> float | None:
        """How long no replica has served, or None while one does."""
        downs = [replica.breaker.down_seconds for replica in self.replicas]
        known = [seconds for seconds in downs if seconds is not None]
        return min(known) if len(known) == len(downs) else None


class MountTable:
    """Every mount by its path. Immutable, but for what it remembers: a reload makes a new one.

    Folders on the way to a mount exist by themselves, whether or not a store has them, and a mount
    hides what a store has at its path.
    """

    def __init__(self, mounts: Iterable[Mount] = ()) -> None:
        self.mounts: dict[str, Mount] = {}
        self._children: dict[str, dict[str, Entry]] = {paths.ROOT: {}}
        made_ns = time.time_ns()
        for mount in mounts:
            if mount.path in self.mounts:
                raise InvalidPath(mount.path, detail="two mounts have this path")
            self.mounts[mount.path] = mount
            path = mount.path
            while path != paths.ROOT:
                folder, name = paths.parent(path), paths.basename(path)
                self._children.setdefault(folder, {})[name] = Entry(
                    name, Kind.FOLDER, 0, made_ns, f"mount-{made_ns:x}"
                )
                path = folder
        self.computes = any(mount.computes for mount in self.mounts.values())
        self._entries = {
            paths.join(folder, name): entry
            for folder, members in self._children.items()
            for name, entry in members.items()
        }
        self._entries[paths.ROOT] = Entry("", Kind.FOLDER, 0, made_ns, f"mount-{made_ns:x}")
        # Each request asks several times for one path. An entry is set in one step, or lost.
        self._found: dict[str, tuple[Mount | None, str]] = {}

    def find(self, path: str) -> tuple[Mount | None, str]:
        """Return the mount that serves `path` and the path as its providers know it."""
        found = self._found.get(path)
        if found is None:
            found = self._search(path)
            if len(path) <= _KNOWN_CHARACTERS:
                if len(self._found) >= _KNOWN_MAX:
                    self._found.clear()
                self._found[path] = found
        return found

    def _search(self, path: str) -> tuple[Mount | None, str]:
        place = path
        while True:
            mount = self.mounts.get(place)
            if mount is not None:
                return mount, paths.relative(path, place)
            if place == paths.ROOT:
                return None, path[1:]
            place = paths.parent(place)

    def is_computed(self, path: str) -> bool:
        """Tell whether what is at `path` is made when it is read."""
        if not self.computes:
            return False
        mount, _ = self.find(path)
        return mount is not None and mount.computes

    def prompt_mount(self, path: str) -> str | None:
        """Return the path of the mount at `path` if its stores are prompt, else None.

        A computed file is as prompt as the store of its source.
        """
        mount, below = self.find(path)
        if mount is None or not mount.is_prompt:
            return None
        if mount.computed is not None:
            source = mount.computed.prompt_source(below)
            stored = None if source is None else self.find(source)[0]
            if stored is None or not stored.is_prompt:
                return None
        return mount.path

    def children(self, path: str) -> dict[str, Entry]:
        """Return the mounts, and folders on the way to one, that lie directly in `path`."""
        return self._children.get(path, {})

    def entry(self, path: str) -> Entry | None:
        """Return the entry of a mount, or of a folder on the way to one; None elsewhere."""
        return self._entries.get(path)

    def within(self, path: str) -> list[Mount]:
        """Return the mounts at or beneath `path`."""
        if path not in self._entries:
            # It is neither the path of a mount nor on the way to one, as nearly always.
            return []
        return [mount for place, mount in self.mounts.items() if paths.is_within(place, path)]
