"""The one table: what an error means to a client and to the log."""

import logging

import msgspec

from providers import errors
from providers.errors import StorageError
from vfs.state import errors as state
from vfs.state.errors import StateError


class Meaning(msgspec.Struct, frozen=True):
    """HTTP status and log level of one class of errors."""

    status: int
    level: int = logging.INFO


TABLE: dict[type[StorageError], Meaning] = {
    errors.NotFound: Meaning(404),
    errors.AlreadyExists: Meaning(412),
    errors.NotADirectory: Meaning(409),
    errors.IsADirectory: Meaning(405),
    errors.NotEmpty: Meaning(409),
    errors.Denied: Meaning(403),
    errors.ReadOnly: Meaning(403),
    errors.InvalidPath: Meaning(400),
    errors.BadRange: Meaning(416),
    errors.Changed: Meaning(412),
    errors.Unsupported: Meaning(501),
    errors.NoSpace: Meaning(507, logging.WARNING),
    errors.Unavailable: Meaning(503, logging.WARNING),
    errors.RateLimited: Meaning(503),
    errors.TimedOut: Meaning(504, logging.WARNING),
    errors.BadCredentials: Meaning(502, logging.ERROR),
    errors.Corrupted: Meaning(502, logging.ERROR),
}

STATE_TABLE: dict[type[StateError], Meaning] = {
    state.LockConflict: Meaning(423),
    state.NoSuchLock: Meaning(412),
    state.NotLockOwner: Meaning(403),
    state.NoSuchUpload: Meaning(404),
    state.UploadExists: Meaning(405),
    state.AlreadyThere: Meaning(409),
    state.NoSuchAccount: Meaning(404),
    state.TooLarge: Meaning(507),
    state.TooMany: Meaning(507),
    state.Invalid: Meaning(400),
    state.Busy: Meaning(503, logging.WARNING),
    state.Full: Meaning(507, logging.ERROR),
    state.Unavailable: Meaning(503, logging.ERROR),
    state.Damaged: Meaning(503, logging.ERROR),
}

UNKNOWN = Meaning(502, logging.ERROR)
"""A failure that its provider could not name."""


def meaning(error: StorageError) -> Meaning:
    """Return what `error` means: its class, or the nearest class above it that has a row."""
    for ancestor in type(error).__mro__:
        row = TABLE.get(ancestor)
        if row is not None:
            return row
    return UNKNOWN


def state_meaning(error: StateError) -> Meaning:
    """Return what an error of the state store means."""
    return STATE_TABLE.get(type(error), UNKNOWN)


def sentence(error: StorageError) -> str:
    """Return what a client may be told: thing and cause, without the store's inner names."""
    what = f"{error.text}: {error.detail}" if error.detail else error.text
    return f"{error.path}: {what}" if error.path else what
