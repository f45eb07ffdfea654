"""StoreCache: the one cache of a gateway, and the stores that are read through it."""

import errno
import logging
import os
import tempfile
from hashlib import blake2b
from pathlib import Path

import msgspec

from cache.blocks import BlockCache
from cache.budget import Limits
from cache.listings import Listings
from providers import registry
from providers.base import Provider
from providers.cached import CachedProvider
from providers.guard import Guard
from vfs.cache_config import CacheMode
from vfs.config import Config, MountConfig, StoreConfig

_log = logging.getLogger(__name__)

_DAY_SECONDS = 86_400
_PROBE_BYTES = 4096


class StoreCache:
    """Wraps stores with one BlockCache and its Listings in `server.cache_dir`. All is fixed.

    A folder that cannot be used hinders nothing: everything is asked of the stores then.
    """

    def __init__(self, config: Config) -> None:
        settings = config.cache
        age = settings.max_age_days
        limits = Limits(
            max_bytes=settings.size_bytes,
            max_age_seconds=None if age is None else age * _DAY_SECONDS,
            free_bytes=settings.free_bytes,
        )
        folder = config.server.cache_dir
        self.fault = _fault(config)
        if self.fault:
            _log.warning("%s", complaint(folder, self.fault))
        self.blocks = BlockCache(folder, limits)
        self.listings = Listings(self.blocks.database)
        self._settings = settings

    def wrap(
        self, provider: Provider, name: str, *, guard: Guard | None = None, is_last: bool = True
    ) -> CachedProvider:
        """Return `provider` read through the cache under `name`.

        Only the last replica of a mount stands in for itself when it is down: before that the next
        one is asked.
        """
        return CachedProvider(
            provider,
            self.blocks,
            self.listings,
            name,
            ttl_seconds=self._settings.listing_ttl_seconds,
            stale_if_error_seconds=self._settings.stale_if_error_seconds if is_last else 0.0,
            guard=guard,
        )

    def close(self) -> None:
        """Stop the sweeper and close the index; close the stores first."""
        self.blocks.close()


def is_cached(mount: MountConfig, store: StoreConfig) -> bool:
    """Tell whether a store of a mount is read through the cache. Raises RegistryError."""
    if mount.cache is not None:
        return mount.cache is not CacheMode.OFF
    return registry.find(store.provider).remote


def cache_name(mount: MountConfig, store: StoreConfig) -> str:
    """Return the name of a store in the cache: another store has another, also at the same mount.

    So what was remembered of the old store is never taken for the new one's.
    """
    options = msgspec.json.encode((store.provider, store.options), enc_hook=repr, order="sorted")
    return f"{mount.path}#{blake2b(options, digest_size=6).hexdigest()}"


def complaint(folder: Path, fault: str) -> str:
    """Return the sentence for a folder that cannot be used, and the way out."""
    way_out = "make room" if fault == os.strerror(errno.ENOSPC) else "make it writable"
    return (
        f"server.cache_dir '{folder}' cannot be used, so nothing is cached: {fault};"
        f" {way_out} or name another"
    )


def folder_fault(folder: Path) -> str:
    """Return why a file cannot be kept in a folder; "" when it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _fault(config: Config) -> str:
    folder = config.server.cache_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return folder_fault(folder)
