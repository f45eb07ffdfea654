"""Scatter: many small pieces of one open file, asked for together."""

from collections import deque
from collections.abc import Iterator

import msgspec

from providers.base import Entry
from providers.errors import Unavailable
from providers.sftp_grip import Grip, check, helpers
from providers.sftp_site import SftpSite
from providers.ssh.stretch import Stretch

_GROUP_BYTES = 512 << 10  # what is looked behind together
_GROUP_SPANS = 32
_AHEAD_GROUPS = 8
_AHEAD_GROUPS_NEAR = 4  # more of it would leave the processor's caches before it is taken
_WIDEN_GROUPS = 16  # after so many groups other sessions are asked to help

Span = tuple[int, int]
Piece = tuple[int, int, bytes | None]


class Scatter:
    """Pieces of one version, in the order of `spans`. Used by one thread.

    They go in groups, each with an FSTAT behind it, by turns over the sessions. `is_cut` tells that
    a session was lost; what had been asked for is then yielded without bytes, the rest is still in
    `spans`. All but `is_cut`, `_grips`, `_line` and `_turn` is fixed.
    """

    def __init__(
        self, site: SftpSite, path: str, grip: Grip, entry: Entry, spans: Iterator[Span]
    ) -> None:
        self.is_cut = False
        self._site = site
        self._path = path
        self._entry = entry
        self._spans = spans
        self._grips = [grip]
        self._line: deque[_Group] = deque()
        self._free: list[memoryview] = []
        self._turn = 0

    def run(self) -> Iterator[Piece]:
        """Yield offset, size and bytes of each span; None where it is no small piece."""
        ahead = _AHEAD_GROUPS if self._site.is_far else _AHEAD_GROUPS_NEAR
        try:
            while not self.is_cut:
                while len(self._line) < ahead * len(self._grips) and self._ask():
                    continue
                if not self._line:
                    return
                yield from self._finished()
            for group in self._line:
                for offset, size in group.spans:
                    yield offset, size, None
        finally:
            self._line.clear()
            for grip in self._grips[1:]:
                grip.leave()
                self._site.pool.give_back(grip.session)

    def _ask(self) -> bool:
        """Send one group; return whether it went well and there was one."""
        spans: list[Span] = []
        total = 0
        odd: Span | None = None
        for offset, wanted in self._spans:
            size = min(wanted, self._entry.size - offset)
            if offset < 0 or not 0 < size <= _GROUP_BYTES:
                odd = (offset, wanted)
                break
            spans.append((offset, size))
            total += size
            if total > _GROUP_BYTES // 2 or len(spans) == _GROUP_SPANS:
                break
        if spans:
            self._line.append(self._sent(spans, total))
        if odd is not None:
            self._line.append(_Group([odd]))
        return not self.is_cut and (bool(spans) or odd is not None)

    def _sent(self, spans: list[Span], total: int) -> "_Group":
        self._turn += 1
        if self._turn % _WIDEN_GROUPS == 0:
            self._widen()
        grip = self._grips[self._turn % len(self._grips)]
        memory = self._free.pop() if self._free else memoryview(bytearray(2 * _GROUP_BYTES))
        try:
            stretch = Stretch(grip.session, grip.handle, spans, memory[:total])
        except Unavailable:
            if grip.session.alive:
                raise
            self.is_cut = True
            return _Group(spans)
        return _Group(spans, grip, stretch, memory)

    def _finished(self) -> Iterator[Piece]:
        """Yield the first group."""
        group = self._line[0]
        stretch, at = group.stretch, 0
        if stretch is not None and group.grip is not None:
            try:
                attributes = stretch.finish()
            except Unavailable:
                if group.grip.session.alive:
                    raise
                self.is_cut = True
                return
            whole = stretch.size == len(stretch.view)
            check(self._entry, whole=whole, attributes=attributes)
        self._line.popleft()
        for offset, size in group.spans:
            yield offset, size, None if stretch is None else bytes(stretch.view[at : at + size])
            at += size
        if group.memory is not None:
            self._free.append(group.memory)

    def _widen(self) -> None:
        """Let sessions help that have nothing to do."""
        self._grips += helpers(self._site, self._grips, self._path, self._entry)


class _Group(msgspec.Struct, frozen=True):
    """Spans that are read together; without a stretch they are left to others."""

    spans: list[Span]
    grip: Grip | None = None
    stretch: Stretch | None = None
    memory: memoryview | None = None
