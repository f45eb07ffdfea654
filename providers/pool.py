"""Pool: a bounded number of sessions to one site, shared by many threads."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Final, TypeVar

from providers.errors import RateLimited, StorageError, TimedOut, Unavailable
from providers.ssh.session import SftpSession

GROW_AGAIN_SECONDS: Final = 60.0
"""How long a server that refused one more connection is not asked for another."""

_PAUSE_SECONDS = 2.0  # before one more connection is tried again that failed otherwise
_IDLE_SECONDS = 5.0  # longer unused, a session is asked for a sign of life first
_PAUSES_SECONDS = (0.1, 0.3, 0.9)  # between tries while the server takes nobody at all
_SLOW = 1000  # what a flush or a copy at the server weighs, which holds up all of its session

Result = TypeVar("Result")


class Pool:
    """Hands out sessions; each carries many threads at once.

    The first one is made when it is needed, more of them while all are busy, by a thread of the
    pool's own, so that nobody waits for them. A dead session is dropped. `_connect`, `_most` and
    `_wait_seconds` are fixed; `_turn` guards the rest and is never held while a server is asked.
    """

    def __init__(
        self, connect: Callable[[], SftpSession], *, most: int, wait_seconds: float
    ) -> None:
        self._connect = connect
        self._most = most
        self._wait_seconds = wait_seconds
        self._turn = threading.Condition()
        self._loads: dict[SftpSession, int] = {}
        self._used_at: dict[SftpSession, float] = {}
        self._connecting = False
        self._tries = 0
        self._failure: StorageError | None = None
        self._full_until = 0.0
        self._closed = False
        self._grower: threading.Thread | None = None

    @property
    def sessions(self) -> tuple[SftpSession, ...]:
        """The sessions that have not failed so far."""
        with self._turn:
            return tuple(session for session in self._loads if session.alive)

    @contextlib.contextmanager
    def lease(self) -> Iterator[SftpSession]:
        """Give the session that has least to do."""
        session = self.take()
        try:
            yield session
        finally:
            self.give_back(session)

    @contextlib.contextmanager
    def burden(self, session: SftpSession, weight: int = _SLOW) -> Iterator[None]:
        """Let others keep out of a session's way while it does what holds up all of it."""
        self._add(session, weight)
        try:
            yield
        finally:
            self._add(session, -weight)

    def ask(self, question: Callable[[SftpSession], Result]) -> Result:
        """Return the answer to what changes nothing: asked once more when the session is cut.

        So the question itself is the sign of life that a session long unused has to give.
        """
        session, idle_seconds = self._picked()
        try:
            return question(session)
        except (Unavailable, TimedOut) as error:
            if session.alive or (isinstance(error, TimedOut) and idle_seconds <= _IDLE_SECONDS):
                raise
        finally:
            self.give_back(session)
        with self.lease() as session:
            return question(session)

    def take(self, *, proven: bool = True) -> SftpSession:
        """Return a session; it counts as busy until it is given back.

        Raises what hinders the connection when there is none, at the latest after the time that
        connecting may take. Who asks again when a session is cut takes one that is not `proven`,
        which saves a round trip.
        """
        while True:
            session, idle_seconds = self._picked()
            if proven and idle_seconds > _IDLE_SECONDS:
                try:
                    session.realpath(".")
                except StorageError:
                    self.give_back(session)
                    if session.alive:
                        raise
                    continue
            return session

    def _picked(self) -> tuple[SftpSession, float]:
        """Return a session, made first if need be, and how long it was not used."""
        end = time.monotonic() + self._wait_seconds
        while True:
            session, idle_seconds = self._pick()
            if session is not None:
                return session, idle_seconds
            self._begin(end)

    def give_back(self, session: SftpSession) -> None:
        """Say that a session that was taken is not needed any more."""
        self._add(session, -1)

    def idle(self, others: int, but: Collection[SftpSession] = ()) -> list[SftpSession]:
        """Take up to so many sessions that have nothing to do, without waiting; make more.

        A reader's own session looks idle between its reads, so it is named by `but`.
        """
        with self._turn:
            self._drop_dead()
            found = [
                session for session, load in self._loads.items() if load == 0 and session not in but
            ][:others]
            for session in found:
                self._loads[session] += 1
            if len(found) < others:
                self._grow()
            return found

    def close(self) -> None:
        """End all sessions. Twice is no error."""
        with self._turn:
            self._closed = True
            sessions = list(self._loads)
            self._loads.clear()
            self._used_at.clear()
            self._turn.notify_all()
            grower = self._grower
        for session in sessions:
            session.close()
        if grower is not None:
            grower.join()

    def _add(self, session: SftpSession, weight: int) -> None:
        with self._turn:
            if session in self._loads:
                self._loads[session] += weight
                self._used_at[session] = time.monotonic()

    def _pick(self) -> tuple[SftpSession | None, float]:
        """Return the session with the least load, and how long it was not used.

        None when another one must be made first.
        """
        with self._turn:
            self._drop_dead()
            if not self._loads:
                return None, 0
            session = min(self._loads, key=lambda one: self._loads[one])
            if self._loads[session] >= _SLOW and self._may_grow() and not self._connecting:
                return None, 0
            if self._loads[session]:
                self._grow()
            self._loads[session] += 1
            idle_seconds = time.monotonic() - self._used_at[session]
            self._used_at[session] = time.monotonic()
            return session, idle_seconds

    def _begin(self, end: float) -> None:
        """Make a session, or wait for the thread that makes one; raise what hindered it."""
        with self._turn:
            if self._closed:
                raise Unavailable(detail="the connection was closed")
            if self._connecting:
                tried, first = self._tries, self._grower is None
                left = end - time.monotonic()
                self._turn.wait_for(lambda: self._tries != tried or self._closed, max(0.0, left))
                if self._tries == tried and not self._closed:
                    raise Unavailable(detail="no connection was free in time")
                # What failed for the sake of one more says little of the first one.
                if first and self._failure is not None and not self._loads:
                    raise another(self._failure)
                return
            self._connecting = True
            alone = not self._loads
        self._make(patient=alone)
        with self._turn:
            if self._failure is not None and not self._loads:
                raise another(self._failure)

    def _make(self, *, patient: bool) -> None:
        """Connect and take the session in, or keep why not. `_connecting` is ours."""
        session, failure = None, None
        try:
            session = self._connected(_PAUSES_SECONDS if patient else ())
        except StorageError as error:
            failure = error
        finally:
            with self._turn:
                self._connecting = False
                self._tries += 1
                self._failure = failure
                self._grower = None
                if failure is not None:
                    full = isinstance(failure, RateLimited)
                    pause = GROW_AGAIN_SECONDS if full else _PAUSE_SECONDS
                    self._full_until = time.monotonic() + pause
                if session is not None and not self._closed:
                    self._loads[session] = 0
                    self._used_at[session] = time.monotonic()
                    session = None
                self._turn.notify_all()
        if session is not None:
            session.close()

    def _connected(self, pauses: tuple[float, ...]) -> SftpSession:
        for pause in pauses:
            try:
                return self._connect()
            except RateLimited:
                time.sleep(pause)
        return self._connect()

    def _grow(self) -> None:
        """Begin to make one more session. The lock is held."""
        if not self._may_grow() or self._connecting:
            return
        self._connecting = True
        self._grower = threading.Thread(
            target=self._make, kwargs={"patient": False}, name="sftp pool", daemon=True
        )
        self._grower.start()

    def _may_grow(self) -> bool:
        return (
            not self._closed
            and len(self._loads) < self._most
            and time.monotonic() >= self._full_until
        )

    def _drop_dead(self) -> None:
        """Forget sessions that failed; what cut one may have cut them all, so others are asked."""
        for dead in [session for session in self._loads if not session.alive]:
            del self._loads[dead], self._used_at[dead]
            self._used_at = dict.fromkeys(self._loads, -math.inf)


def another(error: StorageError) -> StorageError:
    """Return an error of its own for each thread that waited for the same connection."""
    return type(error)(
        detail=error.detail,
        temporary=error.temporary,
        retry_after_seconds=error.retry_after_seconds,
    )
