"""Kinds: how each type of value is read from a path, and printed into one.

Reading refuses whatever is not exactly of the kind, and says how it could be written. `parse` and
`show` are inverse: what `show` prints, `parse` reads back as an equal value.
"""

import datetime as dt
import re
import types
from collections.abc import Callable
from typing import Annotated, Literal, Union, get_args, get_origin

import msgspec

from processors.errors import BadValue
from processors.values import Grid, Interval, Layers, Range, Size, number

ITEMS_MAX = 256
"""Items of one list."""
ID_MAX = 64
"""Characters of one id."""
LAYERS_MAX = 1_000_000
"""Layers that one value may name."""

_SHOWN_MAX = 80
_DIGITS_MAX = 18
_WHOLE = r"(?:0|[1-9][0-9]{0,17})"
_SIGNED = rf"-?{_WHOLE}"
_REAL = rf"-?{_WHOLE}(?:\.[0-9]{{1,17}})?(?:e-?[0-9]{{1,3}})?"
_RUN = rf"{_WHOLE}(?:-{_WHOLE})?"
_ID = rf"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{{0,{ID_MAX - 2}}}[A-Za-z0-9_-])?"
_TIME = "%Y%m%dT%H%M%SZ"


class Kind(msgspec.Struct, frozen=True):
    """One kind of value. `spelling` matches what it can look like, `what` says it in words.

    `of_none` is the word for None, where a parameter may have none: "full" of a grid. `example` is
    a value that can be written. `choices` are all values there are, or none to say it.
    """

    name: str
    what: str
    spelling: str
    example: str
    read: Callable[[str], object]
    of_none: str = ""
    choices: tuple[str, ...] = ()

    def parse(self, text: str) -> object:
        """Return the value that `text` spells; BadValue, with a repaired spelling, if it does not.

        The example of the error is a spelling only.
        """
        if self.of_none and text == self.of_none:
            return None
        if re.fullmatch(self.spelling, text, re.ASCII) is None:
            raise BadValue(
                f"{_shortened(text)!r} is not {self.what}",
                asked=_shortened(text),
                limit=self.what,
                example=self.repaired(text),
            )
        try:
            return self.read(text)
        except ValueError as error:
            raise BadValue(
                f"{_shortened(text)!r} is not {self.what}: {error}",
                asked=_shortened(text),
                limit=str(error),
                example=self.repaired(text),
            ) from None

    def show(self, value: object) -> str:
        """Return the canonical spelling of a value."""
        return self.of_none if value is None else shown(value)

    def repaired(self, text: str) -> str:
        """Return the spelling that was probably meant, "" when none can be told."""
        repair = _REPAIRS.get(self.name)
        candidate = "" if repair is None else repair(text[:256])
        if candidate and re.fullmatch(self.spelling, candidate, re.ASCII) is not None:
            try:
                self.read(candidate)
            except ValueError:
                return ""
            return candidate
        return ""


def find(name: str) -> Kind | None:
    """Return the kind that a pattern calls `name`, or None."""
    return KINDS.get(name)


def names() -> tuple[str, ...]:
    """Return what kinds there are for patterns."""
    return tuple(sorted(KINDS))


