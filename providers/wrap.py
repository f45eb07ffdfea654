"""Wrappers with the same contract as the provider inside: prefix, read-only, latency, faults.

`Wrapper` forwards every method. A subclass overrides `_inside`, which turns a path into the inner
one, or `_before`, which runs before each operation and may refuse it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec.structs import replace

from providers.base import Capabilities, Content, Entry, Options, Provider, Reader, Usage, Writer
from providers.errors import Denied, InvalidPath, NotADirectory, StorageError, Unsupported
from providers.names import check_path, join

_CHANGES = frozenset(
    {
        "create",
        "modify",
        "mkdir",
        "remove",
        "rmdir",
        "rename",
        "copy",
        "set_mtime",
        "set_xattrs",
        "sweep",
    }
)
_READS = frozenset({"stat", "scandir", "open", "health", "checksum", "usage", "xattrs", "refresh"})
# What happens inside a listing, a reader and a writer.
_STEPS = frozenset({"entry", "read_at", "write", "write_at", "truncate", "commit"})


class Wrapper(Provider):
    """Forwards everything. `inner` is fixed."""

    name = "wrapper"
    options = Options

    def __init__(self, inner: Provider) -> None:
        self.inner = inner

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]  # as lazy as the inner one's
        """Return what is left of the inner store's capabilities."""
        return self.inner.capabilities

    def _before(self, operation: str, amount: int = 1) -> None:
        """Let an operation through by returning; `amount` counts bytes where bytes move."""

    def _inside(self, path: str) -> str:
        return path

    def stat(self, path: str) -> Entry:
        self._before("stat")
        return self.inner.stat(self._inside(path))

    def scandir(self, path: str) -> Iterator[Entry]:
        self._before("scandir")
        return self.inner.scandir(self._inside(path))

    def open(self, path: str) -> Reader:
        self._before("open")
        return self.inner.open(self._inside(path))

    def get_many(
        self, paths: Iterable[str], size: int
    ) -> Iterator[tuple[str, Content | StorageError]]:
        self._before("get_many")
        return self.inner.get_many(paths, size)

    def health(self) -> None:
        self._before("health")
        self.inner.health()

    def close(self) -> None:
        self.inner.close()

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        self._before("create")
        return self.inner.create(
            self._inside(path), overwrite=overwrite, expect=expect, size_hint=size_hint
        )

    def modify(self, path: str, *, expect: str | None = None) -> Writer:
        self._before("modify")
        return self.inner.modify(self._inside(path), expect=expect)

    def mkdir(self, path: str) -> Entry:
        self._before("mkdir")
        return self.inner.mkdir(self._inside(path))

    def remove(self, path: str, *, expect: str | None = None) -> None:
        self._before("remove")
        self.inner.remove(self._inside(path), expect=expect)

    def rmdir(self, path: str) -> None:
        self._before("rmdir")
        self.inner.rmdir(self._inside(path))

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        self._before("rename")
        return self.inner.rename(self._inside(source), self._inside(target), overwrite=overwrite)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        self._before("copy")
        return self.inner.copy(self._inside(source), self._inside(target), overwrite=overwrite)

    def set_mtime(self, path: str, mtime_ns: int) -> Entry:
        self._before("set_mtime")
        return self.inner.set_mtime(self._inside(path), mtime_ns)

    def checksum(self, path: str, algorithm: str, *, expect: str | None = None) -> bytes:
        self._before("checksum")
        return self.inner.checksum(self._inside(path), algorithm, expect=expect)

    def usage(self, path: str) -> Usage:
        self._before("usage")
        return self.inner.usage(self._inside(path))

    def xattrs(self, path: str) -> Mapping[str, bytes]:
        self._before("xattrs")
        return self.inner.xattrs(self._inside(path))

    def set_xattrs(self, path: str, changes: Mapping[str, bytes | None]) -> None:
        self._before("set_xattrs")
        self.inner.set_xattrs(self._inside(path), changes)

    def refresh(self, path: str) -> None:
        self._before("refresh")
        self.inner.refresh(self._inside(path))

    def sweep(self, *, older_than_seconds: float) -> int:
        self._before("sweep")
        return self.inner.sweep(older_than_seconds=older_than_seconds)


class PrefixProvider(Wrapper):
    """Makes the folder `prefix` of the provider inside the root. No path leads out of it.

    `prefix` is fixed. The folder must exist when it is used, and cannot be removed from inside.
    """

    name = "prefix"

    def __init__(self, inner: Provider, prefix: str) -> None:
        super().__init__(inner)
        self.prefix = check_path(prefix)

    def _inside(self, path: str) -> str:
        # The check comes first: joined to the prefix, ".." would be a path like others.
        return join(self.prefix, check_path(path)) if path else self.prefix

    def get_many(
        self, paths: Iterable[str], size: int
    ) -> Iterator[tuple[str, Content | StorageError]]:
        refused: list[tuple[str, StorageError]] = []

        def inside() -> Iterator[str]:
            for path in paths:
                try:
                    yield self._inside(path)
                except InvalidPath as error:
                    refused.append((path, error))

        start = len(join(self.prefix, ""))
        for path, found in super().get_many(inside(), size):
            yield path[start:], found
            yield from _emptied(refused)
        yield from _emptied(refused)

    def stat(self, path: str) -> Entry:
        entry = super().stat(path)
        return entry if path else replace(entry, name="")

    def set_mtime(self, path: str, mtime_ns: int) -> Entry:
        entry = super().set_mtime(path, mtime_ns)
        return entry if path else replace(entry, name="")

    def rmdir(self, path: str) -> None:
        if not path and self.capabilities.mkdir and self.capabilities.remove:
            raise Denied(path, detail="the root of a store stays")
        super().rmdir(path)

    def health(self) -> None:
        super().health()
        if not self.stat("").is_folder:
            raise NotADirectory(detail="the mount's folder is a file; name a folder")


