"""Secret: a password or key that stands elsewhere, read when it is needed and never shown."""

import logging
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import msgspec

from providers.base import Options
from providers.errors import BadCredentials

SECRET_MAX_BYTES = 32 * 1024
"""The longest value; a private key is the longest that there is."""

Kind = Literal["file", "env", "secret"]
"""Where a value stands: in a file, an environment variable, or the gateway's own store."""

KINDS: tuple[Kind, ...] = ("file", "env", "secret")

NAME_RULE = (
    "a name has 1 to 64 letters, digits, '.', '_' and '-', and starts with a letter or digit"
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UNREADABLE = "a secret of this store cannot be read; the log says why"

_log = logging.getLogger(__name__)

OptionsT = TypeVar("OptionsT", bound=Options)


class Stored(Protocol):
    """The gateway's own store of secrets, as a Secret needs it."""

    def reveal(self, name: str) -> str:
        """Return the value of this name; BadCredentials when there is none that can be read."""

    def changed_at_ns(self, name: str) -> int | None:
        """Return when it was last set, None when there is no such name."""


class Secret:
    """Where one secret stands: its kind and a file, a variable or a name. Fixed once made.

    Two that stand at the same place are equal, whatever is there. One of the kind "secret" can be
    read once it is bound to the gateway's store. Neither str nor repr shows a value.
    """

    __slots__ = ("_stored", "kind", "reference")

    def __init__(self, kind: Kind, reference: str, stored: Stored | None = None) -> None:
        self.kind = kind
        self.reference = reference
        self._stored = stored

    def reveal(self) -> str:
        """Return the value as it is now, without a newline at its end; BadCredentials, logged."""
        if self.kind == "secret":
            if self._stored is None:
                raise self._refusal("it is bound to no store of secrets")
            return self._stored.reveal(self.reference)
        value = os.environ.get(self.reference, "") if self.kind == "env" else self._content()
        if not value:
            raise self._refusal("it is empty or not set")
        return value

    def stamp(self) -> object:
        """Return something that is another when another value may have been put there."""
        if self.kind == "env":
            return os.environ.get(self.reference) is not None
        if self.kind == "secret":
            return self._stored and self._stored.changed_at_ns(self.reference)
        try:
            status = Path(self.reference).stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    @property
    def state(self) -> str:
        """Say in a few words whether the value can be had; never the value."""
        if self.kind == "env":
            return "is set" if os.environ.get(self.reference) else "is not set"
        if self.kind == "secret":
            return "is stored" if self.stamp() is not None else "is not stored"
        if not os.access(self.reference, os.R_OK):
            return "cannot be read"
        return "can be read, by others too" if self.is_open_to_others else "can be read"

    @property
    def is_open_to_others(self) -> bool:
        """Tell whether every user of this machine may read the file."""
        if self.kind != "file":
            return False
        try:
            return bool(Path(self.reference).stat().st_mode & stat.S_IROTH)
        except OSError:
            return False

    def bound(self, stored: Stored) -> "Secret":
        """Return the same secret, to be read from `stored` when it stands there."""
        return Secret(self.kind, self.reference, stored)

    def _content(self) -> str:
        try:
            with Path(self.reference).open("rb") as stream:
                data = stream.read(SECRET_MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise self._refusal(getattr(error, "strerror", None) or str(error)) from error
        if len(data) > SECRET_MAX_BYTES:
            raise self._refusal(f"it is over {SECRET_MAX_BYTES} bytes long")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            # Not chained: the error holds the value.
            raise self._refusal("it is not UTF-8") from None
        return text.removesuffix("\n").removesuffix("\r")

    def _refusal(self, cause: str) -> BadCredentials:
        # The place is for the operator: a client may see the detail of an error.
        _log.error("the secret %s cannot be read: %s", self, cause)
        return BadCredentials(detail=_UNREADABLE)

    def __str__(self) -> str:
        return f"{self.kind} {self.reference!r}"

    def __repr__(self) -> str:
        return f"Secret({self.kind!r}, {self.reference!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self.kind, self.reference) == (other.kind, other.reference)

    def __hash__(self) -> int:
        return hash((self.kind, self.reference))


def is_name(text: str) -> bool:
    """Tell whether a secret in the gateway's own store may be called `text`."""
    return _NAME.fullmatch(text) is not None


def secrets_of(options: Options) -> Mapping[str, Secret]:
    """Return the secrets among the options of a store, by the names of their fields."""
    values = ((name, getattr(options, name)) for name in options.__struct_fields__)
    return {name: value for name, value in values if isinstance(value, Secret)}


def bound(options: OptionsT, stored: Stored) -> OptionsT:
    """Return the options with each secret bound to the gateway's store."""
    changes = {name: secret.bound(stored) for name, secret in secrets_of(options).items()}
    return msgspec.structs.replace(options, **changes) if changes else options
