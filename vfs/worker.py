"""Worker: one of several processes that serve a gateway, and what its supervisor says to it."""

import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socket
from typing import NoReturn

import msgspec

from providers.linux import die_with
from vfs.app import App
from vfs.config import Config
from vfs.serve import Halt, Inbox, attempt, follow_log, serve, signals
from vfs.toml_file import ConfigError

FAILED = 1


class Reload(msgspec.Struct, frozen=True):
    """To a worker: put this configuration in force. `tells`: have it in the audit log."""

    config: Config
    tells: bool


class Stop(msgspec.Struct, frozen=True):
    """To a worker: let what runs come to its end, then end."""


class Ready(msgspec.Struct, frozen=True):
    """From a worker: it serves."""

    url: str
    is_open: bool


class Failed(msgspec.Struct, frozen=True):
    """From a worker: a part cannot be made as configured; it ends."""

    text: str


class Reloaded(msgspec.Struct, frozen=True):
    """From a worker: how a reload ended."""

    text: str
    taken: bool


class Birth(msgspec.Struct, frozen=True):
    """What a worker is born with. `tells` and `walks` are as in `App.bind`, the rest as in App."""

    config: Config
    listener: socket
    channel: Connection
    parent: int
    folder: Path | None
    tells: bool
    walks: bool
    processes: int


def work(birth: Birth, leave: Callable[[], None]) -> NoReturn:
    """Serve in a process that was just forked, and end it; nothing of the parent's is run.

    `leave` lets go of what the fork has copied of the parent's own.
    """
    code = FAILED
    try:
        die_with(birth.parent)
        leave()
        # The terminal sends these to every process; the supervisor says what they mean.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with signals(reloads=True, numbers=(signal.SIGTERM,)) as inbox:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            code = _serve(birth, inbox)
    except Halt as halt:
        code = 128 + halt.number
    except BaseException:  # noqa: BLE001 - the frames above are the parent's
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _serve(birth: Birth, inbox: Inbox) -> int:
    channel = birth.channel
    wanted: queue.SimpleQueue[Reload] = queue.SimpleQueue()
    listening = threading.Thread(
        target=_listen, args=(channel, inbox, wanted), name="supervisor", daemon=True
    )
    listening.start()
    try:
        with closing(App(birth.config, folder=birth.folder, processes=birth.processes)) as app:
            app.bind(birth.listener, tells=birth.tells, walks=birth.walks)
            serve(
                app,
                inbox,
                ready=lambda: channel.send(Ready(app.server.url, app.is_open)),
                reload=lambda: channel.send(_reloaded(app, wanted.get())),
            )
    except ConfigError as error:
        channel.send(Failed(str(error)))
        return FAILED
    return 0


def _listen(channel: Connection, inbox: Inbox, wanted: "queue.SimpleQueue[Reload]") -> None:
    """Put into the inbox what the supervisor says; it is gone at the end of what it says."""
    with contextlib.suppress(EOFError, OSError):
        while isinstance(message := channel.recv(), Reload):
            wanted.put(message)
            inbox.put(signal.SIGHUP)
    inbox.put(signal.SIGTERM)


def _reloaded(app: App, wanted: Reload) -> Reloaded:
    before = app.config.log
    text, taken = attempt(lambda: app.reload(wanted.config, tells=wanted.tells))
    if taken:
        follow_log(before, app.config.log)
    return Reloaded(text, taken)
