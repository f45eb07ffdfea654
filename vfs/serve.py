"""Serving: an App runs until a signal ends it; SIGHUP reloads its configuration."""

import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType

from vfs import config
from vfs.app import App
from vfs.config import LogConfig
from vfs.observe import setup_logging
from vfs.running import Running
from vfs.toml_file import ConfigError

_log = logging.getLogger(__name__)

Inbox = queue.SimpleQueue[int]

_NUMBERS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_ENDED = 0
_SECOND = 2
# Ignored by whoever has no handler for it, so a late one does no harm.
_POKE = signal.SIGURG
_POKES = 5
_POKE_SECONDS = 0.05


class Halt(BaseException):
    """A second signal: stop at once, whatever is under way. `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def signals(*, reloads: bool, numbers: tuple[signal.Signals, ...] = _NUMBERS) -> Iterator[Inbox]:
    """Put SIGINT, SIGTERM and SIGHUP into a queue; raise Halt at the second that asks to stop.

    SIGHUP asks for a reload if `reloads`, else to stop; then whoever had it ignored, as nohup
    has, keeps it ignored. A handler does no more than this, for it may interrupt anything.
    A process that was asked to stop is about to end when the block does: one more signal then
    ends it without a word.
    """
    inbox: Inbox = queue.SimpleQueue()
    stops = 0

    def note(number: int, _frame: FrameType | None) -> None:
        nonlocal stops
        if not (reloads and number == signal.SIGHUP):
            stops += 1
            if stops == _SECOND:
                raise Halt(number)
        inbox.put(number)

    if not reloads and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        numbers = tuple(number for number in numbers if number != signal.SIGHUP)
    with _awake(numbers):
        before = {number: signal.signal(number, note) for number in numbers}
        try:
            yield inbox
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if stops else handler)


@contextmanager
def _awake(numbers: Collection[int]) -> Iterator[None]:
    """Let the main thread notice signals that the system has given to another one.

    Handlers run in the main thread alone, and what it waits in ends only by a signal of its own.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    main = threading.main_thread().ident
    assert main is not None

    def watch() -> None:
        while data := os.read(reader, 1):
            if data[0] in numbers:
                # The first may come in the instant before it begins to wait.
                for _ in range(_POKES):
                    signal.pthread_kill(main, _POKE)
                    time.sleep(_POKE_SECONDS)

    thread = threading.Thread(target=watch, name="signals", daemon=True)
    handler = signal.signal(_POKE, lambda _number, _frame: None)
    fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(fd)
        os.close(writer)
        thread.join()
        os.close(reader)
        signal.signal(_POKE, handler)


def ignore_signals() -> None:
    """Let nothing interrupt what must be finished, until the `with` block of `signals` ends."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def serve(
    app: App,
    inbox: Inbox,
    *,
    ready: Callable[[], None],
    reload: Callable[[], None] | None = None,
) -> None:
    """Serve the bound `app` until a signal in `inbox` asks to stop.

    `ready` is called once the port is open, `reload`, if there is one, at SIGHUP.
    """
    threads = ThreadPoolExecutor(1, "server")
    ended = threads.submit(app.server.serve)
    ended.add_done_callback(lambda _: inbox.put(_ENDED))
    try:
        ready()
        while (number := inbox.get()) == signal.SIGHUP and reload is not None:
            reload()
        if number != _ENDED:
            _log.info("stopping; transfers under way may end; a second signal stops at once")
    finally:
        app.stop()
    ended.result()


def reload_file(app: App, running: Running | None) -> None:
    """Read the configuration again, put it in force, and leave the outcome in `running`."""
    file = app.config.file
    assert file is not None
    before = app.config.log
    text, taken = attempt(lambda: app.reload(config.load(file)))
    if taken:
        follow_log(before, app.config.log)
    tell(text, running, taken=taken)


def attempt(reload: Callable[[], str]) -> tuple[str, bool]:
    """Return what a reload tells, and whether it was taken. What is served goes on in any case."""
    try:
        return reload(), True
    except ConfigError as error:
        return str(error), False
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, what is served goes on
        _log.exception("a reload failed")
        return f"unexpected {type(error).__name__}: {error}", False


def follow_log(before: LogConfig, now: LogConfig) -> None:
    """Log as a new configuration says, if it says something new."""
    if now != before:
        setup_logging(now.level, now.format)


def tell(text: str, running: Running | None, *, taken: bool) -> None:
    """Log the outcome of a reload, and leave it for whoever asked for it."""
    if taken:
        _log.info("%s", text)
    else:
        _log.error("the configuration stays as it was: %s", text)
    if running is not None:
        running.report(text, taken=taken)
