"""What folders below the processing mount show: what exists, without computing anything."""

import re
from typing import Any

import pytest

from processors.errors import OutOfRange
from processors.grammar.template import TemplateText
from providers.errors import NotFound
from tests.processors.sheets import sheet
from tests.vfs.tree.derived_site import MakeSite, Site
from vfs.auth.caller import ANONYMOUS
from vfs.tree.derived_levels import NAMES_MAX, cut
from vfs.tree.unmade import Unmade


def test_levels_show_the_values_that_exist(site: Site) -> None:
    site.put("/archive/312/20181130.sheet")
    site.put("/archive/312/notes.txt", b"no sheet")
    site.put("/archive/312/20181350.sheet", b"no date")
    site.put("/archive/readme.txt", b"no subject")
    assert site.names("/dispel") == ["count", "lines", "tiffstore", "window"]
    assert site.names("/dispel/tiffstore") == ["312", "313"]
    assert site.names("/dispel/tiffstore/312") == ["20181129", "20181130"]
    assert site.names("/dispel/tiffstore/312/20181129") == ["0", "1", "2"]
    assert all(entry.is_folder for entry in site.tree.scandir(ANONYMOUS, "/dispel/tiffstore/312"))


def test_the_mount_stands_in_its_own_folder(site: Site) -> None:
    assert "dispel" in site.names("/")
    assert site.tree.stat(ANONYMOUS, "/dispel").is_folder


def test_source_paths_can_be_walked(site: Site) -> None:
    assert site.names("/dispel/window") == ["~"]
    assert site.names("/dispel/window/~") == ["archive", "other"]
    assert site.names("/dispel/window/~/archive/312") == ["20181129.sheet"]
    assert site.names("/dispel/window/~/archive/312/20181129.sheet") == ["~"]
    assert site.names("/dispel/window/~/archive/312/20181129.sheet/~") == ["0", "1", "2"]


def test_every_name_that_is_listed_is_there(site: Site) -> None:
    waiting = ["/dispel"]
    seen = 0
    while waiting:
        folder = waiting.pop()
        for entry in site.tree.scandir(ANONYMOUS, folder):
            path = f"{folder}/{entry.name}"
            assert site.tree.stat(ANONYMOUS, path).is_folder == entry.is_folder, path
            seen += 1
            if entry.is_folder and seen < 300:
                waiting.append(path)
    assert seen > 30


