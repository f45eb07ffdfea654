"""Request and Response: what every handler takes and gives."""

import copy
import functools
from collections.abc import Iterable
from typing import NamedTuple, Self

from vfs.auth.caller import Caller
from vfs.http.arrival import Arrival
from vfs.http.bad_request import BadRequest
from vfs.http.body import Body
from vfs.http.conditions import Conditions, parse_conditions
from vfs.http.target import KNOWN_CHARACTERS, Target, origin, parse_target, quote

TEXT = "text/plain; charset=utf-8"


class Response(NamedTuple):
    """What a handler answers. `body` is bytes, blocks of bytes, or a FileSlice.

    Bytes get their Content-Length from the gate.
    """

    status: int
    headers: list[tuple[str, str]]
    body: Iterable[bytes] | bytes = b""


class Request:
    """One request, parsed as far as every method needs it. Fixed but for its body.

    `target` is the arrival's, or what stands beneath the name of a page. `headers` has lower-case
    names. `prefix` is what each href begins with, quoted. `origins` are
    the forms in which a Destination may name this server. Raises BadRequest when
    target or conditions are malformed.
    """

    def __init__(
        self, arrival: Arrival, target: str, caller: Caller, bases: tuple[str, ...]
    ) -> None:
        self.arrival = arrival
        self.method = arrival.method
        self.headers = arrival.headers
        self.caller = caller
        self._bases = bases
        self.target: Target = parse_target(target)
        self.path = self.target.path
        self.prefix = quote(self.target.prefix) if self.target.prefix else ""
        self.conditions: Conditions = parse_conditions(arrival.headers)
        self.body: Body = arrival.body

    @property
    def origins(self) -> tuple[str, ...]:
        """The schemes and hosts that the client may know this server by."""
        bases = self._bases
        is_short = sum(map(len, bases)) <= KNOWN_CHARACTERS
        return _known_origins(bases) if is_short else _origins(bases)

    @property
    def base(self) -> str:
        """The URL of the namespace that the client uses: the public one, if one is configured."""
        return next(base for base in reversed(self._bases) if base)

    @property
    def no_cache(self) -> bool:
        """Tell whether the client wants nothing that is remembered: RFC 9111, 5.2.1 and 5.4."""
        control = self.headers.get("cache-control")
        if control is None:
            return "no-cache" in self.headers.get("pragma", "").lower()
        wishes = {wish.strip().replace(" ", "") for wish in control.lower().split(",")}
        return not wishes.isdisjoint({"no-cache", "max-age=0"})

    @property
    def has_body(self) -> bool:
        """Tell whether the head announced a body."""
        return "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"

    def href(self, path: str) -> str:
        """Return the href of a tree path, beneath the prefix that the client uses."""
        return self.prefix + quote(path)

    def at(self, target: Target) -> Self:
        """Return the same request, directed at another target."""
        other = copy.copy(self)
        other.target, other.path = target, target.path
        return other

    def small_body(self, limit: int) -> bytes:
        """Return the whole body; BadRequest 413 when it is longer than `limit`."""
        length = self.headers.get("content-length")
        if length is not None and int(length) > limit:
            raise _too_large(limit)
        data = self.body.read(limit + 1)
        if len(data) > limit:
            raise _too_large(limit)
        return data


def _origins(bases: tuple[str, ...]) -> tuple[str, ...]:
    parts = (base.partition("://") for base in bases if base)
    return tuple(origin(scheme, host.partition("/")[0]) for scheme, _, host in parts)


_known_origins = functools.lru_cache(maxsize=256)(_origins)


def _too_large(limit: int) -> BadRequest:
    return BadRequest(413, f"The body of this request may have {limit} bytes; send less.")


def text_response(status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Return a line of text as the whole answer."""
    body = f"{text}\n".encode(errors="backslashreplace")
    return Response(status, [("Content-Type", TEXT), *headers], body)
