"""Paths of templates: what they mean, their one canonical form, and how wrong ones are refused."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.base import Params, Processor
from processors.errors import BadValue, OutOfRange
from processors.grammar.compiling import TemplateError, compile_template, ready_template
from processors.grammar.parser import parse
from processors.grammar.template import Bound, Template, TemplateText
from processors.values import Grid, Layers, Size
from tests.processors.sheets import Window, count, find, lines

PATH = "{subject:id}/{date:date}/{layer:int}/{grid:grid}"


def text(**changes: Any) -> TemplateText:
    """Return the text of the template that the tests change."""
    told: dict[str, Any] = {
        "path": PATH,
        "source": "/archive/{subject}/{date}.sheet",
        "run": ("sheet.window",),
    }
    return TemplateText(**(told | changes))


def template(**changes: Any) -> Template:
    """Return that template."""
    return compile_template("tiffstore", text(**changes), find)


def read(path: str, made: Template | None = None) -> Bound:
    """Read a path, which begins behind the template's name."""
    return parse(made or template(), tuple(path.split("/")) if path else ())


def canonical(path: str, made: Template | None = None) -> str:
    """Return the canonical form of a path."""
    made = made or template()
    return made.path(read(path, made)).removeprefix(f"{made.name}/")


def test_the_path_of_the_field_means_what_it_says() -> None:
    made = template()
    bound = read("312/20181129/12/0-1200-0-400", made)
    assert bound.is_complete
    assert made.source_path(bound.values) == ("/archive/312/20181129.sheet", ())
    (step,) = made.steps(bound)
    assert step.processor == "sheet.window"
    params: Any = step.params
    assert params.layer == Layers.of(12)
    assert params.grid == Grid(0, 1200, 0, 400)
    assert params.format == "raw"
    assert bound.values["date"] == dt.date(2018, 11, 29)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("312", "312"),
        ("312/20181129", "312/20181129"),
        ("312/20181129/12/0-1200-0-400", "312/20181129/12/0-1200-0-400"),
        ("312/20181129/12/full", "312/20181129/12/full"),
        ("312/20181129/12/0-1200-0-400.raw", "312/20181129/12/0-1200-0-400"),
        ("312/20181129/12/0-1200-0-400.bin", "312/20181129/12/0-1200-0-400.bin"),
        ("312/20181129/12/x=0-1200,y=0-400", "312/20181129/12/0-1200-0-400"),
        ("312/20181129/12/y=0-400,x=0-1200.bin", "312/20181129/12/0-1200-0-400.bin"),
        ("312/20181129/layer=12,grid=full", "312/20181129/12/full"),
        ("grid=full,layer=12/312/20181129", "312/20181129/12/full"),
        ("layer=12/312/20181129/full", "312/20181129/12/full"),
        ("subject=312,date=20181129,layer=12,grid=full,format=bin", "312/20181129/12/full.bin"),
        ("312/20181129/12/full,level=0", "312/20181129/12/full"),
        ("312/20181129/12/full,op=inverted,level=1", "312/20181129/12/full,level=1,op=inverted"),
        ("312/20181129/12/op=inverted/full.bin", "312/20181129/12/full,op=inverted.bin"),
        ("312/20181129/12/full/op=inverted", "312/20181129/12/full,op=inverted"),
        ("312/@0-500/20181129/@500-1000/12/full", "312/20181129/12/full"),
    ],
)
def test_every_way_to_write_it_has_one_canonical_form(path: str, form: str) -> None:
    assert canonical(path) == form
    assert canonical(form) == form


@given(
    subject=st.from_regex(r"\A[A-Za-z0-9]{1,12}\Z"),
    date=st.dates(),
    layer=st.integers(0, 10**6),
    grid=st.one_of(
        st.none(),
        st.tuples(*[st.integers(0, 10**5)] * 4).map(
            lambda at: Grid(at[0], at[0] + at[1] + 1, at[2], at[2] + at[3] + 1)
        ),
    ),
    level=st.integers(0, 9),
    op=st.sampled_from(["plain", "inverted"]),
    chosen=st.sampled_from(["raw", "bin"]),
    order=st.sampled_from(["xxyy", "yyxx"]),
)
def test_printing_and_reading_are_inverse(  # noqa: PLR0917 - what hypothesis draws
    subject: str,
    date: dt.date,
    layer: int,
    grid: Grid | None,
    level: int,
    op: str,
    chosen: str,
    order: str,
) -> None:
    made = template(grid_order=order)
    values = {"subject": subject, "date": date, "layer": layer, "grid": grid}
    options = {"level": level, "op": op}
    bound = Bound(values=values | options, place=4, is_complete=True, format=chosen)
    printed = made.path(bound)
    again = read(printed.removeprefix("tiffstore/"), made)
    assert made.path(again) == printed
    assert made.steps(again) == made.steps(bound)
    assert {name: again.values[name] for name in values} == values


