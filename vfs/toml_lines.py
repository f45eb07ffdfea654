"""Where each key of a TOML text stands, since `tomllib` keeps no positions.

The text is cut into statements (a header, or a key with its value), and each statement is parsed
by `tomllib` itself, so quoting and dotted keys need no second grammar here.
"""

import re
import tomllib
from collections.abc import Iterator

Key = tuple[str | int, ...]
"""The way from the top of the file to a value: names of tables and keys, places in arrays."""

_TOKEN = re.compile(
    r"""
      \"{3} (?: \\. | [^\\] )*? \"{3,5}     # multi-line string
    | '{3} .*? '{3,5}                       # multi-line literal
    | " (?: \\. | [^"\\\n] )* "
    | ' [^'\n]* '
    | \# [^\n]*
    | [\[\]{}\n]
    | [^"'\#\[\]{}\n]+
    """,
    re.DOTALL | re.VERBOSE,
)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


class TomlLines:
    """The line of each key of one valid TOML text. Immutable once made."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Key, int] = {}
        self._lengths: dict[Key, int] = {}
        table: Key = ()
        for line, statement in _statements(text):
            parsed = tomllib.loads(statement)
            if statement.startswith("["):
                table = self._enter(parsed, line)
            else:
                self._note(table, parsed, line)

    def line(self, key: Key) -> int:
        """Return the line of `key`, or of the nearest thing that encloses it; 1 for the file."""
        for end in range(len(key), 0, -1):
            if key[:end] in self._lines:
                return self._lines[key[:end]]
        return 1

    def _enter(self, header: object, line: int) -> Key:
        table: Key = ()
        while isinstance(header, dict) and header:
            name, header = next(iter(header.items()))
            table = (*table, name)
            if isinstance(header, list):
                # [[x]]: the next element of x.
                self._lines.setdefault(table, line)
                place = self._lengths.get(table, 0)
                self._lengths[table] = place + 1
                table = (*table, place)
                break
            if table in self._lengths:
                # [x.y] below [[x]]: in the element of x that was begun last.
                table = (*table, self._lengths[table] - 1)
            self._lines.setdefault(table, line)
        # A header's own line wins over that of a header below it which came earlier.
        self._lines[table] = line
        return table

    def _note(self, table: Key, value: object, line: int) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                self._lines.setdefault((*table, name), line)
                self._note((*table, name), inner, line)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    line = first = 1
    depth = 0
    parts: list[str] = []
    for piece in _TOKEN.findall(text.replace("\r\n", "\n") + "\n"):
        if piece == "\n" and depth == 0:
            statement = "".join(parts).strip()
            if statement:
                yield first, statement
            parts.clear()
            first = line + 1
        elif not piece.startswith("#"):
            parts.append(piece)
            depth += _STEPS.get(piece, 0)
        line += piece.count("\n")
