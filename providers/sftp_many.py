"""SftpMany: many small files of a site, over all its sessions at once."""

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain, islice

from providers.base import Content
from providers.errors import InvalidPath, StorageError, TimedOut, Unavailable
from providers.names import check_path
from providers.pool import another
from providers.sftp_site import SftpSite, seen
from providers.ssh.batch import Small, in_steps
from providers.ssh.session import SftpSession

_PORTION = 256  # so many paths are looked at together for what stands above them
_WIDEN_FILES = 64  # with so many files on their way other sessions are asked to help

Found = tuple[str, Content | StorageError]


class _Leg:
    """One session's part. Used by one thread; `asked` are the paths that it has not answered."""

    def __init__(self, session: SftpSession) -> None:
        self.session = session
        self.asked: Counter[str] = Counter()
        self.found: Generator[Small | StorageError | None]


class SftpMany:
    """Gives small files whole. Used by one thread.

    What is no plain small file, or goes wrong in any way, is left to `slowly`, which opens one file
    after the other: so there is one answer to it. What a session did not answer that was cut is
    asked of another one, unless cuts go on. `_site`, `_size` and `_slowly` are fixed.
    """

    def __init__(
        self,
        site: SftpSite,
        paths: Iterable[str],
        size: int,
        slowly: Callable[[str], Content | StorageError],
    ) -> None:
        self._site = site
        self._paths = iter(paths)
        self._size = size
        self._slowly = slowly
        self._legs: list[_Leg] = []
        self._left: deque[str] = deque()
        self._failure: StorageError | None = None
        self._cuts = 0

    def run(self) -> Iterator[Found]:
        """Yield each path once."""
        turn = 0
        try:
            while self._legs or self._more():
                leg = self._legs[turn % len(self._legs)]
                small = self._next(leg)
                if small is not None:
                    yield self._answer(leg, small)
                else:
                    turn += 1  # all that this session has to ask is sent: the next one's turn
                    # Near the processors are the limit, which more sessions do not raise.
                    if self._site.is_far and leg.asked.total() >= _WIDEN_FILES:
                        self._widen()
                while self._left:
                    path = self._left.popleft()
                    yield path, self._one(path)
            for path in self._paths:
                yield path, self._one(path)
        finally:
            for leg in tuple(self._legs):
                self._end(leg)

    def _more(self) -> bool:
        """Begin with a session if there are paths that none has taken; tell whether it could."""
        first = next(self._paths, None)
        if first is None:
            return False
        self._paths = chain((first,), self._paths)
        if self._failure is None:
            self._begin()
        return bool(self._legs)

    def _begin(self) -> None:
        try:
            self._join(self._site.pool.take(proven=self._cuts > 0))
        except StorageError as error:
            self._failure = error

    def _widen(self) -> None:
        """Let sessions help that have nothing to do."""
        others = self._site.options.connections - len(self._legs)
        for session in self._site.pool.idle(others) if others > 0 else ():
            self._join(session)

    def _join(self, session: SftpSession) -> None:
        leg = _Leg(session)
        leg.found = in_steps(session, self._places(leg), self._size)
        self._legs.append(leg)

    def _places(self, leg: _Leg) -> Iterator[str]:
        """Yield the server's names of what this session is to read."""
        while portion := list(islice(self._paths, _PORTION)):
            leg.asked.update(portion)
            good = [path for path in portion if _is_path(path)]
            barred = self._site.barred(leg.session, good)
            fit = [path for path in good if path not in barred]
            for path in (Counter(portion) - Counter(fit)).elements():
                self._leave(leg, path)
            yield from map(self._site.place, fit)

    def _next(self, leg: _Leg) -> Small | StorageError | None:
        """Return what comes next over a session; None when it waits, is done, or was cut."""
        try:
            return next(leg.found)
        except StopIteration:
            self._end(leg)
        except StorageError:
            if leg.session.alive:
                raise
            self._end(leg)
            self._cuts += 1
            if self._cuts > self._site.options.connections:
                self._left.extend(leg.asked.elements())
            else:
                self._paths = chain(tuple(leg.asked.elements()), self._paths)
        return None

    def _answer(self, leg: _Leg, small: Small | StorageError) -> Found:
        path = small.path[len(self._site.place("").rstrip("/")) + 1 :]
        leg.asked[path] -= 1
        if not leg.asked[path]:
            del leg.asked[path]
        if isinstance(small, Small) and small.attributes.is_file:
            entry = seen(path, small.attributes)
            if small.data is not None:
                return path, Content(entry, small.data)
            if entry.size > self._size:
                return path, Content(entry, None)
        return path, self._one(path)

    def _leave(self, leg: _Leg, path: str) -> None:
        leg.asked[path] -= 1
        self._left.append(path)

    def _one(self, path: str) -> Content | StorageError:
        if self._failure is not None:
            failure = another(self._failure)
            failure.path = path
            return failure
        found = self._slowly(path)
        if isinstance(found, Unavailable | TimedOut) and not self._site.pool.sessions:
            self._failure = found
        return found

    def _end(self, leg: _Leg) -> None:
        self._legs.remove(leg)
        with contextlib.suppress(StorageError):
            leg.found.close()
        self._site.pool.give_back(leg.session)


def _is_path(path: str) -> bool:
    """Tell whether the contract has such a path, the root apart."""
    try:
        return bool(check_path(path))
    except InvalidPath:
        return False
