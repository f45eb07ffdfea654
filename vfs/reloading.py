"""Reloading: how a new configuration gets to one worker after the other."""

import logging

from vfs.config import Config
from vfs.place import Place
from vfs.worker import Reload, Reloaded, Stop

_log = logging.getLogger(__name__)


class Reloading:
    """A reload under way: one worker after the other is asked. What the first refuses none takes.

    Used by the supervisor alone.
    """

    def __init__(self, fresh: Config, places: list[Place]) -> None:
        self.fresh = fresh
        self.text = "no worker is there to take it"
        self.taken = False
        self.is_kept = False
        self._asked: Place | None = None
        self._left = [place for place in places if place.process]

    def asks_next(self) -> bool:
        """Ask the next worker, unless one is being asked; False when nobody is left."""
        if self._asked is None and self._left:
            self._asked = self._left.pop(0)
            self._asked.say(Reload(self.fresh, tells=not self.taken))
        return self._asked is not None

    def answered(self, place: Place, message: Reloaded) -> None:
        """Take the answer of the worker that was asked."""
        if place is not self._asked:
            return
        self._asked = None
        if not self.taken:
            self.taken, self.text = message.taken, message.text
            if not message.taken:
                self._left.clear()
        elif not message.taken:
            _log.warning(
                "worker %d refuses what another has taken, and is replaced: %s",
                place.number,
                message.text,
            )
            place.say(Stop())

    def lost(self, place: Place) -> None:
        """Go on without a worker that died; whoever takes its place has what is in force."""
        if place is self._asked:
            self._asked = None
        elif place in self._left:
            self._left.remove(place)
