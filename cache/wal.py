"""Wal: the write-ahead log of an SQLite file, for which several processes may ask at once."""

import sqlite3
import time

_PAUSE_SECONDS = 0.01


def use_wal(connection: sqlite3.Connection, wait_seconds: float) -> bool:
    """Have the file keep a log; tell whether its disk can have one.

    Raises sqlite3.Error, also when others do not finish within `wait_seconds`.
    """
    # While several processes make the switch at once, SQLite refuses without waiting.
    give_up_at = time.monotonic() + wait_seconds
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > give_up_at:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return bool(mode == "wal")


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another connection was in the way."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
