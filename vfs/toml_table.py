"""One table of a configuration file, read into a frozen struct.

Fields are converted one by one, so that an error can name the key and its line.
"""

import difflib
import enum
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, TypeVar, get_args, get_origin

import msgspec

from providers.secret import KINDS, NAME_RULE, Kind, Secret, is_name
from vfs.toml_file import TomlFile, dotted, header
from vfs.toml_lines import Key

Struct = TypeVar("Struct", bound=msgspec.Struct)

_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a decimal number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
    "date": "a date",
    "datetime": "a date and time",
}
_EXPECTED = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`)?")
_PLACE = re.compile(r" - at `\$([^`]*)`$")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_table(
    file: TomlFile,
    key: Key,
    cls: type[Struct],
    *,
    without: Iterable[str] = (),
    given: Mapping[str, object] | None = None,
) -> Struct:
    """Return the table at `key` as a `cls`; raise ConfigError about the first thing wrong in it.

    Keys named in `without` are left to the caller. Fields in `given` have their value from there
    and no key. A path becomes absolute, relative to the file.
    A field that ends in `_file` must be readable. A `Secret` has no key of its own: one of the
    keys that say where it stands is read for it.
    """
    table = table_at(file, key)
    skipped = frozenset(without)
    values: dict[str, object] = dict(given or {})
    fields = {
        field.encode_name: field
        for field in msgspec.structs.fields(cls)
        if field.name not in values
    }
    secret = {name for name, field in fields.items() if is_secret(field.type)}
    known = [*skipped]
    for name in fields:
        known += secret_keys(name) if name in secret else [name]
    for name in table:
        if name not in known:
            text = _misplaced(key, name) if name in secret else _unknown(key, name, known)
            raise file.error((*key, name), text)
    for name, field in fields.items():
        if name in secret:
            found = _secret(file, key, name, required=field.required)
            if found is not None:
                values[field.name] = found
        elif name in table:
            values[field.name] = _convert(file, (*key, name), field.type, table[name])
        elif field.required:
            raise file.error(key, f"{header(key)} lacks the key {name!r}")
        elif isinstance(field.default, Path):
            values[field.name] = file.folder / field.default
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise file.error(key, f"{header(key)} is wrong: {error}") from error


def read_value(file: TomlFile, key: Key, type_: type) -> object:
    """Return the one value at `key`, converted; the table above it must be there."""
    return _convert(file, key, type_, table_at(file, key[:-1])[str(key[-1])])


def table_at(file: TomlFile, key: Key) -> dict[str, object]:
    """Return the table at `key`, empty if it is absent; ConfigError if it is no table."""
    value: object = file.root
    for step, part in enumerate(key):
        if isinstance(value, dict):
            value = value.get(part, {})
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part]
        if not isinstance(value, dict) and step == len(key) - 1:
            raise file.error(key, f"{dotted(key)} must be a table, not {_kind(value)}")
    assert isinstance(value, dict)
    return value


def tables_at(file: TomlFile, key: Key) -> list[Key]:
    """Return the key of each table in the array of tables at `key`; none if it is absent."""
    value = table_at(file, key[:-1]).get(str(key[-1]), [])
    if not isinstance(value, list):
        raise file.error(
            key,
            f"{dotted(key)} must be a list of tables, not {_kind(value)}; write [[{dotted(key)}]]",
        )
    return [(*key, place) for place in range(len(value))]


def is_secret(type_: object) -> bool:
    """Tell whether a field of this type holds a secret."""
    return type_ is Secret or Secret in get_args(type_)


def secret_keys(name: str) -> list[str]:
    """Return the keys that can stand for the secret `name`."""
    return [f"{name}_{kind}" for kind in KINDS]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like `name`, or nothing."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), "")


