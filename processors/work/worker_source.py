"""Sources in a worker: read from a descriptor that was passed, or by asking the gateway."""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from processors.base import Member, Source
from processors.work import wire
from processors.work.channel import Channel
from processors.work.wire import PIECE_BYTES, WireSource, identity_of

# So much is asked for in one round trip at most.
_BATCH_BYTES = 64 << 20
_BATCH_SPANS = 100_000


class SourceFailed(Exception):
    """The gateway could not read the source; it knows why."""


class Link:
    """The channel to the gateway, for one request and its answer at a time.

    `channel` is fixed; `lock` is held from a request to the last byte of its answer.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.lock = threading.Lock()

    def read(self, spans: list[tuple[int, int]], member: Member | None) -> list[bytes]:
        """Return the bytes of some spans: one round trip."""
        with self.lock:
            asked = None if member is None else wire.WireMember.of(member)
            self.channel.send(wire.Read(tuple(spans), asked))
            pieces = []
            for _ in spans:
                piece = self.channel.receive_piece()
                if piece is None:
                    raise SourceFailed
                pieces.append(bytes(piece))
            return pieces


class DescriptorSource:
    """Reads a descriptor. All is fixed; the descriptor is the worker's to close."""

    def __init__(self, about: WireSource, descriptor: int) -> None:
        self.identity = about.identity
        self.name = about.name
        self.size = about.size
        self.version = about.version
        self._descriptor = descriptor

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes; what lies behind `size` belongs to nobody."""
        left = min(size, self.size - offset)
        if left <= 0:
            return b""
        data = os.pread(self._descriptor, left, offset)
        while len(data) < left:
            more = os.pread(self._descriptor, left - len(data), offset + len(data))
            if not more:
                # The file was cut: the gateway sees that when it looks at the version again.
                raise SourceFailed
            data += more
        return data

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the bytes of each span."""
        for offset, size in spans:
            yield self.read_at(offset, size)

    def fileno(self) -> int | None:
        """Return the descriptor."""
        return self._descriptor


class AskedSource:
    """Asks the gateway for each read. All is fixed."""

    def __init__(self, about: WireSource, link: Link, member: Member | None = None) -> None:
        self.identity = about.identity
        self.name = about.name
        self.size = about.size
        self.version = about.version
        self._link = link
        self._member = member

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes: one round trip up to 64 MiB."""
        return b"".join(self.read_many([(offset, size)]))

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the bytes of each span; up to 64 MiB cost one round trip."""
        batch: list[tuple[int, int]] = []
        held = 0
        for offset, size in spans:
            size = max(0, min(size, self.size - offset))  # noqa: PLW2901 - cut to what there is
            if size > PIECE_BYTES:
                yield from self._read(batch)
                batch, held = [], 0
                yield self._read_long(offset, size)
                continue
            if held + size > _BATCH_BYTES or len(batch) >= _BATCH_SPANS:
                yield from self._read(batch)
                batch, held = [], 0
            batch.append((offset, size))
            held += size
        yield from self._read(batch)

    def fileno(self) -> int | None:
        """There is no descriptor."""
        return None

    def _read(self, batch: list[tuple[int, int]]) -> Iterator[bytes]:
        if not batch:
            return
        for (_, size), data in zip(batch, self._link.read(batch, self._member), strict=True):
            if len(data) != size:
                raise SourceFailed
            yield data

    def _read_long(self, offset: int, size: int) -> bytes:
        spans = [
            (at, min(PIECE_BYTES, offset + size - at))
            for at in range(offset, offset + size, PIECE_BYTES)
        ]
        return b"".join(self._read(spans))


class AskedFolder:
    """Asks the gateway for members and their bytes. All is fixed."""

    def __init__(self, about: WireSource, link: Link) -> None:
        self.identity = about.identity
        self.name = about.name
        self.version = about.version
        self._link = link

    def members(self) -> Iterator[Member]:
        """Yield every file beneath, sorted by path."""
        found: list[Member] = []
        with self._link.lock:
            self._link.channel.send(wire.Members())
            while True:
                page, _ = self._link.channel.receive()
                if not isinstance(page, wire.Page):
                    raise SourceFailed
                if not page.members:
                    break
                found += [each.member for each in page.members]
        return iter(found)

    @contextmanager
    def open(self, member: Member) -> Iterator[Source]:
        """Give the bytes of one member; nothing has to be closed here."""
        about = WireSource(
            identity=identity_of(f"{self.identity}/{member.path}"),
            name=member.path.rpartition("/")[2],
            version=member.version,
            size=member.size,
        )
        yield AskedSource(about, self._link, member)
