"""The `headgate` command.

Wrong input ends in exit code 2 and one sentence on standard error. A command imports what it needs
when it runs, so that --help is quick.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, get_args

import click

from vfs.commands.app_password import app_password
from vfs.commands.cache import cache
from vfs.commands.secret import secret
from vfs.commands.share import share
from vfs.commands.site import site
from vfs.commands.token import token
from vfs.commands.user import user

if TYPE_CHECKING:
    from vfs.check import Result
    from vfs.config import Config
    from vfs.running import Outcome

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]

_PATH = click.Path(path_type=Path, readable=False)  # whoever opens it says more than click would
RELOAD_SECONDS = 30.0

_WRONG = 2


class _Commands(click.Group):
    """Lists the commands in the order in which they are met, and guesses a misspelt one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, self.commands, n=1)
            known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.commands)}"
            raise click.UsageError(f"there is no command {name!r}; {known}")
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's own signature
    if wanted:
        from importlib.metadata import version

        click.echo(f"headgate {version('headgate')}")
        ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExamples:\n"
    "  headgate demo\n"
    "  headgate serve /data --read-only\n"
    "  headgate check-config headgate.toml\n"
    "  headgate serve --config headgate.toml\n"
    "  headgate reload --config headgate.toml",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version.",
)
def cli() -> None:
    """Serve many stores as one namespace."""


def _log_options(command: Callable[..., None]) -> Callable[..., None]:
    level = click.option(
        "--log-level", type=click.Choice(get_args(Level)), help="The least severe level."
    )
    form = click.option(
        "--log-format", type=click.Choice(get_args(Format)), help="Lines or JSON objects."
    )
    return level(form(command))


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port; default 8080 or the next free.")
@click.option("--keep", metavar="DIR", type=_PATH, help="Keep the archive in DIR.")
@_log_options
def demo(
    port: int | None, keep: Path | None, log_level: Level | None, log_format: Format | None
) -> None:
    """Serve a small sample archive, to try things out.

    The archive is written to a temporary folder and removed when the command ends. Only this
    machine can reach it.
    """
    from vfs import demo as sample

    _setup_logging(log_level or "warning", log_format or "text")
    with _ending_threads():
        sample.run(port=port, keep=keep)


@cli.command()
@click.argument("folder", metavar="[DIR]", required=False, type=_PATH)
@click.option("--config", metavar="FILE", type=_PATH, help="Configuration.")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; with DIR only.")
@click.option("--read-only", is_flag=True, help="Refuse every change; with DIR only.")
@click.option(
    "--workers", metavar="N", type=click.IntRange(1, 256), help="Processes; default one a core."
)
@_log_options
def serve(
    *,
    folder: Path | None,
    config: Path | None,
    listen: str | None,
    read_only: bool,
    workers: int | None,
    log_level: Level | None,
    log_format: Format | None,
) -> None:
    """Serve one folder, or what a configuration file names.

    With DIR, one folder to this machine only; nothing is written but what clients send. With
    --config FILE, the stores, rules and TLS that the file names.

    SIGHUP or `headgate reload` applies a changed file. SIGTERM or Ctrl-C lets transfers end.
    """
    if (folder is None) == (config is None):
        raise click.UsageError("serve needs either a DIR or --config FILE")
    if config is not None and (listen is not None or read_only):
        option = "--listen" if listen is not None else "--read-only"
        raise click.UsageError(f"{option} goes with a DIR; with --config the file decides")
    from vfs import config as configuration
    from vfs import serving
    from vfs.workers import count

    settings = (
        configuration.load(config) if config else _for_folder(folder, listen, read_only=read_only)
    )
    _setup_logging(log_level or settings.log.level, log_format or settings.log.format)
    processes = count(settings, workers)
    with _ending_threads():
        if processes == 1:
            serving.alone(settings, workers)
        else:
            sys.exit(serving.together(settings, processes))


@cli.command("check-config")
@click.argument("file", type=_PATH)
def check_config(file: Path) -> None:
    """Show the configuration in force and try each store.

    The exit code is 0 when every store serves, 1 when one does not, 2 when the file is wrong.
    """
    from vfs import check, config, toml_text

    with check.with_secrets(config.load(file)) as settings:
        click.echo(toml_text.effective(settings))
        results = _try_stores(settings)
    for result in sorted(results, key=lambda result: (result.path, result.place)):
        if result.diagnosis:
            click.echo(f"down  {result.title}: {result.diagnosis}")
        else:
            click.echo(f"ok    {result.title} in {result.seconds * 1000:.0f} ms")
    if fault := check.cache_fault(settings):
        click.echo(f"note  {fault}")
    down = sum(bool(result.diagnosis) for result in results)
    if down:
        click.echo(f"The file is right, but {down} of {len(results)} stores are down.")
        sys.exit(1)


