"""Serving: an App runs until a signal ends it; SIGHUP reloads its configuration."""

import logging
import queue
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
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
def signals() -> Iterator[Inbox]:
    """Put SIGHUP, SIGINT and SIGTERM into a queue; raise Halt at the second that asks to stop.

    A handler does no more, for it may interrupt anything.
    """
    inbox: Inbox = queue.SimpleQueue()
    stops = 0

    def note(number: int, _frame: FrameType | None) -> None:
        nonlocal stops
        stops += number != signal.SIGHUP
        if stops == _SECOND and number != signal.SIGHUP:
            raise Halt(number)
        inbox.put(number)

    before = {number: signal.signal(number, note) for number in _NUMBERS}
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
    """Serve the bound `app` until SIGTERM or SIGINT.

    `ready` is called once the port is open. With a file behind its configuration, SIGHUP reloads
    it, and the outcome is left in `running`.
    """
    threads = ThreadPoolExecutor(1, "server")
    ended = threads.submit(app.server.serve)
    ended.add_done_callback(lambda _: inbox.put(_ENDED))
    ready()
    while (number := inbox.get()) == signal.SIGHUP:
        _reload(app, running)
    if number != _ENDED:
        _log.info("stopping; transfers under way may end; a second signal stops at once")
    app.server.stop()
    ended.result()


def _reload(app: App, running: Running | None) -> None:
    file: Path | None = app.config.file
    if file is None:
        _log.warning("there is no configuration file to read again")
        return
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