def test_the_switches_change_what_is_written_and_nothing_else() -> None:
    made = template(grid_order="yyxx", layer_base=1)
    (step,) = made.steps(read("312/20181129/12/0-400-0-1200", made))
    params: Any = step.params
    assert params.layer == Layers.of(11)
    assert params.grid == Grid(0, 1200, 0, 400)
    assert canonical("312/20181129/12/x=0-1200,y=0-400", made) == "312/20181129/12/0-400-0-1200"
    with pytest.raises(BadValue, match="from 1"):
        made.steps(read("312/20181129/0/full", made))
    refused = OutOfRange(example="grid=0-20-0-10,layer=2")
    bound = read("312/20181129/99/full", made)
    assert made.corrected(bound, refused) == "tiffstore/312/20181129/3/0-10-0-20"
    assert made.values_of("layer", range(3)) == range(1, 4)


@pytest.mark.parametrize(
    ("path", "example"),
    [
        ("312/2018-11-29/12/0-1200-0-400", "312/20181129/12/0-1200-0-400"),
        ("312/20181329/12/full", "312"),
        (".x/20181129/12/full", ".help.txt"),
        ("312/20181129/012/full", "312/20181129/12/full"),
        ("312/20181129/x/full", "312/20181129/0/full"),
        ("312/20181129/12/1200-0-400-0", "312/20181129/12/0-1200-0-400"),
        ("312/20181129/12/everything", "312/20181129/12/0-1-0-1"),
        ("312/20181129/12/full.gif", "312/20181129/12/full"),
        ("312/20181129/12/full/7", "312/20181129/12/full"),
        ("312/20181129/12/full/layer=3", "312/20181129/12/full"),
        ("312/20181129/12,layer=12/full", "312/20181129/12/full"),
        ("312/20181129/12/full,levl=1", "312/20181129/12/full"),
        ("312/20181129/12/full,op=odd", "312/20181129/12/full"),
        ("312/20181129/12/full,format=bin.raw", "312/20181129/12/full"),
        ("312/20181129/12/x=0-5,y=9-3", "312/20181129/12/0-1-0-1"),
        ("312/20181129/12/x=0-5", "312/20181129/12"),
        ("312/20181129/12/full,", "312/20181129/12/full"),
        ("312/" * 700 + "312", ".help.txt"),
    ],
)
def test_what_is_wrong_is_refused_with_a_path_that_is_right(path: str, example: str) -> None:
    made = template()
    with pytest.raises(BadValue) as caught:
        read(path, made)
    told = caught.value.example.removeprefix("tiffstore/")
    assert told == example
    if not told.endswith(".help.txt"):
        read(told, made)


def test_a_typo_is_told_with_the_name_that_was_meant() -> None:
    with pytest.raises(BadValue, match="did you mean 'level'"):
        read("312/20181129/12/full,levle=1")


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60))
def test_any_last_segment_is_read_or_refused(segment: str) -> None:
    made = template()
    try:
        bound = read(f"312/20181129/12/{segment}", made)
        assert made.path(read(made.path(bound).removeprefix("tiffstore/"), made)) == made.path(
            bound
        )
    except BadValue as error:
        assert error.example


@given(st.text("0123456789-+=,.~@xyfulgrid/", max_size=80))
def test_any_example_can_be_read(path: str) -> None:
    made = ready_template("window", Window())
    segments = tuple(filter(None, path.split("/")))
    try:
        parse(made, segments)
    except BadValue as error:
        told = error.example.removeprefix("window/")
        if not told.endswith(".help.txt"):
            parse(made, tuple(told.split("/")))


def test_a_ready_template_takes_any_source_between_two_tildes() -> None:
    made = ready_template("window", Window())
    bound = read("~/site-a/scans/a.sheet/~/12/0-12-0-4.bin", made)
    assert made.source_path(bound.values) == ("/site-a/scans/a.sheet", ())
    assert made.path(bound) == "window/~/site-a/scans/a.sheet/~/12/0-12-0-4.bin"
    assert read("~/site-a/scans", made).inside == ("site-a", "scans")
    assert canonical("~/a,b=c/~,level=2/1+2/full", made) == "~/a,b=c/~/1-3/full,level=2"
    with pytest.raises(BadValue, match="must stand here"):
        read("site-a/x/12/full", made)
    with pytest.raises(BadValue, match="is empty"):
        read("~/~/12/full", made)


def test_without_a_pattern_the_required_parameters_stand_in_the_path() -> None:
    made = ready_template("count", count())
    assert canonical("~/a.txt/~", made) == "~/a.txt/~"
    assert canonical("~/a.txt/~.txt", made) == "~/a.txt/~"
    assert ready_template("lines", lines()).pattern == "~/PATH/~/{first:int}"


