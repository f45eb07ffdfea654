"""What is remembered of stores: the mode of a mount, and the table of the cache."""

import enum
from typing import Annotated

import msgspec

from cache.room import RoomLimits
from providers.cached import LISTING_TTL_SECONDS, STALE_IF_ERROR_SECONDS
from vfs.section import Section

_LIMITS = RoomLimits()


class CacheMode(enum.StrEnum):
    """What of a mount is remembered."""

    OFF = "off"
    READ = "read"
    WRITE = "write"


class CacheConfig(Section, frozen=True, kw_only=True):
    """What is remembered of stores in `server.cache_dir`; only a restart changes it."""

    size_bytes: Annotated[int, msgspec.Meta(ge=0)] = 20 << 30
    """How much of the disk cached files may take, in bytes; the longest unused go first."""
    free_bytes: Annotated[int, msgspec.Meta(ge=0)] = 1 << 30
    """How much of that disk is left free, whatever `size_bytes` allows."""
    max_age_days: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """For how long a cached file is kept without being used; for ever by default."""
    listing_ttl_seconds: Annotated[float, msgspec.Meta(ge=0)] = LISTING_TTL_SECONDS
    """How long an entry or a listing is believed; changes by others show that late at most."""
    stale_if_error_seconds: Annotated[float, msgspec.Meta(ge=0)] = STALE_IF_ERROR_SECONDS
    """How much longer what is remembered is served, marked, while its store does not answer."""
    pending_bytes: Annotated[int, msgspec.Meta(gt=0)] = _LIMITS.pending_bytes
    """With `cache = "write"`: how many bytes of a mount may wait to be uploaded; then writers do.
    They lie in `server.state_dir`."""
    pending_free_bytes: Annotated[int, msgspec.Meta(ge=0)] = _LIMITS.free_bytes
    """How much of the disk of `server.state_dir` they leave free."""
