"""Presence: whether a table holds anything, without asking it each time."""

from vfs.state.connections import Connections


class Presence:
    """Remembers what it found as long as nobody commits anything.

    `_lend` and `_statement`, which finds one row if there is any, are fixed; `_known` is replaced
    in one step.
    """

    def __init__(self, lend: Connections, statement: str) -> None:
        self._lend = lend
        self._statement = statement
        self._known: tuple[int | None, bool] = (None, False)

    @property
    def is_ruled_out(self) -> bool:
        """Tell whether there is known to be nothing; it asks nobody."""
        return self.is_ruled_out_at(self._lend.now())

    def is_ruled_out_at(self, now: int | None) -> bool:
        """Tell whether there is known to be nothing, as long as `now` is what commits count."""
        return now is not None and self._known == (now, False)

    def __bool__(self) -> bool:
        """Tell whether there is anything."""
        now = self._lend.now()
        known, found = self._known
        if now is not None and now == known:
            return found
        with self._lend.read() as connection:
            found = connection.execute(self._statement).fetchone() is not None
        self._known = now, found
        return found
