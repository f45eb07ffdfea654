"""Which state store a command works on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vfs.auth.settings import UserConfig
    from vfs.config import Config
    from vfs.state.sqlite import SqliteStore

_PATH = click.Path(path_type=Path, readable=False)


class Opened:
    """A state store, the folder it lies in, and the configuration that names it, if one does."""

    def __init__(self, store: "SqliteStore", folder: Path, config: "Config | None") -> None:
        self.store = store
        self.folder = folder
        self.config = config

    @property
    def configured(self) -> "dict[str, UserConfig]":
        """The users of the configuration, by name."""
        return {user.name: user for user in self.config.users} if self.config else {}

    def refuse_configured(self, name: str) -> None:
        """Raise UsageError when the user stands in the configuration."""
        if name in self.configured and self.config is not None:
            raise click.UsageError(
                f"user {name!r} stands in [users.{name}] of '{self.config.file}'; change it there,"
                " then run: headgate reload"
            )


def state_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --config and --state-dir, of which it needs one."""
    config = click.option("--config", metavar="FILE", type=_PATH, help="Configuration.")
    folder = click.option("--state-dir", metavar="DIR", type=_PATH, help="Its state_dir.")
    return config(folder(command))


@contextmanager
def opened(config: Path | None, state_dir: Path | None) -> Iterator[Opened]:
    """Open the store that the two options name; a state directory that is missing is made.

    What goes wrong in the store ends the command with one sentence.
    """
    from vfs.config import load
    from vfs.state.errors import StateError
    from vfs.state.sqlite import STATE_FILE, SqliteStore

    if (config is None) == (state_dir is None):
        raise click.UsageError("name the gateway by either --config FILE or --state-dir DIR")
    settings = load(config) if config else None
    folder = settings.server.state_dir if settings else state_dir
    assert folder is not None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"'{folder}' cannot be used: {error.strerror}") from error
    store = SqliteStore(folder / STATE_FILE)
    try:
        yield Opened(store, folder, settings)
    except StateError as error:
        raise click.ClickException(str(error)) from error
    finally:
        store.close()
