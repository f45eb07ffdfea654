"""What every operation needs: one request, its reply, and what the reply says."""

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from providers.ssh import wire
from providers.ssh.dialogue import SILENCE_SECONDS, Dialogue
from providers.ssh.exchange import Request
from providers.ssh.status import EOF, OK, translate
from providers.ssh.stream import Stream

# Every server takes 32 KiB; more is asked for only when it says so.
_SAFE_BYTES: Final = 32 << 10
_LARGEST_BYTES: Final = 255 << 10
# Small files that are open together: few enough for any server, more when it says how many.
_FILES: Final = 64
_FILES_MOST: Final = 256
_VERSION: Final = 3

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Requests:
    """A session's beginning and its single requests; many threads may ask at once.

    All attributes are fixed once it is made: `extensions` maps what the server offers to a version,
    `read_size` and `write_size` are the largest pieces that it takes, `files_at_once` is how many
    small files are open together, `description` says where it is. A session that failed stays
    failed: every call raises Unavailable.
    """

    def __init__(self, stream: Stream, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        self.description = stream.description
        self.dialogue = Dialogue(stream, silence_seconds=silence_seconds)
        version, body = self.dialogue.greet()
        if version < _VERSION:
            raise self.dialogue.broken(f"it speaks version {version}, not {_VERSION}")
        self.extensions = self.parse(wire.parse_extensions, body)
        self.read_size = self.write_size = _SAFE_BYTES
        self.files_at_once = _FILES
        if self.offers("limits@openssh.com"):
            answer = self.extended("limits@openssh.com")
            _, read, write, handles = self.parse(wire.parse_u64s, answer, 4)
            self.read_size = min(read, _LARGEST_BYTES) or _SAFE_BYTES
            self.write_size = min(write, _LARGEST_BYTES) or _SAFE_BYTES
            self.files_at_once = max(_FILES, min(handles // 4, _FILES_MOST))

    @property
    def alive(self) -> bool:
        """Tell whether the session has not failed so far. A dead peer shows at the next call."""
        return self.dialogue.failure is None

    @property
    def is_direct(self) -> bool:
        """Tell whether data comes straight from the server's socket."""
        return self.dialogue.stream.is_direct

    def has_room(self, size: int) -> bool:
        """Tell whether the server takes so many bytes without a wait, as far as is known."""
        try:
            return self.dialogue.stream.has_room(size)
        except OSError:
            return True  # who sends is told why it fails

    def offers(self, extension: str) -> bool:
        """Tell whether the server offers an extension, by its full name."""
        return extension in self.extensions

    def close(self) -> None:
        """End the session. Twice is no error."""
        self.dialogue.close()

    def request(
        self, kind: int, *parts: wire.Bytes, path: str = "", patience_seconds: float = 0
    ) -> tuple[int, bytes]:
        """Send one request and return the kind and body of its reply; raise what a status says.

        `patience_seconds` is for what takes the server longer than its usual silence may last.
        """
        exchange = self.dialogue.exchange(patience_seconds)
        self.dialogue.ask(exchange, (Request(kind, *parts),))
        self.dialogue.wait(exchange)
        _, found, body, _ = exchange.replies.popleft()
        if found == wire.STATUS:
            self.check(body, path)
        return found, body

    def done(
        self, kind: int, *parts: wire.Bytes, path: str = "", patience_seconds: float = 0
    ) -> None:
        """Send one request whose reply is a status."""
        found, _ = self.request(kind, *parts, path=path, patience_seconds=patience_seconds)
        self.expect(wire.STATUS, found)

    def handle(self, kind: int, *parts: wire.Bytes, path: str = "") -> bytes:
        """Send one request whose reply is a handle."""
        found, body = self.request(kind, *parts, path=path)
        self.expect(wire.HANDLE, found)
        return self.parse(wire.parse_string, body)[0]

    def attributes(self, kind: int, *parts: wire.Bytes, path: str = "") -> wire.Attributes:
        """Send one request whose reply is attributes."""
        found, body = self.request(kind, *parts, path=path)
        self.expect(wire.ATTRS, found)
        return self.parse(wire.parse_attributes, body)[0]

    def one_name(self, kind: int, *parts: wire.Bytes, path: str = "") -> str:
        """Send one request whose reply is one name."""
        found, body = self.request(kind, *parts, path=path)
        self.expect(wire.NAME, found)
        names = self.parse(wire.parse_names, body)
        if len(names) != 1:
            raise self.dialogue.broken(f"it gave {len(names)} names where one belongs")
        return names[0][0]

    def extended(self, extension: str, *parts: wire.Bytes, path: str = "") -> bytes:
        """Send an extended request and return the body of its reply."""
        kind, body = self.request(wire.EXTENDED, wire.string(extension.encode()), *parts, path=path)
        self.expect(wire.EXTENDED_REPLY, kind)
        return body

    def check(self, body: bytes, path: str = "") -> bool:
        """Return whether a status is OK (False: an end was reached); raise what else it says."""
        code, message = self.parse(_status, body)
        if code in (OK, EOF):
            return code == OK
        raise translate(code, message, path)

    def expect(self, wanted: int, found: int) -> None:
        """End the session when a reply is of the wrong kind."""
        if wanted != found:
            raise self.dialogue.broken(f"a reply is of kind {found} where {wanted} belongs")

    def parse(self, parser: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Return what `parser` finds; end the session when the reply is malformed."""
        try:
            return parser(*args, **kwargs)
        except wire.Malformed as error:
            raise self.dialogue.broken(str(error)) from error


def _status(body: bytes) -> tuple[int, str]:
    code = wire.parse_u32(body)
    if len(body) == 4:  # noqa: PLR2004 - old servers leave the message out
        return code, ""
    message, _ = wire.parse_string(body, 4)
    return code, message.decode("utf-8", "replace")
