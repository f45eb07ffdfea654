"""Grip: a file that is open in one session, and the ways to take hold of it in others."""

import contextlib
import time
from collections.abc import Mapping, Sequence

import msgspec

from providers.base import Entry
from providers.errors import Changed, StorageError
from providers.sftp_site import SftpSite, version_of
from providers.ssh import wire
from providers.ssh.exchange import Request
from providers.ssh.session import SftpSession
from providers.ssh.wire import Attributes

_FRESH_SECONDS = 2.0


class Grip(msgspec.Struct, frozen=True):
    """The file, opened in one session."""

    session: SftpSession
    handle: bytes

    def leave(self) -> None:
        """Close the handle without a wait."""
        if self.session.alive:
            with contextlib.suppress(StorageError):
                self.session.leave_handle(self.handle)


def held(site: SftpSite, sessions: Sequence[SftpSession], path: str, version: str) -> list[Grip]:
    """Return the file, opened in those sessions in which it is that version.

    All are asked at once, so that they cost three round trips together.
    """
    place = wire.name(site.place(path))
    reading = wire.u32(wire.FOR_READING) + wire.u32(0)
    found = _all({session: Request(wire.LSTAT, place) for session in sessions}, wire.ATTRS)
    opened = _all(
        {
            session: Request(wire.OPEN, place + reading)
            for session, body in found.items()
            if _is_version(session, body, version)
        },
        wire.HANDLE,
    )
    grips = {
        session: Grip(session, session.parse(wire.parse_string, body)[0])
        for session, body in opened.items()
    }
    told = _all(
        {session: Request(wire.FSTAT, wire.string(grip.handle)) for session, grip in grips.items()},
        wire.ATTRS,
    )
    good = []
    for session, grip in grips.items():
        if session in told and _is_version(session, told[session], version):
            good.append(grip)
        else:
            grip.leave()
    return good


def helpers(site: SftpSite, grips: Sequence[Grip], path: str, entry: Entry) -> list[Grip]:
    """Return the file in idle sessions other than those of `grips`; each is to be given back."""
    count = site.stripes() - len(grips)
    if count <= 0 or is_fresh(entry):
        return []
    sessions = site.pool.idle(count, {grip.session for grip in grips})
    grips = held(site, sessions, path, entry.version)
    helping = {grip.session for grip in grips}
    for session in sessions:
        if session not in helping:
            site.pool.give_back(session)
    return grips


def _is_version(session: SftpSession, body: bytes, version: str) -> bool:
    attributes, _ = session.parse(wire.parse_attributes, body)
    return attributes.is_file and version_of(attributes) == version


def _all(requests: Mapping[SftpSession, Request], kind: int) -> dict[SftpSession, bytes]:
    """Ask each session one thing, all at once; return the replies of that kind."""
    exchanges = {}
    for session, request in requests.items():
        with contextlib.suppress(StorageError):
            exchange = session.dialogue.exchange()
            session.dialogue.ask(exchange, (request,))
            exchanges[session] = exchange
    found = {}
    for session, exchange in exchanges.items():
        with contextlib.suppress(StorageError):
            session.dialogue.wait(exchange)
            _, came, body, _ = exchange.replies.popleft()
            if came == kind:
                found[session] = body
    return found


def check(entry: Entry, *, whole: bool, attributes: Attributes) -> None:
    """Raise Changed when the bytes before `attributes` were not those of `entry`."""
    if not whole or version_of(attributes) != entry.version:
        raise Changed(detail="the file was written while it was read")


def is_fresh(entry: Entry) -> bool:
    """Tell whether another file of the same size could have got the same time."""
    return abs(time.time() - entry.mtime_ns / 1e9) < _FRESH_SECONDS
