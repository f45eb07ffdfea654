"""Secrets that people give to a command: typed without echo, or piped in as one line."""

import sys

import click

_LINE_MAX_BYTES = 16 * 1024


def new_secret(what: str) -> str:
    """Return a new secret: typed twice on a terminal, else one line of standard input."""
    return _typed(what) if sys.stdin.isatty() else _piped(what)


def known_secret(what: str) -> str:
    """Return a secret that exists already: typed once on a terminal, else one line."""
    return _typed(what, again=False) if sys.stdin.isatty() else _piped(what)


def _typed(what: str, *, again: bool = True) -> str:
    text: str = click.prompt(
        what.capitalize(),
        hide_input=True,
        confirmation_prompt="Again" if again else False,
        err=True,
    )
    return text


def _piped(what: str) -> str:
    line = sys.stdin.buffer.readline(_LINE_MAX_BYTES)
    if len(line) == _LINE_MAX_BYTES:
        raise click.UsageError(f"the {what} on standard input is too long")
    try:
        text = line.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"the {what} on standard input is no UTF-8 text") from error
    if not text:
        raise click.UsageError(f"write the {what} as one line to standard input")
    return text