def kind_of(annotation: object) -> Kind | None:
    """Return the kind of a parameter of this type; None when it cannot stand in a path."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(arguments[0])
    if origin in (Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        if len(inner) != 1:
            return None
        kind = kind_of(inner[0])
        is_optional = len(inner) < len(arguments)
        if kind is None or not is_optional:
            return kind
        return msgspec.structs.replace(kind, of_none=_NONES.get(kind.name, "none"))
    if origin is Literal:
        return _choice(arguments)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        item = kind_of(arguments[0])
        return None if item is None or item.name not in _ITEMS else _list(item)
    return _BY_TYPE.get(annotation) if isinstance(annotation, type) else None


def adapt(value: object, kind: Kind) -> object:
    """Return `value`, read as another kind, as a parameter of `kind` takes it; BadValue.

    A pattern may be narrower than the parameter: one layer where many can be given.
    """
    match value:
        case None if not kind.of_none:
            raise BadValue("it cannot be left open here")
        case bool() | None:
            return value
        case int() if kind.name == "layers":
            return Layers.of(value)
        case Range() if kind.name == "layers":
            return Layers(((value.start, value.stop),))
        case int() if kind.name == "float":
            return float(value)
        case str() | int() if kind.choices:
            return kind.parse(shown(value))
    return value


def fits(narrow: str, kind: Kind) -> bool:
    """Tell whether a pattern may say `narrow` of a parameter of `kind`."""
    if kind.name == "choice":
        return narrow in ("id", "int")
    return narrow == kind.name or (narrow, kind.name) in _NARROWER


def _choice(values: tuple[object, ...]) -> Kind | None:
    words = {shown(value): value for value in values if isinstance(value, str | int)}
    if len(words) < len(values):
        return None
    return Kind(
        name="choice",
        what=f"one of {', '.join(words)}",
        spelling="|".join(re.escape(word) for word in words),
        example=next(iter(words)),
        read=words.__getitem__,
        choices=tuple(words),
    )


def _list(item: Kind) -> Kind:
    def read(text: str) -> object:
        return tuple(item.read(part) for part in _parts(text))

    return Kind(
        name="list",
        what=f"a list such as {item.example}+{item.example}, each {item.what}",
        spelling=rf"(?:{item.spelling})(?:\+(?:{item.spelling}))*",
        example=item.example,
        read=read,
    )


def _parts(text: str) -> list[str]:
    parts = text.split("+")
    if len(parts) > ITEMS_MAX:
        raise ValueError(f"a list has at most {ITEMS_MAX} items, this one has {len(parts)}")
    return parts


def _read_layers(text: str) -> Layers:
    runs = []
    for part in _parts(text):
        start, dash, stop = part.partition("-")
        run = (int(start), int(stop) if dash else int(start) + 1)
        if run[0] >= run[1]:
            raise ValueError(f"the range {part} is empty: a range ends before its second number")
        runs.append(run)
    layers = Layers.merged(runs)
    if len(layers) > LAYERS_MAX:
        raise ValueError(f"it names {len(layers)} layers, and {LAYERS_MAX} are the most")
    return layers


def _read_range(text: str) -> Range:
    start, _, stop = text.partition("-")
    if int(start) >= int(stop):
        raise ValueError("it is empty: a range ends before its second number")
    return Range(int(start), int(stop))


def _read_interval(text: str) -> Interval:
    low, _, high = text.partition("..")
    if float(low) >= float(high):
        raise ValueError("it is empty: the second number is not greater than the first")
    return Interval(_read_float(low), _read_float(high))


def _read_grid(text: str) -> Grid:
    a, b, c, d = map(int, text.split("-"))
    if a >= b or c >= d:
        raise ValueError("it is empty: a range ends before its second number")
    return Grid(a, b, c, d)


def _read_size(text: str) -> Size:
    width, _, height = text.partition("x")
    return Size(int(width), int(height))


def _read_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("it is too large")
    return value + 0.0  # there is one zero


def _read_date(text: str) -> dt.date:
    form = _TIME if "T" in text else "%Y%m%d"
    try:
        moment = dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC)
    except ValueError:
        raise ValueError("the calendar has no such day or time") from None
    return moment if "T" in text else moment.date()


def shown(value: object) -> str:
    """Return the canonical spelling of a value of any kind."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return number(value)
        case dt.datetime():
            moment = value.astimezone(dt.UTC)
            return f"{moment.year:04}{moment:%m%dT%H%M%SZ}"
        case dt.date():
            return f"{value.year:04}{value:%m%d}"
        case tuple():
            return "+".join(map(shown, value))
    return str(value)


