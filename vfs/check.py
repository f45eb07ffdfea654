"""Checking: each store of a configuration is tried, all at once, and what hinders it is told."""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import msgspec

from providers import registry
from providers.errors import (
    BadCredentials,
    Corrupted,
    Denied,
    NotADirectory,
    NotFound,
    RateLimited,
    StorageError,
    TimedOut,
    Unavailable,
)
from vfs.auth.stored_secrets import StoredSecrets
from vfs.auth.vault import VaultError
from vfs.binding import bind, needs_stored, vault_of
from vfs.config import Config, StoreConfig
from vfs.state.sqlite import STATE_FILE, SqliteStore
from vfs.store_cache import complaint, folder_fault, is_cached
from vfs.toml_file import ConfigError

LIMIT_SECONDS = 5.0

_WAYS_OUT: dict[type[StorageError], str] = {
    NotFound: "make it, or correct the path in the configuration",
    NotADirectory: "name a folder in the configuration",
    Denied: "give the gateway's user access to it",
    BadCredentials: "correct the user or the secret",
    Unavailable: "check that it runs, its address, and the firewall between",
    TimedOut: "check that it runs, its address, and the firewall between",
    RateLimited: "try again later",
    Corrupted: "restore it before it is served",
}


class Result(msgspec.Struct, frozen=True):
    """How one store answered. `diagnosis` is empty when it serves."""

    path: str
    place: int
    provider: str
    seconds: float
    diagnosis: str = ""

    @property
    def title(self) -> str:
        """The mount's path and the kind of store; a replica has its number."""
        number = f" replica {self.place}" if self.place else ""
        return f"{self.path}{number} ({self.provider})"


@contextmanager
def with_secrets(config: Config) -> Iterator[Config]:
    """Give the configuration with its secrets bound, for as long as its stores are tried.

    Raises ConfigError about one that the gateway does not keep, or when none can be opened.
    """
    if not needs_stored(config):
        yield config
        return
    folder = config.server.state_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        vault = vault_of(config, folder)
    except (OSError, VaultError) as error:
        raise ConfigError(f"{config.file}: the stored secrets cannot be opened: {error}") from error
    with closing(SqliteStore(folder / STATE_FILE)) as store:
        yield bind(config, StoredSecrets(store, vault))


def check(config: Config, *, limit_seconds: float = LIMIT_SECONDS) -> Iterator[Result]:
    """Yield one result a store, each as it comes; one that takes longer counts as down."""
    inbox: queue.SimpleQueue[Result] = queue.SimpleQueue()
    waiting: dict[tuple[str, int], str] = {}
    for mount in config.mounts:
        for place, store in enumerate(mount.stores):
            waiting[mount.path, place] = store.provider
            # A daemon, because a store that hangs must not hold up the end of the command.
            threading.Thread(
                target=_try, args=(mount.path, place, store, inbox), daemon=True
            ).start()
    end = time.monotonic() + limit_seconds
    while waiting:
        try:
            result = inbox.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        del waiting[result.path, result.place]
        yield result
    text = f"no answer within {limit_seconds:g} s; {_WAYS_OUT[TimedOut]}"
    for (path, place), provider in waiting.items():
        yield Result(path, place, provider, limit_seconds, text)


def cache_fault(config: Config) -> str:
    """Return what is wrong with the cache folder, if stores need one and it is there already.

    It is not made here: it would belong to who checks, and not to the gateway's user.
    """
    folder = config.server.cache_dir
    needed = any(is_cached(mount, store) for mount in config.mounts for store in mount.stores)
    fault = folder_fault(folder) if needed and folder.exists() else ""
    return complaint(folder, fault) if fault else ""


def _try(path: str, place: int, store: StoreConfig, inbox: "queue.SimpleQueue[Result]") -> None:
    start = time.monotonic()
    diagnosis = ""
    try:
        provider = registry.make(store.provider, store.options)
        try:
            provider.health()
        finally:
            provider.close()
    except Exception as error:  # noqa: BLE001 - a store is foreign code; what it raises is told
        diagnosis = _diagnose(error)
    inbox.put(Result(path, place, store.provider, time.monotonic() - start, diagnosis))


def _diagnose(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    way_out = next((way for leaf, way in _WAYS_OUT.items() if isinstance(error, leaf)), "")
    if isinstance(error, Unavailable) and not error.temporary:
        way_out = ""  # it was reached, and its own words name the way out
    return f"{text}; {way_out}" if way_out else text
