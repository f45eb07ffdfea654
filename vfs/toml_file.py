"""A configuration file: its parsed content, and errors that say where in it they are."""

import re
import tomllib
from functools import cached_property
from pathlib import Path

from vfs.toml_lines import Key, TomlLines

_SIZE_MAX = 4 << 20
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class ConfigError(Exception):
    """A configuration that cannot be used; the text is one sentence with file, line and key."""


class TomlFile:
    """A TOML file read once. Immutable once made; relative paths in it start at `folder`.

    Raises ConfigError when the file cannot be read or is not TOML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.absolute().parent
        self.text = self._read()
        self.root: dict[str, object] = self._parse()

    @cached_property
    def lines(self) -> TomlLines:
        """Where each key stands; found only when an error is to be told."""
        return TomlLines(self.text)

    def error(self, key: Key, text: str) -> ConfigError:
        """Return an error about what stands at `key`."""
        return ConfigError(f"{self.path}:{self.lines.line(key)}: {text}")

    def _read(self) -> str:
        try:
            with self.path.open("rb") as stream:
                data = stream.read(_SIZE_MAX + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"{self.path}: the configuration cannot be read: {reason}") from error
        if len(data) > _SIZE_MAX:
            raise ConfigError(f"{self.path}: this is no configuration: it is over 4 MiB long")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ConfigError(
                f"{self.path}:{line}: the text is not UTF-8; save the file as UTF-8"
            ) from error

    def _parse(self) -> dict[str, object]:
        try:
            return tomllib.loads(self.text)
        except RecursionError as error:
            raise ConfigError(f"{self.path}:1: values are nested too deeply") from error
        except tomllib.TOMLDecodeError as error:
            text = str(error)
            at = _AT.search(text)
            line = at[1] if at and at[1] else str(self.text.rstrip("\n").count("\n") + 1)
            text = _AT.sub("", text)
            raise ConfigError(f"{self.path}:{line}: this is not TOML: {text}") from error


def dotted(key: Key) -> str:
    """Return `key` as TOML spells it, such as mounts."/site-a".root."""
    return ".".join(_spell(part) for part in key if isinstance(part, str))


def header(key: Key) -> str:
    """Return the header of the table at `key`, such as [mounts."/site-a"]."""
    if key and isinstance(key[-1], int):
        return f"[[{dotted(key)}]]"
    return f"[{dotted(key)}]" if key else "the file"


def quoted(text: str) -> str:
    """Return `text` as a TOML basic string on one line."""
    return '"' + "".join(_ESCAPES.get(char) or _escape(char) for char in text) + '"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(char: str) -> str:
    return char if char.isprintable() else f"\\U{ord(char):08X}"


def _spell(part: str) -> str:
    return part if _BARE.fullmatch(part) else quoted(part)
