"""CachedWriter: writes to a store that is cached."""

from contextlib import AbstractContextManager
from typing import Protocol

from providers.base import Entry, Writer


class Store(Protocol):
    """What a writer needs of the store that made it."""

    def asking(self) -> AbstractContextManager[None]:
        """Run a block as a call to the store."""
        ...

    def changing(self, *paths: str) -> AbstractContextManager[None]:
        """Change these paths in a block."""
        ...

    def changed(self, path: str, entry: Entry) -> None:
        """Remember what was committed."""
        ...


class CachedWriter(Writer):
    """Writes through to the store; what it commits is known at once."""

    def __init__(self, store: Store, path: str, inner: Writer) -> None:
        self._store = store
        self._path = path
        self._inner = inner

    def write(self, data: bytes | bytearray | memoryview) -> None:
        with self._store.asking():
            self._inner.write(data)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        with self._store.asking():
            self._inner.write_at(offset, data)

    def truncate(self, size: int) -> None:
        with self._store.asking():
            self._inner.truncate(size)

    def commit(self) -> Entry:
        with self._store.changing(self._path):
            entry = self._inner.commit()
        self._store.changed(self._path, entry)
        return entry

    def abort(self) -> None:
        self._inner.abort()

    def fileno(self) -> int | None:
        return self._inner.fileno()
