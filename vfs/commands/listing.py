"""Listings: a table on a terminal, plain columns in a pipe, JSON on request."""

import datetime as dt
import sys
from collections.abc import Sequence

import click
import msgspec


def show(kind: type[msgspec.Struct], rows: Sequence[msgspec.Struct], *, as_json: bool) -> None:
    """Print `rows`, all of one `kind`, whose fields are the columns.

    In a pipe each row is a line, its columns parted by tabs, without a heading.
    """
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2))
        return
    columns = kind.__struct_fields__
    cells = [[_cell(getattr(row, column)) for column in columns] for row in rows]
    if not sys.stdout.isatty():
        for line in cells:
            click.echo("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*(column.replace("_", " ") for column in columns), box=None, pad_edge=False)
    for line in cells:
        table.add_row(*map(Text, line))
    Console().print(table)


def moment(ns: int | None) -> dt.datetime | None:
    """Return a time in nanoseconds since 1970 as it is shown: in UTC, to the second."""
    if ns is None:
        return None
    return dt.datetime.fromtimestamp(ns // 10**9, tz=dt.UTC)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ",".join(map(str, value)) or "-"
        case dt.datetime():
            return f"{value:%Y-%m-%dT%H:%MZ}"
    return str(value) or "-"