def _shortened(text: str) -> str:
    shown = text.encode("utf-8", "backslashreplace").decode()
    return shown if len(shown) <= _SHOWN_MAX else f"{shown[: _SHOWN_MAX - 3]}..."


def _numbers(text: str) -> list[str]:
    return [str(int(found)) for found in re.findall(r"[0-9]+", text) if len(found) <= _DIGITS_MAX]


def _repaired_grid(text: str) -> str:
    found = [int(word) for word in _numbers(text)]
    columns, rows = sorted(found[:2]), sorted(found[2:])
    return "-".join(map(str, (*columns, *rows)))


_REPAIRS: dict[str, Callable[[str], str]] = {
    "int": lambda text: next(iter(_numbers(text)), ""),
    "layers": lambda text: next(iter(_numbers(text)), ""),
    "float": lambda text: text.replace(",", "."),
    "bool": lambda text: {"yes": "true", "1": "true", "no": "false", "0": "false"}.get(
        text.lower(), text.lower()
    ),
    "date": lambda text: "".join(re.findall(r"[0-9]+", text))[:8],
    "range": lambda text: "-".join(map(str, sorted(map(int, _numbers(text))))),
    "grid": _repaired_grid,
    "size": lambda text: "x".join(_numbers(text)[:2]),
    "choice": lambda text: text.lower(),
}

KINDS = {
    kind.name: kind
    for kind in (
        Kind("int", "a whole number such as 12", _SIGNED, "0", int),
        Kind("float", "a number such as 0.5", _REAL, "1", _read_float),
        Kind("bool", "true or false", "true|false", "true", lambda text: text == "true"),
        Kind(
            "id",
            f"a name of at most {ID_MAX} letters, digits, '_', '-' and '.', which does not start"
            " or end with '.'",
            _ID,
            "a",
            str,
        ),
        Kind(
            "date",
            "a date such as 20181129 or a time such as 20181129T134500Z",
            "[0-9]{8}(?:T[0-9]{6}Z)?",
            "20181129",
            _read_date,
        ),
        Kind("range", "a range such as 20-30", f"{_WHOLE}-{_WHOLE}", "0-1", _read_range),
        Kind(
            "interval",
            "two numbers such as -3.5..7",
            rf"{_REAL}\.\.{_REAL}",
            "0..1",
            _read_interval,
        ),
        Kind(
            "layers",
            "layers such as 12, 20-30 or 12+15+20-30",
            rf"{_RUN}(?:\+{_RUN})*",
            "0",
            _read_layers,
        ),
        Kind(
            "grid",
            "a grid of four whole numbers such as 0-1200-0-400",
            "-".join([_WHOLE] * 4),
            "0-1-0-1",
            _read_grid,
        ),
        Kind(
            "size",
            "a size such as 640x480",
            "[1-9][0-9]{0,8}x[1-9][0-9]{0,8}",
            "64x64",
            _read_size,
        ),
        Kind(
            "list",
            f"a list of at most {ITEMS_MAX} items such as 1+2+3",
            r"[^+]+(?:\+[^+]+)*",
            "1",
            lambda text: tuple(_parts(text)),
        ),
        Kind("path", "a path between two segments '~'", ".+", "", str),
    )
}
_BY_TYPE: dict[type, Kind] = {
    int: KINDS["int"],
    float: KINDS["float"],
    bool: KINDS["bool"],
    str: KINDS["id"],
    dt.date: KINDS["date"],
    dt.datetime: KINDS["date"],
    Range: KINDS["range"],
    Interval: KINDS["interval"],
    Layers: KINDS["layers"],
    Grid: KINDS["grid"],
    Size: KINDS["size"],
}
_ITEMS = ("int", "float", "id", "date", "size", "choice")
_NONES = {"grid": "full", "layers": "all"}
_NARROWER = {("int", "layers"), ("range", "layers"), ("int", "float")}
