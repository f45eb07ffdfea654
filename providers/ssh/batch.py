"""Many files at once: small files, attributes and the members of folders, all pipelined."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from providers.errors import StorageError
from providers.ssh import wire
from providers.ssh.exchange import Exchange, Reply, Request
from providers.ssh.requests import Requests

_STATS_AT_ONCE = 128
_AHEAD_FIRST = 8
_AHEAD_MOST = 64


class Small(msgspec.Struct, frozen=True):
    """The beginning of one file. It is whole when `attributes.size` is the length of `data`."""

    path: str
    attributes: wire.Attributes
    data: bytes


class _File:
    """One file on its way. Used by one thread."""

    __slots__ = ("attributes", "data", "failure", "left", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.attributes = wire.Attributes()
        self.data = b""
        self.failure: StorageError | None = None
        self.left = 1


def get_many(session: Requests, paths: Iterable[str], size: int) -> Iterator[Small | StorageError]:
    """Yield the first `size` bytes and the attributes of each file, in any order.

    `session.files_at_once` files are open together. A server handles what concerns one handle in
    order (section 6.1 of the draft), so FSTAT, READ and CLOSE follow each other without a wait.
    What went wrong with one file is yielded as its error, with its path.
    """
    size = min(size, session.read_size)
    exchange = session.dialogue.exchange()
    names = iter(paths)
    live = 0
    try:
        while True:
            batch: list[Request] = []
            ready: list[_File] = []
            while exchange.replies:
                file = _step(session, exchange.replies.popleft(), size, batch)
                if file.left == 0:
                    ready.append(file)
            live -= len(ready)
            wanted = session.files_at_once - live
            fresh = [_open(path) for path in itertools.islice(names, wanted)]
            live += len(fresh)
            batch += fresh
            if batch:
                session.dialogue.ask(exchange, batch)
            for file in ready:
                yield file.failure or Small(file.path, file.attributes, file.data)
            if not live:
                return
            if not exchange.replies:
                session.dialogue.wait(exchange, exchange.outstanding - 1)
    finally:
        _close_opened(session, exchange)


def _open(path: str) -> Request:
    how = wire.u32(wire.FOR_READING) + wire.u32(0)
    return Request(wire.OPEN, wire.name(path) + how, tag=_File(path))


def _step(session: Requests, reply: Reply, size: int, batch: list[Request]) -> _File:
    """Take one reply to a file's request and add what is to be asked next."""
    file, kind, body, _ = reply
    assert isinstance(file, _File)
    if kind == wire.HANDLE:
        named = wire.string(session.parse(wire.parse_string, body)[0])
        batch += (
            Request(wire.FSTAT, named, tag=file),
            Request(wire.READ, named + wire.span(0, size), tag=file),
            Request(wire.CLOSE, named, told=False),
        )
        file.left = 2
        return file
    file.left -= 1
    if kind == wire.ATTRS:
        file.attributes = session.parse(wire.parse_attributes, body)[0]
    elif kind == wire.DATA:
        file.data = session.parse(wire.parse_string, body)[0]
    else:
        session.expect(wire.STATUS, kind)
        try:
            session.check(body, file.path)
        except StorageError as error:
            file.failure = error
    return file


def _close_opened(session: Requests, exchange: Exchange) -> None:
    """Close what was opened for a listener that left."""
    if not session.alive or not (exchange.outstanding or exchange.replies):
        return
    session.dialogue.wait(exchange)
    for _, kind, body, _ in exchange.replies:
        if kind == wire.HANDLE:
            session.dialogue.ask(None, (Request(wire.CLOSE, body),))


def stat_many(
    session: Requests, paths: Sequence[str], *, follow: bool = True
) -> Iterator[tuple[str, wire.Attributes | StorageError]]:
    """Yield the attributes of each path, or its error, in any order."""
    exchange = session.dialogue.exchange()
    kind = wire.STAT if follow else wire.LSTAT
    names = iter(paths)
    while True:
        fresh = list(itertools.islice(names, _STATS_AT_ONCE - exchange.outstanding))
        if fresh:
            requests = [Request(kind, wire.name(path), tag=path) for path in fresh]
            session.dialogue.ask(exchange, requests)
        elif not exchange.outstanding:
            return
        session.dialogue.wait(exchange, exchange.outstanding // 2)
        while exchange.replies:
            path, found, body, _ = exchange.replies.popleft()
            assert isinstance(path, str)
            try:
                if found == wire.STATUS:
                    session.check(body, path)
                session.expect(wire.ATTRS, found)
            except StorageError as error:
                if not session.alive:
                    raise
                yield path, error
            else:
                yield path, session.parse(wire.parse_attributes, body)[0]


def members(session: Requests, path: str) -> Iterator[tuple[str, wire.Attributes]]:
    """Yield the members of a folder with what LSTAT would tell, in constant memory.

    8 replies are asked for ahead, and up to 64 in a folder that turns out long.
    """
    named = wire.string(session.handle(wire.OPENDIR, wire.name(path), path=path))
    exchange = session.dialogue.exchange()
    ahead, more = _AHEAD_FIRST, True
    try:
        while more or exchange.outstanding or exchange.replies:
            wanted = ahead - exchange.outstanding - len(exchange.replies)
            if more and wanted >= ahead // 2:
                session.dialogue.ask(exchange, [Request(wire.READDIR, named)] * wanted)
                ahead = min(ahead * 2, _AHEAD_MOST)
            if not exchange.replies:
                session.dialogue.wait(exchange, exchange.outstanding - 1)
            _, kind, body, _ = exchange.replies.popleft()
            if kind == wire.STATUS:
                more = more and session.check(body, path)
                continue
            session.expect(wire.NAME, kind)
            for name, attributes in session.parse(wire.parse_names, body):
                if "/" in name or "\0" in name or not name:
                    raise session.dialogue.broken("it lists a name that no file can have")
                if name not in {".", ".."}:
                    yield name, attributes
    finally:
        if session.alive:
            with contextlib.suppress(StorageError):
                session.dialogue.ask(None, (Request(wire.CLOSE, named),))
