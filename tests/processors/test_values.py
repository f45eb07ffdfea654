"""What is printed is read back, and whatever is not exactly of its kind is refused."""

import datetime as dt
import math
import re
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import BadValue
from processors.grammar import kinds
from processors.grammar.kinds import KINDS, Kind, adapt, fits, kind_of
from processors.values import Grid, Interval, Layers, Range, Size

FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x20]')
"""What Windows takes in no file name, and the space, which it takes in the middle alone."""

whole = st.integers(0, 10**15)
real = st.floats(allow_nan=False, allow_infinity=False)
run = st.tuples(st.integers(0, 2000), st.integers(1, 500)).map(lambda at: (at[0], at[0] + at[1]))
VALUES: dict[str, st.SearchStrategy[object]] = {
    "int": st.integers(-(10**15), 10**15),
    "float": real,
    "bool": st.booleans(),
    "id": st.from_regex(r"\A[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_-])?\Z"),
    "date": st.one_of(
        st.dates(),
        st.datetimes(timezones=st.just(dt.UTC)).map(lambda moment: moment.replace(microsecond=0)),
    ),
    "range": run.map(lambda pair: Range(*pair)),
    "interval": st.tuples(real, real)
    .filter(lambda pair: pair[0] < pair[1])
    .map(lambda pair: Interval(*pair)),
    "layers": st.lists(run, min_size=1, max_size=20).map(Layers.merged),
    "grid": st.tuples(run, run).map(lambda pair: Grid(*pair[0], *pair[1])),
    "size": st.tuples(st.integers(1, 10**8), st.integers(1, 10**8)).map(lambda at: Size(*at)),
}


@pytest.mark.parametrize("name", sorted(VALUES))
@given(data=st.data())
def test_what_is_printed_is_read_back(name: str, data: st.DataObject) -> None:
    value = data.draw(VALUES[name])
    text = KINDS[name].show(value)
    assert KINDS[name].parse(text) == value
    assert not FORBIDDEN.search(text)
    assert not text.endswith(".")
    assert len(text) <= 255 or name == "layers"


@given(st.lists(st.one_of(st.integers(-50, 50), real), min_size=1, max_size=256))
def test_lists_are_read_back(items: list[float]) -> None:
    kind = kind_of(tuple[float, ...])
    assert kind is not None
    value = tuple(map(float, items))
    assert kind.parse(kind.show(value)) == value


@given(st.text(max_size=80))
def test_any_text_is_a_value_or_is_refused_with_what_it_should_be(text: str) -> None:
    for kind in KINDS.values():
        try:
            value = kind.parse(text)
        except BadValue as error:
            assert error.limit
            if error.example:
                kind.parse(error.example)
        else:
            if kind.name != "path":
                assert kind.parse(kind.show(value)) == value


@pytest.mark.parametrize(
    ("kind", "text", "example"),
    [
        ("int", "012", "12"),
        ("int", "1e3", "1"),
        ("int", "", ""),
        ("int", "٣", ""),
        ("int", "1" * 19, ""),
        ("float", "0,5", "0.5"),
        ("float", "nan", ""),
        ("float", "inf", ""),
        ("float", "1e999", ""),
        ("bool", "yes", "true"),
        ("id", ".hidden", ""),
        ("id", "a" * 65, ""),
        ("id", "a.", ""),
        ("id", "a b", ""),
        ("date", "2018-11-29", "20181129"),
        ("date", "20180229", ""),
        ("date", "20181129T236000Z", "20181129"),
        ("date", "181129", ""),
        ("range", "30-20", "20-30"),
        ("range", "5-5", ""),
        ("grid", "1200-0-400-0", "0-1200-0-400"),
        ("grid", "0-1200-0-400-5", ""),
        ("grid", "0-1200", ""),
        ("grid", "-1-1200-0-400", "1-1200-0-400"),
        ("size", "640,480", "640x480"),
        ("size", "0x5", ""),
        ("layers", "12,15", "12"),
        ("layers", "5-5", "5"),
        ("layers", "0-2000000", "0"),
        ("layers", "+".join(map(str, range(0, 514, 2))), "0"),
        ("interval", "7..-3.5", ""),
    ],
)
def test_a_wrong_spelling_is_refused_with_the_right_one(kind: str, text: str, example: str) -> None:
    with pytest.raises(BadValue) as caught:
        KINDS[kind].parse(text)
    assert caught.value.example == example
    assert len(caught.value.asked) <= 80


def test_layers_have_one_form() -> None:
    parse = KINDS["layers"].parse
    assert str(parse("1+2+3")) == str(parse("1-4")) == str(Layers.of(1, 2, 3)) == "1-4"
    assert list(parse("12+15+20-23")) == [12, 15, 20, 21, 22]  # type: ignore[call-overload]
    assert str(parse("3+1")) == "3+1"


def test_there_is_one_zero() -> None:
    value = KINDS["float"].parse("-0")
    assert isinstance(value, float)
    assert math.copysign(1, value) == 1


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (Annotated[int, msgspec.Meta(ge=0)], "int"),
        (float | None, "float"),
        (str, "id"),
        (bool, "bool"),
        (Literal["a", "b"], "choice"),
        (tuple[int, ...], "list"),
        (Grid | None, "grid"),
        (Layers, "layers"),
        (Size, "size"),
        (dt.date, "date"),
        (Range, "range"),
        (Interval | None, "interval"),
        (dict[str, int], None),
        (int | str, None),
        (tuple[int, int], None),
    ],
)
def test_a_parameter_has_the_kind_of_its_type(annotation: object, name: str | None) -> None:
    kind = kind_of(annotation)
    assert (kind and kind.name) == name


def test_what_can_be_left_open_has_a_word_for_it() -> None:
    grid, layers = kind_of(Grid | None), kind_of(Layers | None)
    assert isinstance(grid, Kind)
    assert isinstance(layers, Kind)
    assert grid.parse("full") is None
    assert grid.show(None) == "full"
    assert layers.parse("all") is None
    with pytest.raises(BadValue):
        KINDS["grid"].parse("full")
    with pytest.raises(BadValue):
        adapt(None, KINDS["grid"])


def test_a_pattern_may_be_narrower_than_a_parameter() -> None:
    layers = KINDS["layers"]
    assert adapt(12, layers) == Layers.of(12)
    assert adapt(Range(3, 5), layers) == Layers(((3, 5),))
    assert fits("int", layers)
    assert not fits("grid", layers)
    assert not fits("layers", KINDS["int"])
    choice = kind_of(Literal[64, 128])
    assert choice is not None
    assert choice.parse("128") == 128
    with pytest.raises(BadValue, match="one of 64, 128"):
        choice.parse("100")


def test_every_kind_has_an_example_that_is_one() -> None:
    for kind in kinds.KINDS.values():
        if kind.name != "path":
            assert kind.show(kind.parse(kind.example)) == kind.example
