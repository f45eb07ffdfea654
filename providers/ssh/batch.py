"""Many files at once: small files, attributes and the members of folders, all pipelined."""

import contextlib
import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence

import msgspec

from providers.errors import StorageError
from providers.ssh import wire
from providers.ssh.exchange import Exchange, Reply, Request
from providers.ssh.requests import Requests

_LOOKS = 2  # for each file that may be open so many are looked at: none waits for its LSTAT
_STATS_AT_ONCE = 128
_AHEAD_FIRST = 8
_AHEAD_MOST = 64
_BYTES_MOST = 8 << 20
_READING = wire.u32(wire.FOR_READING) + wire.u32(0)


class Small(msgspec.Struct, frozen=True):
    """What stands at a path, and all bytes of it if it is a small file.

    `data` is None where it is no file, is larger, or was changed while it was read.
    """

    path: str
    attributes: wire.Attributes
    data: bytes | None


class _File:
    """One path on its way. Used by one thread."""

    __slots__ = (
        "attributes",
        "behind",
        "data",
        "failure",
        "has_handle",
        "is_opened",
        "left",
        "path",
    )

    def __init__(self, path: str) -> None:
        self.path = path
        self.attributes: wire.Attributes | None = None
        self.behind: wire.Attributes | None = None
        self.data = b""
        self.failure: StorageError | None = None
        self.is_opened = False
        self.has_handle = False
        self.left = 1

    @property
    def size(self) -> int:
        """The size that LSTAT told."""
        return 0 if self.attributes is None else self.attributes.size or 0

    def found(self) -> Small | StorageError:
        """Return what has come of it."""
        if self.failure is not None or self.attributes is None:
            return self.failure or StorageError(self.path)
        behind = self.behind
        is_whole = (
            behind is not None
            and (behind.size, behind.mtime) == (self.attributes.size, self.attributes.mtime)
            and behind.size == len(self.data)
        )
        return Small(self.path, self.attributes, self.data if is_whole else None)


class _Many:
    """Small files on their way over one session. Used by one thread.

    No more files are open than `session.files_at_once`, nor more bytes on their way than
    `_BYTES_MOST`; twice as many are looked at meanwhile. A file counts as open until its CLOSE is
    sent: the server takes the next OPEN after it, so a round trip far away serves so many files.
    """

    def __init__(self, session: Requests, paths: Iterable[str], size: int) -> None:
        self.exchange = session.dialogue.exchange()
        self._session = session
        self._names = iter(paths)
        self._limit = min(size, session.read_size)
        self._waiting: deque[_File] = deque()
        self._looks = session.files_at_once
        self._looking = 0
        self._open = 0
        self._bytes = 0

    def run(self) -> Iterator[Small | StorageError | None]:
        """Yield what is found, in any order; None when all is asked and the next step waits."""
        while True:
            batch: list[Request] = []
            ready: list[_File] = []
            while self.exchange.replies:
                file = self._step(self.exchange.replies.popleft(), batch)
                if file is not None:
                    ready.append(file)
            self._open_waiting(batch)
            self._look(batch)
            if batch:
                self._session.dialogue.ask(self.exchange, batch)
            for file in ready:
                yield file.found()
            if not self.exchange.outstanding and not self.exchange.replies:
                return
            if not self.exchange.replies:
                yield None
                self._session.dialogue.wait(self.exchange, self.exchange.outstanding - 1)

    def _look(self, batch: list[Request]) -> None:
        free = self._looks - self._looking - len(self._waiting)
        if free < self._looks // 4:
            return
        # The first time no more, so that other sessions that help find something to do.
        self._looks = _LOOKS * self._session.files_at_once
        for path in itertools.islice(self._names, free):
            self._looking += 1
            batch.append(Request(wire.LSTAT, wire.name(path), tag=_File(path)))

    def _open_waiting(self, batch: list[Request]) -> None:
        while self._waiting and self._open < self._session.files_at_once:
            file = self._waiting[0]
            if self._open and self._bytes + file.size > _BYTES_MOST:
                return
            self._waiting.popleft()
            self._open += 1
            self._bytes += file.size
            file.is_opened = True
            batch.append(Request(wire.OPEN, wire.name(file.path) + _READING, tag=file))

    def _step(self, reply: Reply, batch: list[Request]) -> _File | None:
        """Take one reply and add what is to be asked next; return the file if it is done."""
        file, kind, body, _ = reply
        session = self._session
        assert isinstance(file, _File)
        if not file.is_opened:
            self._looking -= 1
            return self._looked_at(file, kind, body)
        if kind == wire.HANDLE:
            named = wire.string(session.parse(wire.parse_string, body)[0])
            # A server handles what concerns one handle in order (section 6.1 of the draft).
            batch += (
                Request(wire.READ, named + wire.span(0, file.size + 1), tag=file),
                Request(wire.FSTAT, named, tag=file),
                Request(wire.CLOSE, named, told=False),
            )
            file.has_handle = True
            file.left += 1
            self._open -= 1
            return None
        if kind == wire.DATA:
            file.data = session.parse(wire.parse_string, body)[0]
        elif kind == wire.ATTRS:
            file.behind = session.parse(wire.parse_attributes, body)[0]
        else:
            self._refused(file, kind, body)
            self._open -= not file.has_handle
        file.left -= 1
        if file.left:
            return None
        self._bytes -= file.size
        return file

    def _looked_at(self, file: _File, kind: int, body: bytes) -> _File | None:
        if kind != wire.ATTRS:
            self._refused(file, kind, body)
            return file
        file.attributes = self._session.parse(wire.parse_attributes, body)[0]
        if not file.attributes.is_file or file.size > self._limit:
            return file
        self._waiting.append(file)
        return None

    def _refused(self, file: _File, kind: int, body: bytes) -> None:
        self._session.expect(wire.STATUS, kind)
        try:
            self._session.check(body, file.path)
        except StorageError as error:
            file.failure = file.failure or error