class ReadOnlyProvider(Wrapper):
    """Refuses every change with Unsupported, and says so in its capabilities."""

    name = "read-only"

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]  # as in Wrapper
        """Return the inner store's capabilities without those that change."""
        return replace(
            self.inner.capabilities,
            create=False,
            modify=False,
            mkdir=False,
            remove=False,
            rename=False,
            copy=False,
            set_mtime=False,
            xattrs=False,  # the capability means both reading and writing them
            exclusive_create=False,
            conditional_create=False,
        )

    def _before(self, operation: str, amount: int = 1) -> None:
        if operation in _CHANGES or operation == "xattrs":
            raise Unsupported(detail="this mount is read-only")

    def sweep(self, *, older_than_seconds: float) -> int:
        return 0


class _Gate(Wrapper):
    """Runs `_before` inside listings, readers and writers too, so it gives no descriptors."""

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]  # as in Wrapper
        """Return the inner store's capabilities without descriptors."""
        return replace(self.inner.capabilities, descriptors=False)

    def scandir(self, path: str) -> Iterator[Entry]:
        for entry in super().scandir(path):
            self._before("entry")
            yield entry

    def open(self, path: str) -> Reader:
        return _GatedReader(self._before, super().open(path))

    def get_many(
        self, paths: Iterable[str], size: int
    ) -> Iterator[tuple[str, Content | StorageError]]:
        # One by one, so that each opening and each read passes the gate.
        return Provider.get_many(self, paths, size)

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        writer = super().create(path, overwrite=overwrite, expect=expect, size_hint=size_hint)
        return _GatedWriter(self._before, writer)

    def modify(self, path: str, *, expect: str | None = None) -> Writer:
        return _GatedWriter(self._before, super().modify(path, expect=expect))


class LatencyProvider(_Gate):
    """Waits before each call, as a far store would; entries of a listing come without a wait.

    `delay_seconds` is fixed.
    """

    name = "latency"

    def __init__(self, inner: Provider, delay_seconds: float) -> None:
        super().__init__(inner)
        self.delay_seconds = delay_seconds

    def _before(self, operation: str, amount: int = 1) -> None:
        if operation != "entry":
            time.sleep(self.delay_seconds)


class FaultProvider(_Gate):
    """Fails where it is told to. `_lock` guards `_faults`."""

    name = "fault"

    def __init__(self, inner: Provider) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self._faults: dict[str, _Fault] = {}

    def fail(
        self,
        operation: str,
        error: Callable[[], Exception],
        *,
        after: int = 0,
        times: int | None = None,
    ) -> None:
        """Raise `error()` in each call of `operation`, once `after` units have passed.

        An operation is a method of Provider, `read_at` of its readers, `write`, `write_at`,
        `truncate` or `commit` of its writers, or `entry`, one step of a listing. The unit is the
        byte for reads and writes, else the call. After `times` errors it works again.
        """
        if operation not in _READS | _CHANGES | _STEPS:
            raise ValueError(f"{operation!r} is no operation that can fail")
        with self._lock:
            self._faults[operation] = _Fault(error, after, times)

    def heal(self) -> None:
        """Let everything work again."""
        with self._lock:
            self._faults.clear()

    def _before(self, operation: str, amount: int = 1) -> None:
        with self._lock:
            fault = self._faults.get(operation)
            if fault is None or fault.times == 0:
                return
            if amount <= fault.after:
                fault.after -= amount
                return
            fault.after = 0
            if fault.times is not None:
                fault.times -= 1
        raise fault.error()


class _Fault:
    """What is to fail, and when. The provider's lock guards it."""

    def __init__(self, error: Callable[[], Exception], after: int, times: int | None) -> None:
        self.error = error
        self.after = after
        self.times = times


class _GatedReader(Reader):
    def __init__(self, before: Callable[[str, int], None], inner: Reader) -> None:
        self._before = before
        self._inner = inner
        self.entry = inner.entry

    def read_at(self, offset: int, size: int) -> bytes:
        self._before("read_at", max(0, size))
        return self._inner.read_at(offset, size)

    def close(self) -> None:
        self._inner.close()


class _GatedWriter(Writer):
    def __init__(self, before: Callable[[str, int], None], inner: Writer) -> None:
        self._before = before
        self._inner = inner

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._before("write", memoryview(data).nbytes)
        self._inner.write(data)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self._before("write_at", memoryview(data).nbytes)
        self._inner.write_at(offset, data)

    def truncate(self, size: int) -> None:
        self._before("truncate", 1)
        self._inner.truncate(size)

    def commit(self) -> Entry:
        try:
            self._before("commit", 1)
        except BaseException:
            self._inner.abort()
            raise
        return self._inner.commit()

    def abort(self) -> None:
        self._inner.abort()


def _emptied(
    refused: list[tuple[str, StorageError]],
) -> Iterator[tuple[str, StorageError]]:
    """Yield what was refused, and forget it."""
    while refused:
        yield refused.pop()
