"""Serving: a gateway of one process, or of several and their supervisor."""

import logging
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

import click

from vfs.app import App
from vfs.config import Config
from vfs.running import Running
from vfs.serve import reload_file, serve, signals
from vfs.supervisor import Supervisor
from vfs.toml_file import TomlFile
from vfs.workers import why_one

_log = logging.getLogger(__name__)


def alone(settings: Config, asked: int | None) -> None:
    """Serve by this process until a signal asks to stop; `asked` is how many were asked for."""
    with closing(App(settings)) as app, ExitStack() as stack:
        inbox = stack.enter_context(signals(reloads=settings.file is not None))
        running = _marked(settings, stack)
        app.bind()
        if cause := why_one(settings, asked):
            _log.info("%s", cause)
        serve(
            app,
            inbox,
            ready=lambda: _tell(settings, app.server.url, is_open=app.is_open),
            reload=(lambda: reload_file(app, running)) if settings.file is not None else None,
        )


def together(settings: Config, count: int) -> int:
    """Serve by `count` processes, of which this one is the supervisor; return the exit code."""
    with ExitStack() as stack:
        folder = None
        if settings.file is None:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="headgate-state-"))
            folder = Path(name)
        return Supervisor(
            settings,
            count,
            ready=lambda url, is_open: _tell(settings, url, is_open=is_open),
            running=_marked(settings, stack),
            folder=folder,
        ).serve()


def _marked(settings: Config, stack: ExitStack) -> Running | None:
    """Leave the mark by which `headgate reload` finds this process, if there is a state_dir."""
    if settings.file is None:
        return None
    try:
        return stack.enter_context(Running(settings.server.state_dir))
    except OSError as error:
        raise TomlFile(settings.file).error(
            ("server", "state_dir"),
            f"server.state_dir '{settings.server.state_dir}' cannot be used: {error.strerror};"
            " make it writable or name another",
        ) from error


def _tell(settings: Config, url: str, *, is_open: bool) -> None:
    click.echo(f"Serving on {url}")
    sys.stdout.flush()
    if is_open and settings.file is not None:
        click.echo(
            "There is no user, no issuer and no rule: whoever is on this machine may do everything,"
            " and nobody else gets in.",
            err=True,
        )
