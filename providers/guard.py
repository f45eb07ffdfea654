"""Guard: who is asked before a store is, and told how that went."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from providers.errors import StorageError


class Guard(Protocol):
    """Lets calls to one store through, or refuses them while it is down."""

    def enter(self) -> int:
        """Count a call in; raise Unavailable when it should not be made."""
        ...

    def leave(self, entered: int, error: StorageError | None = None) -> None:
        """Count a call out, with what `enter` gave and the error it ended in."""
        ...


class NoGuard:
    """Lets everything through."""

    def enter(self) -> int:
        """Return at once."""
        return 0

    def leave(self, entered: int, error: StorageError | None = None) -> None:
        """Forget it."""


@contextmanager
def guarded(guard: Guard, provider: str) -> Iterator[None]:
    """Run the block as one call to the store; an error in it is the store's, `provider` by name."""
    entered = guard.enter()
    failure: StorageError | None = None
    try:
        yield
    except StorageError as error:
        error.provider = error.provider or provider
        failure = error
        raise
    finally:
        guard.leave(entered, failure)