def test_the_extension_belongs_to_the_last_value_only() -> None:
    made = compile_template(
        "note",
        TemplateText(path="{first:int}/{name:id}", source="/a/{name}", run=("sheet.lines",)),
        find,
    )
    assert read("0/my.notes", made).values["name"] == "my.notes"
    assert read("0/my.notes.csv", made).values["name"] == "my.notes"
    assert read("0/my.notes.csv", made).format == "csv"


@pytest.mark.parametrize(
    ("changes", "key", "cause"),
    [
        ({"run": ()}, ("run",), "at least one"),
        ({"path": "{subject}"}, ("path",), "no known kind"),
        ({"path": "{subject:word}"}, ("path",), "no known kind"),
        ({"path": "a b/{layer:int}"}, ("path",), "neither a value"),
        ({"path": "{layer:int}/{layer:int}"}, ("path",), "twice"),
        ({"path": "{a:path}/{b:path}", "source": "/{a}/{b}"}, ("path",), "one source"),
        ({"path": "plain", "source": "/x"}, ("path",), "no value"),
        ({"path": PATH + "/{format:id}"}, ("path",), "extension"),
        ({"path": PATH + "/{colour:id}"}, ("path",), "takes 'colour'"),
        ({"path": "{subject:id}/{date:date}/{layer:grid}/{grid:grid}"}, ("path",), "its kind is"),
        ({"path": "{subject:id}/{date:date}/{grid:grid}"}, ("path",), "needs the parameter"),
        ({"source": "archive/{subject}"}, ("source",), "must be a path"),
        ({"source": "/archive/../{subject}"}, ("source",), "may not hold"),
        ({"source": "/archive/{subjct}"}, ("source",), "did you mean 'subject'"),
        ({"source": "/archive/{subject:id}"}, ("source",), "must be a value"),
        ({"params": {"levl": 1}}, ("params", "levl"), "did you mean 'level'"),
        ({"params": {"level": "high"}}, ("params", "level"), "whole number"),
        ({"params": {"layer": 1}}, ("params", "layer"), "stands in the path"),
        ({"params": {"sheet.windw": {}}}, ("params", "sheet.windw"), "did you mean"),
        ({"formats": ("png",)}, ("formats",), "makes raw, bin"),
        ({"format": "png"}, ("format",), "not among"),
    ],
)
def test_what_cannot_work_is_told_at_start(
    changes: dict[str, Any], key: tuple[str, ...], cause: str
) -> None:
    with pytest.raises(TemplateError, match=cause) as caught:
        template(**changes)
    assert caught.value.key == key


def test_a_chain_gives_each_step_its_own_parameters() -> None:
    made = template(
        run=("sheet.window", "sheet.lines"),
        params={"op": "inverted", "sheet.lines": {"first": 3}},
        path="{subject:id}/{date:date}/{layer:layers}/{grid:grid}/{count:int}",
        format="csv",
    )
    window, last = made.steps(read("312/20181129/0-2/full/9", made))
    first: Any = window.params
    second: Any = last.params
    assert (first.op, first.layer, first.format) == ("inverted", Layers(((0, 2),)), "raw")
    assert (second.first, second.count, second.format) == (3, 9, "csv")
    with pytest.raises(BadValue, match="fixed by the template"):
        read("312/20181129/0/full/9,op=plain", made)


def test_the_digest_stands_for_all_that_decides_about_the_bytes() -> None:
    digests = {
        template(**changes).digest
        for changes in (
            {},
            {"grid_order": "yyxx"},
            {"layer_base": 1},
            {"source": "/other/{subject}/{date}.sheet"},
            {"params": {"level": 1}},
            {"format": "bin"},
        )
    }
    assert len(digests) == 6
    assert template().digest == compile_template("other", text(), find).digest


class _BoundedParams(Params, frozen=True):
    size: Size
    count: int = 1

    def __post_init__(self) -> None:
        if self.count > 9:
            raise BadValue("at most nine", asked=str(self.count), limit="9", example="count=9")


class _Bounded(Window):
    name = "bounded"
    params = _BoundedParams  # type: ignore[assignment] # it takes others than what it changes
    pattern = "{source:path}/{size:size}"


def test_what_a_processor_refuses_becomes_a_whole_path() -> None:
    processor: Processor = _Bounded()
    made = ready_template("bounded", processor)
    bound = read("~/a/~/4x4,count=12", made)
    with pytest.raises(BadValue) as caught:
        made.steps(bound)
    assert made.corrected(bound, caught.value) == "bounded/~/a/~/4x4,count=9"
    assert made.corrected(bound, OutOfRange(example="nothing=1")) == ""
    assert made.corrected(bound, OutOfRange(example="size=odd")) == ""
    assert made.corrected(bound, OutOfRange(example="format=bin")).endswith(",count=12.bin")
