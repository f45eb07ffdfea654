"""Patterns: the path of a template, and the path of its source."""

import re
from typing import TypeAlias

import msgspec

from processors.grammar import kinds
from processors.grammar.kinds import Kind

_NAME = r"[a-z][a-z0-9_]{0,31}"
_PLACEHOLDER = re.compile(rf"\{{({_NAME})(?::([a-z]+))?\}}")
_LITERAL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
_PIECES = re.compile(r"(\{[^}]*\})")

SEGMENTS_MAX = 32


class PatternError(Exception):
    """A pattern that cannot be used; the text says why."""


class Placeholder(msgspec.Struct, frozen=True):
    """Stands in a path for a value: `{date:date}`."""

    name: str
    kind: Kind

    @property
    def is_path(self) -> bool:
        """Tell whether it stands for a source path between two "~"."""
        return self.kind.name == "path"

    def __str__(self) -> str:
        return "~/PATH/~" if self.is_path else f"{{{self.name}:{self.kind.name}}}"


Part: TypeAlias = Placeholder | str


def parse_pattern(text: str) -> tuple[Part, ...]:
    """Return the parts of a path pattern, one for each segment; PatternError."""
    parts: list[Part] = []
    for segment in text.split("/"):
        found = _PLACEHOLDER.fullmatch(segment)
        if found is None:
            if _LITERAL.fullmatch(segment) is None:
                raise PatternError(
                    f"the segment {segment!r} is neither a value such as '{{layer:int}}' nor a"
                    " plain name"
                )
            parts.append(segment)
            continue
        name, kind_name = found[1], found[2]
        kind = kinds.find(kind_name or "")
        if kind is None:
            raise PatternError(
                f"the value {segment!r} has no known kind; write '{{{name}:KIND}}' with one of"
                f" {', '.join(kinds.names())}"
            )
        if name == "format":
            raise PatternError("'format' is the extension of the last segment; leave it out")
        if any(isinstance(part, Placeholder) and part.name == name for part in parts):
            raise PatternError(f"the value {name!r} stands in it twice")
        parts.append(Placeholder(name, kind))
    if len(parts) > SEGMENTS_MAX:
        raise PatternError(f"it has more than {SEGMENTS_MAX} segments")
    if sum(isinstance(part, Placeholder) and part.is_path for part in parts) > 1:
        raise PatternError("a template has one source, so only one value may be a path")
    if not any(isinstance(part, Placeholder) for part in parts):
        raise PatternError("it holds no value, so it would name one file only")
    return tuple(parts)


class SourcePattern(msgspec.Struct, frozen=True):
    """Where the source of a request lies: `/archive/{subject}/{date}.tif`.

    `segments` holds the pieces of each segment below the root: text, or `{name}`.
    """

    segments: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> frozenset[str]:
        """The values it takes."""
        return frozenset(
            piece[1:-1] for pieces in self.segments for piece in pieces if piece.startswith("{")
        )

    def fill(self, values: dict[str, str]) -> tuple[str, tuple[str, ...]]:
        """Return the path as far as `values` reach, and the pieces of the first segment left over.

        No pieces are left when the path is whole.
        """
        path = ""
        for pieces in self.segments:
            filled = [
                values.get(piece[1:-1], piece) if piece.startswith("{") else piece
                for piece in pieces
            ]
            if any(piece.startswith("{") for piece in filled):
                return path or "/", tuple(filled)
            path = f"{path}/{''.join(filled)}"
        return path, ()


def parse_source(text: str) -> SourcePattern:
    """Return the pattern of a source; PatternError."""
    if not text.startswith("/") or text.endswith("/"):
        raise PatternError("it must be a path of the namespace, such as '/archive/{subject}.tif'")
    segments = []
    for segment in text[1:].split("/"):
        if segment in ("", ".", "..") or segment.startswith(".headgate-"):
            raise PatternError(f"it may not hold the segment {segment!r}")
        pieces = tuple(piece for piece in _PIECES.split(segment) if piece)
        for piece in pieces:
            if ("{" in piece or "}" in piece) and not re.fullmatch(rf"\{{{_NAME}\}}", piece):
                raise PatternError(f"{piece!r} must be a value such as '{{subject}}'")
        segments.append(pieces)
    return SourcePattern(tuple(segments))