def _convert(file: TomlFile, key: Key, type_: object, value: object) -> object:
    def special(wanted: type, given: object) -> object:
        if not isinstance(given, str):
            raise TypeError(f"must be text, not {_kind(given)}")
        if issubclass(wanted, Path):
            if not given or "\0" in given:
                raise ValueError("must name a file or folder")
            return file.folder / given
        if not issubclass(wanted, str):
            raise NotImplementedError(f"an option of the type {wanted.__name__} cannot be read")
        return wanted(given)

    try:
        result: object = msgspec.convert(value, type_, dec_hook=special)
    except msgspec.ValidationError as error:
        text = str(error)
        place = _PLACE.search(text)
        full = dotted(key) + (place[1] if place else "")
        raise file.error(key, f"{full} {_reword(_PLACE.sub('', text), type_, value)}") from error
    if str(key[-1]).endswith("_file") and isinstance(result, Path):
        require_readable(file, key, result)
    return result


def _secret(file: TomlFile, key: Key, name: str, *, required: bool) -> Secret | None:
    """Read where the secret `name` stands from the one key that says it."""
    table = table_at(file, key)
    given = [kind for kind in KINDS if f"{name}_{kind}" in table]
    keys = " or ".join(map(repr, secret_keys(name)))
    if not given:
        if required:
            raise file.error(key, f"{header(key)} lacks one of the keys {keys}")
        return None
    if len(given) > 1:
        again = (*key, f"{name}_{given[1]}")
        raise file.error(again, f"{header(key)} says twice where {name!r} stands; keep one: {keys}")
    return Secret(given[0], _reference(file, (*key, f"{name}_{given[0]}"), given[0]))


def _reference(file: TomlFile, key: Key, kind: Kind) -> str:
    text = str(read_value(file, key, Path if kind == "file" else str))
    if kind == "env" and not _VARIABLE.fullmatch(text):
        raise file.error(
            key, f"{dotted(key)} must be the name of an environment variable, not its value"
        )
    if kind == "secret" and not is_name(text):
        raise file.error(
            key,
            f"{dotted(key)} must be the name of a stored secret, not its value; {NAME_RULE}",
        )
    return text


def require_readable(file: TomlFile, key: Key, path: Path, *, folder: bool = False) -> None:
    """Raise ConfigError unless `path` is a file (or a folder) that this process may read."""
    cause = ""
    if not path.exists():
        cause = "does not exist"
    elif path.is_dir() != folder:
        cause = "is not a folder" if folder else "is a folder, not a file"
    elif not os.access(path, os.R_OK | (os.X_OK if folder else 0)):
        cause = "may not be read by this user"
    if cause:
        raise file.error(key, f"{dotted(key)}: {str(path)!r} {cause}")


def _misplaced(key: Key, name: str) -> str:
    file, variable, stored = map(repr, secret_keys(name))
    return (
        f"{header(key)} has no key {name!r}: a secret does not stand in the configuration; put it"
        f" in a file and name that with {file}, or in a variable ({variable}), or in the gateway's"
        f" own store ({stored})"
    )


def _unknown(key: Key, name: str, known: list[str]) -> str:
    where = header(key)
    near = nearest(name, known)
    if near:
        return f"{where} has no key {name!r}; did you mean {near!r}?"
    return f"{where} has no key {name!r}; known are: {', '.join(sorted(known))}"


def _reword(text: str, type_: object, value: object) -> str:
    if text.startswith("Invalid enum value"):
        allowed = _allowed(type_)
        near = nearest(str(value), allowed)
        hint = f"; did you mean {near!r}?" if near else ""
        return f"must be one of {', '.join(allowed)}{hint}"
    if not _EXPECTED.match(text):
        return text

    def words(match: re.Match[str]) -> str:
        wanted = " or ".join(
            _WORDS.get(name, name) for name in match[1].split(" | ") if name != "null"
        )
        return f"must be {wanted}" + (f", not {_WORDS.get(match[2], match[2])}" if match[2] else "")

    return _EXPECTED.sub(words, text)


def _allowed(type_: object) -> list[str]:
    if get_origin(type_) is Literal:
        return [str(value) for value in get_args(type_)]
    if isinstance(type_, type) and issubclass(type_, enum.Enum):
        return [str(member.value) for member in type_]
    return [name for inner in get_args(type_) for name in _allowed(inner)]


def _kind(value: object) -> str:
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float"), (str, "str")):
        if isinstance(value, kind):
            return _WORDS[name]
    return _WORDS["array" if isinstance(value, list) else "object"]
