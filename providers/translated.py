"""Translated: turns the system's errors into those of the contract."""

from types import TracebackType

from providers.errors import StorageError, from_oserror


class Translated:
    """Raises the leaf of StorageError for an OSError that leaves its `with` block.

    A leaf passes as it is; one without a path is given `path`, which is fixed.
    """

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, StorageError):
            error.path = error.path or self._path
        elif isinstance(error, OSError):
            raise from_oserror(error, self._path) from error
