"""Unmade: a derived file that is refused, or could not be made, as an error of the tree."""

from processors.errors import Busy, Crashed, OverTime, ProcessingError
from providers.errors import StorageError

RETRY_SECONDS = 5.0


class Unmade(StorageError):
    """Carries the error of processing as `cause`. `example` is a corrected path of the tree."""

    def __init__(self, path: str, cause: ProcessingError, *, mount: str = "") -> None:
        passing = isinstance(cause, Busy | Crashed | OverTime)
        super().__init__(
            path,
            detail=cause.detail,
            temporary=passing,
            retry_after_seconds=_retry_after(cause),
        )
        self.text = cause.text  # type: ignore[misc] # each cause has its own
        self.cause = cause
        self.example = f"{mount}/{cause.example}" if cause.example else ""


def _retry_after(cause: ProcessingError) -> float | None:
    if isinstance(cause, Busy):
        return cause.retry_after_seconds
    return RETRY_SECONDS if isinstance(cause, Crashed) else None