@cli.command()
@click.option("--config", metavar="FILE", type=_PATH, help="Configuration.")
@click.option("--state-dir", metavar="DIR", type=_PATH, help="Its state_dir.")
def reload(config: Path | None, state_dir: Path | None) -> None:
    """Make a running gateway read its configuration again.

    Transfers under way go on. A wrong file changes nothing.
    """
    import signal

    from vfs import config as configuration
    from vfs import running

    if (config is None) == (state_dir is None):
        raise click.UsageError("reload needs either --config FILE or --state-dir DIR")
    folder = configuration.load(config).server.state_dir if config else state_dir
    assert folder is not None
    found = running.processes(folder)
    if not found:
        _refuse(f"no gateway runs with the state directory '{folder}'; name it with --state-dir")
    refused = False
    for process in found:
        before = running.outcome(folder, process)
        try:
            os.kill(process, signal.SIGHUP)
        except PermissionError:
            _refuse(f"process {process} belongs to another user; run this as that user")
        outcome = _await_outcome(folder, process, before.count if before else 0)
        refused = refused or not outcome.taken
        click.echo(f"process {process}: {outcome.text}", err=not outcome.taken)
    if refused:
        sys.exit(_WRONG)


for _noun in (user, app_password, token, share, secret, site, cache):
    cli.add_command(_noun)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. Wrong input is one sentence and exit code 2."""
    try:
        code = cli.main(arguments, prog_name="headgate", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        code = 0
    except click.ClickException as error:
        _refuse(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        from providers.registry import RegistryError
        from vfs.toml_file import ConfigError

        if not isinstance(error, ConfigError | RegistryError):
            raise
        click.echo(" ".join(str(error).splitlines()), err=True)
        code = _WRONG
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _ending_threads() -> Iterator[None]:
    """End the process at a second signal, whatever its other threads still do."""
    from vfs.serve import Halt

    try:
        yield
    except Halt as halt:
        os._exit(128 + halt.number)


def _refuse(text: str) -> NoReturn:
    click.echo(f"headgate: {' '.join(text.split())}", err=True)
    sys.exit(_WRONG)


def _for_folder(folder: Path | None, listen: str | None, *, read_only: bool) -> "Config":
    from vfs import config
    from vfs.address import Address

    assert folder is not None
    cause = ""
    if not folder.exists():
        cause = "does not exist"
    elif not folder.is_dir():
        cause = "is not a folder"
    elif not os.access(folder, os.R_OK | os.X_OK):
        cause = "may not be read by this user"
    if cause:
        raise click.UsageError(f"'{folder}' {cause}")
    try:
        address = Address(listen or "127.0.0.1:8080")
    except ValueError as error:
        raise click.UsageError(f"--listen {error}") from error
    if not address.is_loopback:
        raise click.UsageError(
            f"--listen {address}: one folder is served to this machine only; for others write a"
            " configuration with [[rules]] and use --config"
        )
    return config.for_folder(folder.absolute(), listen=address, read_only=read_only)


def _setup_logging(level: Level, form: Format) -> None:
    from vfs.observe import setup_logging

    setup_logging(level, form)


def _try_stores(settings: "Config") -> "list[Result]":
    from vfs import check

    if not sys.stderr.isatty():
        return list(check.check(settings))
    from rich.console import Console

    results: list[Result] = []
    total = sum(len(mount.stores) for mount in settings.mounts)
    with Console(stderr=True).status("trying the stores") as status:
        for result in check.check(settings):
            results.append(result)
            status.update(f"trying the stores: {len(results)} of {total} answered")
    return results


def _await_outcome(folder: Path, process: int, count: int) -> "Outcome":
    import time

    from vfs import running

    end = time.monotonic() + RELOAD_SECONDS
    while time.monotonic() < end:
        outcome = running.outcome(folder, process)
        if outcome is not None and outcome.count != count:
            return outcome
        if outcome is None:
            return running.Outcome(0, False, "it ended before it could reload")
        time.sleep(0.02)
    return running.Outcome(0, False, f"it did not reload within {RELOAD_SECONDS:g} s; see its log")


if __name__ == "__main__":
    main()