def test_listing_computes_nothing_and_shows_what_was_made(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = "/dispel/count/~/archive/312/20181129.sheet"

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("something was computed")

    monkeypatch.setattr(site.maker, "make", fail)
    monkeypatch.setattr(site.maker.questions, "plan", fail)
    assert site.names(count) == []
    assert site.names("/dispel/tiffstore/312/20181129/1") == []
    monkeypatch.undo()
    assert site.get(f"{count}/~") == b"614\n"
    (entry,) = site.tree.scandir(ANONYMOUS, count)
    assert (entry.name, entry.size, entry.is_folder) == ("~", 4, False)
    assert site.tree.stat(ANONYMOUS, f"{count}/~").version == entry.version


@pytest.mark.parametrize(
    ("path", "source", "stored", "levels"),
    [
        (
            "{subject:id}/{date:date}/{layer:int}/{grid:grid}",
            "/archive/{subject}_{date}.sheet",
            ["/archive/a_b_20181129.sheet", "/archive/a_20181129.sheet", "/archive/a_x.sheet"],
            {"": ["a", "a_b"], "a": ["20181129"], "a_b": ["20181129"]},
        ),
        (
            "{date:date}/{subject:id}/{layer:int}/{grid:grid}",
            "/archive/{subject}/{date}/{subject}.sheet",
            ["/archive/a/20181129/a.sheet", "/archive/a/20181129/b.sheet"],
            {"": [], "20181129": ["a"], "20181129/a": ["0"]},
        ),
        (
            "scans/{subject:id}/{layer:int}/{grid:grid}",
            "/archive/fixed/{subject}.sheet",
            ["/archive/fixed/s1.sheet", "/archive/fixed/s2.sheet"],
            {"": ["scans"], "scans": ["s1", "s2"], "scans/s1": ["0"]},
        ),
    ],
)
def test_patterns_of_all_sorts_find_their_values(
    make_site: MakeSite, path: str, source: str, stored: list[str], levels: dict[str, list[str]]
) -> None:
    text = TemplateText(path=path, source=source, run=("sheet.window",))
    site = make_site(own=text)
    for place in stored:
        site.put(place, sheet(1, 4, 4))
    for level, names in levels.items():
        assert site.names(f"/dispel/own/{level}".rstrip("/")) == names


def test_a_value_that_no_name_in_the_store_has_is_not_there(make_site: MakeSite) -> None:
    text = TemplateText(
        path="{subject:id}/{date:date}/{layer:int}/{grid:grid}",
        source="/archive/{subject}_{date}.sheet",
        run=("sheet.window",),
    )
    site = make_site(own=text)
    site.put("/archive/a_20181129.sheet")
    assert site.tree.stat(ANONYMOUS, "/dispel/own/a").is_folder
    with pytest.raises(NotFound):
        site.tree.stat(ANONYMOUS, "/dispel/own/b")


def test_a_long_level_is_cut_into_parts(make_site: MakeSite) -> None:
    site = make_site()
    site.put("/archive/312/20181129.sheet", sheet(1201, 1, 1))
    folder = "/dispel/tiffstore/312/20181129"
    assert site.names(folder) == ["@0-500", "@500-1000", "@1000-1201"]
    assert site.names(f"{folder}/@1000-1201") == [str(layer) for layer in range(1000, 1201)]
    assert site.tree.stat(ANONYMOUS, f"{folder}/@1000-1201").is_folder
    inside = f"{folder}/@1000-1201/1200/full"
    assert site.get(inside) == site.get(f"{folder}/1200/full")
    with pytest.raises(Unmade) as caught:
        site.tree.stat(ANONYMOUS, f"{folder}/1201")
    assert isinstance(caught.value.cause, OutOfRange)
    assert caught.value.cause.limit == "0 to 1200"


def test_parts_of_any_length_hold_few_names() -> None:
    for count in (501, 1_000_000, 10**9):
        some, parts = cut(range(count), None)
        while parts:
            assert len(parts) <= NAMES_MAX
            match = re.fullmatch(r"@(\d+)-(\d+)", parts[-1])
            assert match is not None
            some, parts = cut(range(count), (int(match[1]), int(match[2])))
        assert some[-1] == count - 1
        assert len(some) <= NAMES_MAX


def test_layers_are_counted_as_the_template_says(make_site: MakeSite) -> None:
    text = TemplateText(
        path="{subject:id}/{layer:int}/{grid:grid}",
        source="/archive/{subject}.sheet",
        run=("sheet.window",),
        layer_base=1,
    )
    site = make_site(own=text)
    site.put("/archive/a.sheet")
    assert site.names("/dispel/own/a") == ["1", "2", "3"]
    first = site.get("/dispel/own/a/1/full")
    assert first == site.get("/dispel/window/~/archive/a.sheet/~/0/full")


def test_the_namespace_below_the_mount_is_no_source(site: Site) -> None:
    with pytest.raises(NotFound):
        site.tree.stat(ANONYMOUS, "/dispel/window/~/dispel")
    assert "dispel" not in site.names("/dispel/window/~")


def test_a_choice_is_listed_and_a_last_one_once_it_was_made(make_site: MakeSite) -> None:
    site = make_site(
        own=TemplateText(
            path="{subject:id}/{op:id}/{layer:int}/{grid:grid}",
            source="/archive/{subject}.sheet",
            run=("sheet.window",),
        ),
        last=TemplateText(
            path="{subject:id}/{layer:int}/{op:id}",
            source="/archive/{subject}.sheet",
            run=("sheet.window",),
        ),
    )
    site.put("/archive/a.sheet")
    assert site.names("/dispel/own/a") == ["plain", "inverted"]
    assert site.names("/dispel/last/a/1") == []
    site.get("/dispel/last/a/1/inverted.bin")
    assert site.names("/dispel/last/a/1") == ["inverted.bin"]
