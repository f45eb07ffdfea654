"""What can go wrong in the cache. A full or unwritable disk is none of it: reads pass through."""

__all__ = [
    "CacheError",
    "Closed",
    "JournalBusy",
    "JournalError",
    "JournalFull",
    "ResultsFull",
    "WrongLength",
]


class CacheError(Exception):
    """Tells what the cache could not do. What a caller's `fetch` raises is never wrapped in it."""


class WrongLength(CacheError):
    """The caller's `fetch` gave more or fewer bytes than it was asked for."""

    def __init__(self, offset: int, asked: int, given: int) -> None:
        super().__init__(f"{given} bytes came from offset {offset} where {asked} were asked for")
        self.offset = offset
        self.asked = asked
        self.given = given


class Closed(CacheError):
    """The file of the cache was closed while, or before, it was read."""

    def __init__(self) -> None:
        super().__init__("this file of the cache was closed; open it again")


class JournalError(CacheError):
    """The journal of pending writes cannot be read or written; nothing was acknowledged."""


class JournalFull(JournalError):
    """There is no room for more pending bytes.

    `passing` says that it may be otherwise once something was uploaded.
    """

    def __init__(self, text: str, *, passing: bool = True) -> None:
        super().__init__(text)
        self.passing = passing


class JournalBusy(JournalError):
    """Somebody else works on this path, and did not end in time."""


class ResultsFull(CacheError):
    """There is no room for one more result, or none of this size, or the disk refuses it."""
