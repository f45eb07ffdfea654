"""Supervisor: starts the worker processes of a gateway, keeps them running, and speaks for all.

It serves nothing and has one thread, so that it may fork at any time. It holds every listening
socket: clients that come while a worker is replaced wait in the kernel and are refused by nobody.
"""

import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

from vfs.app import bound, in_force
from vfs.config import Config, load
from vfs.http.pool import ABORT_SECONDS
from vfs.http.server import STOP_SECONDS
from vfs.place import Place
from vfs.reloading import Reloading
from vfs.running import Running
from vfs.serve import attempt, follow_log, tell
from vfs.toml_file import ConfigError
from vfs.worker import Birth, Failed, Ready, Reloaded, Stop, work
from vfs.workers import check_several

QUICK_SECONDS = 10.0
"""A worker that lived no longer than this since its start died at once."""

QUICK_DEATHS_MAX = 5
"""Deaths at once, one after the other, after which the gateway gives up."""

FIRST_PAUSE_SECONDS = 0.1
"""Until a worker is started again that died at once; it doubles each time."""

CLOSE_SECONDS = 10.0
"""How long a worker may take to close its stores after its last transfer."""

_NUMBERS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
_GAVE_UP = 1

_log = logging.getLogger(__name__)


class Supervisor:
    """Runs `count` workers until a signal asks to stop. Used by one thread.

    SIGHUP reloads the file of the configuration, in one worker after the other: what the first
    refuses nobody takes. Without a file it asks to stop. At a second request to stop all is cut.
    """

    def __init__(
        self,
        config: Config,
        count: int,
        *,
        ready: Callable[[str, bool], None],
        running: Running | None = None,
        folder: Path | None = None,
    ) -> None:
        self._config = config
        self._count = count
        self._ready = ready
        self._running = running
        self._folder = folder
        self._places: list[Place] = []
        self._wakes: tuple[socket.socket, socket.socket]
        self._was_ready = False
        self._fault: ConfigError | None = None
        self._code = 0
        self._kill_at: float | None = None
        self._reloading: Reloading | None = None
        self._reload_again = False

    def serve(self) -> int:
        """Serve until the end; return the exit code. Raises ConfigError about the first start."""
        with _awake(ignores=self._config.file is None) as self._wakes:
            try:
                listeners = bound(self._config, self._count)
                self._places = [Place(*place) for place in enumerate(listeners)]
                # What never changes is not to be touched by a collection: all workers share it.
                gc.collect()
                gc.freeze()
                self._start(self._places[0], tells=True, walks=True)
                while any(p.process or p.start_at is not None for p in self._places):
                    self._step()
            finally:
                self._kill()
        if self._fault is not None:
            raise self._fault
        return self._code

    @property
    def _is_stopping(self) -> bool:
        return self._kill_at is not None

    def _step(self) -> None:
        """Wait for the next thing that happens, and follow it."""
        channels = {p.channel: p for p in self._places if p.channel is not None}
        moments = [p.start_at for p in self._places if p.start_at is not None]
        if self._kill_at is not None:
            moments.append(self._kill_at)
        timeout = max(0.0, min(moments) - time.monotonic()) if moments else None
        for found in wait([self._wakes[0], *channels], timeout):
            if not isinstance(found, Connection):
                for number in self._wakes[0].recv(4096):
                    self._follow(number)
            else:
                place = channels[found]
                if place.channel is found:  # it may have ended by what came before
                    self._hear(place)
        self._bury()
        now = time.monotonic()
        if self._kill_at is not None and now >= self._kill_at:
            _log.warning("what runs did not end in time; it is cut")
            self._kill()
        for place in self._places:
            if place.start_at is not None and now >= place.start_at:
                self._start(place, walks=place.walks)

    def _follow(self, number: int) -> None:
        """Do what a signal asks for."""
        if number == signal.SIGHUP and self._config.file is not None:
            self._reload()
        elif number != signal.SIGCHLD and self._is_stopping:
            self._code = 128 + number
            self._kill()
        elif number != signal.SIGCHLD:
            _log.info("stopping; transfers under way may end; a second signal stops at once")
            self._stop()

    # The life of a worker

    def _start(self, place: Place, *, tells: bool = False, walks: bool = False) -> None:
        place.start_at = None
        ours, theirs = Pipe()
        birth = Birth(
            self._config,
            place.listener,
            theirs,
            os.getpid(),
            self._folder,
            tells,
            walks,
            self._count,
        )
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or both would print it
        # What is sent to the child before it has handlers of its own must not wake this process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)
        try:
            place.process = os.fork()
            if not place.process:
                work(birth, lambda: self._leave(place, ours))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        place.channel, place.is_ready, place.began = ours, False, time.monotonic()

    def _leave(self, place: Place, ours: Connection) -> None:
        """Let go, in a new worker, of all that is the supervisor's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for wake in self._wakes:
            wake.close()
        ours.close()
        for other in self._places:
            if other is not place:
                other.listener.close()
                if other.channel is not None:
                    other.channel.close()
        if self._running is not None:
            self._running.leave()

    def _hear(self, place: Place) -> None:
        """Take one message of a worker."""
        assert place.channel is not None
        try:
            message = place.channel.recv()
        except (EOFError, OSError):
            place.channel.close()
            place.channel = None
            return
        match message:
            case Ready():
                place.is_ready = True
                self._is_up(message)
            case Failed() if not self._was_ready:
                self._fault = ConfigError(message.text)
                self._stop()
            case Failed():
                _log.error("worker %d cannot start: %s", place.number, message.text)
            case Reloaded() if self._reloading is not None:
                self._reloading.answered(place, message)
                self._go_on_reloading()

    def _is_up(self, message: Ready) -> None:
        """Start the others after the first, and say once that all are there."""
        for place in self._places:
            if not place.process and place.start_at is None and not self._is_stopping:
                self._start(place)
        if not self._was_ready and all(place.is_ready for place in self._places):
            self._was_ready = True
            self._ready(message.url, message.is_open)
        self._reload_if_asked()

    def _bury(self) -> None:
        """Follow the deaths of workers; those of strangers are taken note of, and that is all."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not process:
                return
            for place in self._places:
                if place.process == process:
                    self._died(place, os.waitstatus_to_exitcode(status))

    def _died(self, place: Place, code: int) -> None:
        while place.channel is not None and place.channel.poll():
            self._hear(place)
        if place.channel is not None:
            place.channel.close()
        process, place.process, place.channel, place.is_ready = place.process, 0, None, False
        if self._is_stopping:
            return
        now = time.monotonic()
        place.quick = place.quick + 1 if now - place.began < QUICK_SECONDS else 0
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if place.quick >= QUICK_DEATHS_MAX:
            _log.error(
                "worker %d died %d times at once, the last one %s: the gateway gives up;"
                " the log above says why, or the log of the system",
                place.number,
                place.quick,
                how,
            )
            self._code = _GAVE_UP
            self._stop()
            return
        pause = FIRST_PAUSE_SECONDS * 2 ** (place.quick - 1) if place.quick else 0.0
        place.start_at, place.walks = now + pause, True
        _log.error("worker %d (process %d) %s; another takes its place", place.number, process, how)
        if self._reloading is not None:
            self._reloading.lost(place)
            self._go_on_reloading()

    # The end

    def _stop(self) -> None:
        """Have every worker end in its own way."""
        if self._is_stopping:
            return
        self._kill_at = time.monotonic() + STOP_SECONDS + ABORT_SECONDS + CLOSE_SECONDS
        for place in self._places:
            place.start_at = None
            place.listener.close()
            place.say(Stop())

    def _kill(self) -> None:
        """End every worker at once, and wait until it is gone."""
        self._kill_at = self._kill_at or time.monotonic()
        for place in self._places:
            place.start_at = None
            place.listener.close()
            if place.process:
                os.kill(place.process, signal.SIGKILL)
                os.waitpid(place.process, 0)
                place.process = 0
            if place.channel is not None:
                place.channel.close()
                place.channel = None

    # Reloading

    def _reload(self) -> None:
        """Begin a reload, or note that another one is wanted."""
        self._reload_again = True
        self._reload_if_asked()

    def _reload_if_asked(self) -> None:
        if not self._reload_again or self._reloading is not None or self._is_stopping:
            return
        if not self._was_ready:
            return
        self._reload_again = False
        file = self._config.file
        assert file is not None
        fresh: list[Config] = []

        def read() -> str:
            fresh.append(load(file))
            check_several(fresh[0])
            return ""

        text, taken = attempt(read)
        if not taken:
            tell(text, self._running, taken=False)
            return
        self._reloading = Reloading(fresh[0], self._places)
        self._go_on_reloading()

    def _go_on_reloading(self) -> None:
        """Ask the next worker, or tell how it ended."""
        reloading = self._reloading
        assert reloading is not None
        if reloading.taken and not reloading.is_kept:
            # Who is started from here on has the new configuration already.
            reloading.is_kept = True
            before, self._config = self._config, in_force(self._config, reloading.fresh)
            follow_log(before.log, self._config.log)
        if reloading.asks_next():
            return
        self._reloading = None
        tell(reloading.text, self._running, taken=reloading.taken)
        self._reload_if_asked()


@contextmanager
def _awake(*, ignores: bool) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Have each signal put its number into a socket, without a thread.

    With `ignores`, what whoever started this process has ignored stays so, as nohup wants it.
    """
    reader, writer = socket.socketpair()
    for end in (reader, writer):
        end.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    handlers = {
        number: signal.signal(number, lambda _number, _frame: None)
        for number in _NUMBERS
        if not (ignores and signal.getsignal(number) == signal.SIG_IGN)
    }
    try:
        yield reader, writer
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        reader.close()
        writer.close()
