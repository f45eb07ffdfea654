"""Progress: how far each file is, on a terminal; in a pipe nothing is shown."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[str, int, int], None]


@contextmanager
def progress() -> Iterator[Show]:
    """Give a function that shows how much of which file is done, with its size."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _size: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task("", total=None)
        shown = ""

        def show(what: str, done: int, size: int) -> None:
            nonlocal shown
            if what != shown:
                shown = what
                bars.reset(task, description=escape(what), total=size)
            bars.update(task, completed=done)

        yield show
