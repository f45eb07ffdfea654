"""Native: an application that takes requests as they arrive, and who serves it."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, cast

from vfs.http.arrival import Arrival
from vfs.http.line import Host
from vfs.http.visit import Visit

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Reply(NamedTuple):
    """An answer that was made: `body` is bytes, blocks of bytes, or a FileSlice."""

    status: int
    headers: list[tuple[str, str]]
    body: Iterable[bytes] | bytes
    visit: Visit


class Native(Protocol):
    """An application that takes requests as they are, without a WSGI environment."""

    def answer(self, arrival: Arrival) -> Reply:
        """Answer one request; WouldWait in a thread that must not wait."""

    def finish(self, reply: Reply, received: int, sent: int, *, whole: bool) -> None:
        """Note that an answer is out, or that it will never be."""


class Serving(Host, Protocol):
    """The server, as what answers requests sees it."""

    wsgi_app: Application

    @property
    def native(self) -> Native | None:
        """The same application, if it can do without WSGI."""


def native_of(application: object) -> Native | None:
    """Return an application as what needs no WSGI, or None when it is not that."""
    return cast("Native", application) if hasattr(application, "answer") else None
