"""`headgate cache pending`: writes that were accepted and that their stores do not have yet."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from cache.journal import Journal

_PATH = click.Path(path_type=Path, readable=False)
_DISCARD_SECONDS = 10.0


class Row(msgspec.Struct, frozen=True):
    """One write. Its id is its mount and its number there."""

    id: str
    path: str
    size: int
    accepted: dt.datetime | None
    state: str
    attempts: int
    cause: str


@click.command()
@click.option("--config", metavar="FILE", type=_PATH, required=True, help="Configuration.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--retry", metavar="ID", help="Try this one again at once.")
@click.option("--all", "retry_all", is_flag=True, help="Try all again at once.")
@click.option("--discard", metavar="ID", help="Drop this one, for good.")
def pending(
    *,
    config: Path,
    as_json: bool,
    retry: str | None,
    retry_all: bool,
    discard: str | None,
) -> None:
    """Show the writes that are still to be uploaded, those that are stuck, and conflicts.

    A write is `waiting`, `begun`, or `stuck` until it is tried again or dropped. A `conflict` was
    kept beside, under the name that is shown; --discard drops that note, and no file.
    """
    from vfs.commands.listing import show

    if sum((retry is not None, retry_all, discard is not None)) > 1:
        raise click.UsageError("--retry, --all and --discard are three things; name one")
    with _opened(config) as journals:
        if retry_all:
            click.echo(f"{sum(journal.retry(None) for journal in journals.values())} are tried")
        elif retry is not None:
            journal, number = _found(journals, retry)
            if not journal.retry(number):
                raise click.UsageError(_unknown(retry))
            click.echo(f"{retry} is tried")
        elif discard is not None:
            journal, number = _found(journals, discard)
            if not journal.discard(number, wait_seconds=_DISCARD_SECONDS):
                raise click.UsageError(_unknown(discard))
            click.echo(f"{discard} is dropped")
        else:
            show(Row, _rows(journals), as_json=as_json)


def _rows(journals: "dict[str, Journal]") -> list[Row]:
    from vfs.commands.listing import moment

    rows = []
    for mount, journal in journals.items():
        top = mount.rstrip("/")
        rows += [
            Row(
                f"{mount}#{write.id}",
                f"{top}/{write.path}",
                write.size,
                moment(write.accepted_ns),
                write.state,
                write.attempts,
                write.cause,
            )
            for write in journal.pending()
        ]
        rows += [
            Row(
                f"{mount}#{conflict.id}",
                f"{top}/{conflict.path}",
                0,
                moment(conflict.at_ns),
                "conflict",
                0,
                f"kept as {top}/{conflict.beside}",
            )
            for conflict in journal.conflicts()
        ]
    return rows


@contextmanager
def _opened(config: Path) -> "Iterator[dict[str, Journal]]":
    """Open the journals of the mounts that write back, and of those that did."""
    from urllib.parse import unquote

    from cache.errors import JournalError
    from cache.journal import Journal
    from vfs.config import load
    from vfs.write_back import PENDING_FOLDER

    settings = load(config)
    folder = settings.server.state_dir / PENDING_FOLDER
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    journals: dict[str, Journal] = {}
    try:
        for place in found:
            journals[unquote(place.name)] = Journal(place)
        yield journals
    except JournalError as error:
        raise click.ClickException(str(error)) from error
    finally:
        for journal in journals.values():
            journal.close()


def _found(journals: "dict[str, Journal]", name: str) -> "tuple[Journal, int]":
    mount, _, number = name.rpartition("#")
    if mount not in journals or not number.isdecimal():
        raise click.UsageError(_unknown(name))
    return journals[mount], int(number)


def _unknown(name: str) -> str:
    return f"there is no write {name!r}; `headgate cache pending` shows all"
