"""Which state store a command works on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from vfs.config import Config, load
from vfs.state.sqlite import STATE_FILE, SqliteStore

_PATH = click.Path(path_type=Path, readable=False)


class Opened:
    """A state store, the folder it lies in, and the configuration that names it, if one does."""

    def __init__(self, store: SqliteStore, folder: Path, config: Config | None) -> None:
        self.store = store
        self.folder = folder
        self.config = config


def state_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --config and --state-dir, of which it needs one."""
    config = click.option("--config", metavar="FILE", type=_PATH, help="Configuration.")
    folder = click.option("--state-dir", metavar="DIR", type=_PATH, help="Its state_dir.")
    return config(folder(command))


@contextmanager
def opened(config: Path | None, state_dir: Path | None) -> Iterator[Opened]:
    """Open the store that the two options name; a state directory that is missing is made."""
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
    finally:
        store.close()