def get_many(session: Requests, paths: Iterable[str], size: int) -> Generator[Small | StorageError]:
    """Yield what stands at each path, in any order, with all bytes of files up to `size`.

    LSTAT comes first, so that no link is followed and no FIFO opened. Then FSTAT behind the bytes
    must tell what LSTAT told. A file over `session.read_size` counts as larger too. What went wrong
    with one path is yielded as its error, with its path.
    """
    with contextlib.closing(in_steps(session, paths, size)) as steps:
        for found in steps:
            if found is not None:
                yield found


def in_steps(
    session: Requests, paths: Iterable[str], size: int
) -> Generator[Small | StorageError | None]:
    """Yield what `get_many` does, and None where the next step waits for the server.

    So one thread drives several sessions: it sends what all of them have to ask before it waits.
    """
    many = _Many(session, paths, size)
    try:
        yield from many.run()
    finally:
        _close_opened(session, many.exchange)


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
            reply = exchange.replies.popleft()
            path = reply[0]
            assert isinstance(path, str)
            try:
                yield path, _attributes(session, path, reply)
            except StorageError as error:
                if not session.alive:
                    raise
                yield path, error


def enter(
    session: Requests, folder: str, looked_at: Sequence[str]
) -> tuple[bytes | StorageError, dict[str, wire.Attributes | StorageError]]:
    """Return the handle of a folder and what LSTAT tells of some paths, in one round trip."""
    exchange = session.dialogue.exchange()
    requests = [Request(wire.LSTAT, wire.name(path), tag=path) for path in looked_at]
    requests.append(Request(wire.OPENDIR, wire.name(folder)))
    session.dialogue.ask(exchange, requests)
    session.dialogue.wait(exchange)
    handle: bytes | StorageError = b""
    found: dict[str, wire.Attributes | StorageError] = {}
    for reply in exchange.replies:
        path, kind, body, _ = reply
        try:
            if isinstance(path, str):
                found[path] = _attributes(session, path, reply)
                continue
            if kind == wire.STATUS:
                session.check(body, folder)
            session.expect(wire.HANDLE, kind)
            handle = session.parse(wire.parse_string, body)[0]
        except StorageError as error:
            if not session.alive:
                raise
            if isinstance(path, str):
                found[path] = error
            else:
                handle = error
    return handle, found


def _attributes(session: Requests, path: str, reply: Reply) -> wire.Attributes:
    _, kind, body, _ = reply
    if kind == wire.STATUS:
        session.check(body, path)
    session.expect(wire.ATTRS, kind)
    return session.parse(wire.parse_attributes, body)[0]


def members(
    session: Requests, path: str, handle: bytes | None = None, *, is_far: bool = False
) -> Generator[tuple[str, wire.Attributes]]:
    """Yield the members of a folder with what LSTAT would tell, in constant memory.

    8 replies are asked for ahead, and up to 64 in a folder that turns out long, or if the server
    is far. A `handle` that the folder has been opened with is closed here.
    """
    if handle is None:
        handle = session.handle(wire.OPENDIR, wire.name(path), path=path)
    named = wire.string(handle)
    exchange = session.dialogue.exchange()
    ahead, more = _AHEAD_MOST if is_far else _AHEAD_FIRST, True
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
