"""Serving: an App runs until a signal ends it; SIGHUP reloads its configuration."""

import logging
import queue
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType

from vfs import config
from vfs.app import App
from vfs.observe import setup_logging
from vfs.running import Running
from vfs.toml_file import ConfigError

_log = logging.getLogger(__name__)

Inbox = queue.SimpleQueue[int]

_NUMBERS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_ENDED = 0
_SECOND = 2


class Halt(BaseException):
    """A second signal: stop at once, whatever is under way. `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def signals(*, reloads: bool) -> Iterator[Inbox]:
    """Put SIGINT, SIGTERM and SIGHUP into a queue; raise Halt at the second that asks to stop.

    SIGHUP asks for a reload if `reloads`, else to stop; then whoever had it ignored, as nohup
    has, keeps it ignored. A handler does no more than this, for it may interrupt anything.
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

    ignored = not reloads and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    numbers = _NUMBERS[1:] if ignored else _NUMBERS
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield inbox
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    """Let nothing interrupt what must be finished, until the `with` block of `signals` ends."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def serve(
    app: App, inbox: Inbox, *, ready: Callable[[], None], running: Running | None = None
) -> None:
    """Serve the bound `app` until a signal in `inbox` asks to stop.

    `ready` is called once the port is open. With a file behind its configuration, SIGHUP reloads
    it, and the outcome is left in `running`.
    """
    threads = ThreadPoolExecutor(1, "server")
    ended = threads.submit(app.server.serve)
    ended.add_done_callback(lambda _: inbox.put(_ENDED))
    try:
        ready()
        while (number := inbox.get()) == signal.SIGHUP and app.config.file is not None:
            _reload(app, running)
        if number != _ENDED:
            _log.info("stopping; transfers under way may end; a second signal stops at once")
    finally:
        app.server.stop()
    ended.result()


def _reload(app: App, running: Running | None) -> None:
    file = app.config.file
    assert file is not None
    try:
        before, fresh = app.config.log, config.load(file)
        text = app.reload(fresh)
    except ConfigError as error:
        taken, text = False, str(error)
        _log.error("the configuration stays as it was: %s", text)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, what is served goes on
        taken, text = False, f"unexpected {type(error).__name__}: {error}"
        _log.exception("the configuration stays as it was")
    else:
        taken = True
        if fresh.log != before:
            setup_logging(fresh.log.level, fresh.log.format)
        _log.info("%s", text)
    if running is not None:
        running.report(text, taken=taken)
