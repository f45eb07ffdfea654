"""Events: what happened in the tree, told to all who follow it."""

import enum
import logging
from collections.abc import Callable

import msgspec

from providers.base import Entry
from vfs.auth.caller import Caller

_log = logging.getLogger(__name__)


class Happening(enum.StrEnum):
    """What an event reports."""

    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"
    COPIED = "copied"
    MOVED = "moved"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One change that has taken place.

    `path` is where; for COPIED and MOVED it is the source and `target` where it went. One event on
    a folder stands for everything beneath, unless it is `shallow`. A `partial` one left some
    members as they were: who must know which asks the tree. `entry` is what is there now.
    """

    happening: Happening
    path: str
    caller: Caller
    target: str | None = None
    shallow: bool = False
    partial: bool = False
    entry: Entry | None = None


class Events:
    """Hands each event to every follower, in the thread that made the change.

    Followers are added while the gateway is put together and fixed afterwards. A follower that
    fails is logged and hinders nobody: the change has taken place already.
    """

    def __init__(self) -> None:
        self._followers: list[Callable[[Event], None]] = []

    def follow(self, follower: Callable[[Event], None]) -> None:
        """Call `follower` with every event from now on."""
        self._followers.append(follower)

    def emit(self, event: Event) -> None:
        """Tell everybody."""
        for follower in self._followers:
            try:
                follower(event)
            except Exception:  # noqa: BLE001 - whatever a follower raises, the change stands
                _log.exception("a follower failed on %s %r", event.happening, event.path)
