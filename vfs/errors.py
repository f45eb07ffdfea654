"""The one table: what an error means to a client and to the log."""

import logging

import msgspec

from processors import errors as processing
from processors.errors import ProcessingError
from providers import errors
from providers.errors import StorageError
from vfs.state import errors as state
from vfs.state.errors import StateError
from vfs.tree.unmade import Unmade


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

PROCESSING_TABLE: dict[type[ProcessingError], Meaning] = {
    processing.BadValue: Meaning(400),
    processing.OutOfRange: Meaning(400),
    processing.UnknownName: Meaning(404),
    processing.TooLarge: Meaning(413),
    processing.UnsupportedFormat: Meaning(501),
    processing.Malformed: Meaning(422),
    processing.SourceChanged: Meaning(409),
    processing.OverTime: Meaning(504, logging.WARNING),
    processing.Busy: Meaning(503),
    processing.Cancelled: Meaning(503),
    processing.Crashed: Meaning(503, logging.ERROR),
    processing.Poisoned: Meaning(422, logging.WARNING),
    processing.NoResultSpace: Meaning(507, logging.WARNING),
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
    if isinstance(error, Unmade):
        return PROCESSING_TABLE.get(type(error.cause), UNKNOWN)
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
