"""Derived files in the tree: their bytes, their entries, their documents, and who may not write."""

import hashlib
from typing import Any

import msgspec
import pytest

from processors.errors import BadValue, Malformed, OutOfRange, ProcessingError, UnknownName
from processors.values import Grid
from providers.errors import (
    AlreadyExists,
    Changed,
    Denied,
    IsADirectory,
    NotADirectory,
    NotFound,
    ReadOnly,
    StorageError,
)
from tests.processors.sheets import cut, sheet
from tests.vfs.tree.derived_site import SHEET, MakeSite, Site
from vfs.auth.caller import ANONYMOUS, Caller
from vfs.errors import PROCESSING_TABLE, meaning
from vfs.tree.unmade import Unmade

WINDOW = "/dispel/tiffstore/312/20181129/1/0-12-0-4"
BYTES = cut(SHEET, 1, Grid(0, 12, 0, 4))


def remarks(site: Site, path: str) -> dict[str, str]:
    """Read a file and return what is remarked of it."""
    with site.tree.open(ANONYMOUS, path) as reader:
        reader.prepare()
        return dict(reader.remarks)


def test_the_bytes_are_those_of_the_window(site: Site) -> None:
    assert site.get(WINDOW) == BYTES
    assert site.get("/dispel/tiffstore/312/20181129/1/full") == cut(SHEET, 1, Grid(0, 20, 0, 10))
    assert site.get("/dispel/window/~/archive/312/20181129.sheet/~/1/0-12-0-4") == BYTES
    assert site.get(f"{WINDOW},op=inverted") == bytes(255 - value for value in BYTES)


def test_size_and_version_are_known_before_anything_is_made(site: Site) -> None:
    before = site.tree.stat(ANONYMOUS, WINDOW)
    assert (before.size, before.is_folder, before.name) == (48, False, "0-12-0-4")
    assert remarks(site, WINDOW)["cache"] == "miss"
    assert site.tree.stat(ANONYMOUS, WINDOW) == before
    assert remarks(site, WINDOW)["cache"] == "hit"


def test_opening_makes_nothing_until_a_byte_is_wanted(site: Site) -> None:
    site.tree.open(ANONYMOUS, WINDOW).close()
    with pytest.raises(NotFound, match="not been made"):
        site.get(f"{WINDOW}.prov.json")
    assert site.get(WINDOW) == BYTES
    told = msgspec.json.decode(site.get(f"{WINDOW}.prov.json"))
    assert told["sha256"] == hashlib.sha256(BYTES).hexdigest()
    assert told["source"] == "/archive/312/20181129.sheet"


def test_what_has_no_size_before_it_is_made_is_made_for_it(site: Site) -> None:
    site.put("/other/notes.txt", b"one\ntwo\nthree\n")
    entry = site.tree.stat(ANONYMOUS, "/dispel/lines/~/other/notes.txt/~/1")
    assert (entry.size, entry.media_type) == (9, "text/plain")
    assert site.get("/dispel/lines/~/other/notes.txt/~/1") == b"two\nthree"


def test_other_bytes_of_the_source_are_another_version_at_once(site: Site) -> None:
    old = site.tree.stat(ANONYMOUS, WINDOW)
    assert site.get(WINDOW) == BYTES
    changed = SHEET[:-600] + bytes(600)
    site.put("/archive/312/20181129.sheet", changed)
    assert site.tree.stat(ANONYMOUS, WINDOW).version != old.version
    assert site.get(WINDOW) == cut(changed, 1, Grid(0, 12, 0, 4)) != BYTES


def test_a_reader_never_gives_another_version_than_it_announced(site: Site) -> None:
    reader = site.tree.open(ANONYMOUS, WINDOW)
    site.put("/archive/312/20181129.sheet", sheet(4, 20, 10))
    with reader, pytest.raises(Changed):
        reader.prepare()


def test_every_way_to_write_a_path_is_one_result(site: Site) -> None:
    assert remarks(site, WINDOW)["cache"] == "miss"
    other = "/dispel/tiffstore/312/20181129/grid=0-12-0-4,layer=1,level=0.raw"
    told = remarks(site, other)
    assert told["cache"] == "hit"
    assert told["canonical"] == WINDOW
    assert told["provenance"]
    assert site.tree.stat(ANONYMOUS, other).name == "grid=0-12-0-4,layer=1,level=0.raw"


def test_forgetting_a_result_forgets_just_that_one(site: Site) -> None:
    other = WINDOW.replace("/1/", "/2/")
    for path in (WINDOW, other):
        site.get(path)
    assert site.tree.remove(ANONYMOUS, WINDOW) == []
    assert remarks(site, WINDOW)["cache"] == "miss"
    assert remarks(site, other)["cache"] == "hit"


def test_forgetting_a_level_forgets_all_below(site: Site) -> None:
    paths = [WINDOW, WINDOW.replace("/1/", "/2/")]
    kept = "/dispel/tiffstore/313/20190101/1/0-12-0-4"
    for path in (*paths, kept):
        site.get(path)
    site.tree.remove(ANONYMOUS, "/dispel/tiffstore/312")
    assert [remarks(site, path)["cache"] for path in (*paths, kept)] == ["miss", "miss", "hit"]
    site.tree.remove(ANONYMOUS, "/dispel")
    assert remarks(site, kept)["cache"] == "miss"


def test_a_result_is_made_once_more_on_request(site: Site) -> None:
    first = remarks(site, WINDOW)["provenance"]
    site.tree.refresh(ANONYMOUS, WINDOW)
    assert remarks(site, WINDOW)["provenance"] == first
    site.tree.refresh(ANONYMOUS, WINDOW, remake=True)
    told = remarks(site, WINDOW)
    assert told["cache"] == "hit"
    assert told["provenance"] != first


def test_an_evicted_result_is_made_again_while_it_is_opened(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = site.maker.open
    evicted = iter((True, True))

    def evicting(result: Any) -> Any:
        if next(evicted, False):
            site.results.purge(result.key)
        return opened(result)

    monkeypatch.setattr(site.maker, "open", evicting)
    assert site.get(WINDOW) == BYTES
    assert next(evicted, None) is None


def test_the_store_gives_the_digest_of_a_result(site: Site) -> None:
    digest = site.tree.checksum(ANONYMOUS, WINDOW, "sha256")
    assert digest == hashlib.sha256(BYTES).digest()
    assert site.tree.checksum(ANONYMOUS, WINDOW, "md5") is None
    text = f"{hashlib.sha256(BYTES).hexdigest()}  0-12-0-4\n"
    assert site.get(f"{WINDOW}.sha256").decode() == text


def test_the_dry_run_tells_the_cost_and_makes_nothing(site: Site) -> None:
    told = msgspec.json.decode(site.get(f"{WINDOW}.cost.json"))
    assert told["output_bytes"] == told["bytes_read"] == 48
    assert not told["cached"]
    assert told["source"]["path"] == "/archive/312/20181129.sheet"
    assert remarks(site, WINDOW)["cache"] == "miss"
    assert msgspec.json.decode(site.get(f"{WINDOW}.cost.json"))["cached"]
    refused = msgspec.json.decode(site.get("/dispel/tiffstore/312/20181129/9/full.cost.json"))
    assert refused["limit"] == "0 to 2"


def test_information_stands_in_every_folder_and_beside_every_result(site: Site) -> None:
    level = msgspec.json.decode(site.get("/dispel/tiffstore/312/20181129/.info.json"))
    assert level["content"] == {"layers": 3, "width": 20, "height": 10}
    assert level["formats"] == ["raw", "bin"]
    assert level["limits"]["members"] == 50
    assert "x0-x1-y0-y1" in level["conventions"]["grid"]
    assert [value["name"] for value in level["values"]] == ["subject", "date", "layer", "grid"]
    above = msgspec.json.decode(site.get("/dispel/tiffstore/312/.info.json"))
    assert "content" not in above
    beside = msgspec.json.decode(site.get(f"{WINDOW}.info.json"))
    assert beside["content"] == level["content"]
    assert msgspec.json.decode(site.get("/dispel/.info.json"))["limits"]["members"] == 50
    for folder in ("/dispel", "/dispel/tiffstore", "/dispel/window/~/archive"):
        assert b".cost.json" in site.get(f"{folder}/.help.txt")


def test_every_document_has_the_size_and_version_it_says(site: Site) -> None:
    site.get(WINDOW)
    for name in (".info.json", ".help.txt", ".cost.json", ".prov.json", ".sha256"):
        path = WINDOW + name
        entry = site.tree.stat(ANONYMOUS, path)
        assert len(site.get(path)) == entry.size
        assert entry.version == site.tree.stat(ANONYMOUS, path).version


@pytest.mark.parametrize("name", [".DS_Store", "._x", "Thumbs.db", "desktop.ini"])
def test_what_file_managers_look_for_is_not_there_and_costs_nothing(
    site: Site, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a store was asked")

    for store in site.stores.values():
        monkeypatch.setattr(store, "stat", fail)
        monkeypatch.setattr(store, "scandir", fail)
    for folder in ("/dispel", "/dispel/tiffstore/312/20181129", "/dispel/window/~/archive"):
        with pytest.raises(NotFound):
            site.tree.stat(ANONYMOUS, f"{folder}/{name}")


@pytest.mark.parametrize(
    ("path", "cause", "status"),
    [
        ("/dispel/tiffstor", UnknownName, 404),
        ("/dispel/tiffstore/312/2018-11-29/1/full", BadValue, 400),
        ("/dispel/tiffstore/312/20181129/1/full.gif", BadValue, 400),
        ("/dispel/tiffstore/312/20181129/1/full/1", BadValue, 400),
        ("/dispel/tiffstore/312/20181129/7", OutOfRange, 400),
        ("/dispel/tiffstore/312/20181129/7/full", OutOfRange, 400),
        ("/dispel/tiffstore/312/20181129/1/0-99-0-4", OutOfRange, 400),
        ("/dispel/window/~/other/notes.txt/~/0/full", Malformed, 422),
        ("/dispel/window/~/archive/312/~/0/full", BadValue, 400),
        ("/dispel/window/~/dispel/tiffstore/~/0/full", BadValue, 400),
        ("/dispel/tiffstore/" + "x" * 3000, BadValue, 400),
    ],
)
def test_what_is_wrong_is_refused_with_an_example_that_works(
    site: Site, path: str, cause: type[ProcessingError], status: int
) -> None:
    site.put("/other/notes.txt", b"one\n")

    def make(caller: Caller, path: str) -> None:
        with site.tree.open(caller, path) as reader:
            reader.prepare()

    def look(caller: Caller, path: str) -> None:
        with site.tree.open(caller, path) as reader:
            assert reader.entry.is_folder  # not reached

    for ask in (site.tree.stat, make, look):
        with pytest.raises(Unmade) as caught:
            ask(ANONYMOUS, path)
        assert type(caught.value.cause) is cause
        assert meaning(caught.value).status == status
        example = caught.value.example
        assert example.startswith("/dispel/")
        entry = site.tree.stat(ANONYMOUS, example)
        assert entry.is_folder or site.get(example)


@pytest.mark.parametrize(
    "path",
    [
        "/dispel/tiffstore/999",
        "/dispel/tiffstore/312/20200101",
        "/dispel/tiffstore/312/20200101/1/full",
        "/dispel/window/~/nowhere/x.sheet/~/1/full",
        "/dispel/window/~/nowhere",
    ],
)
def test_what_has_no_source_is_not_there(site: Site, path: str) -> None:
    for ask in (site.tree.stat, site.tree.open):
        with pytest.raises(NotFound, match="does not exist, or is not yours"):
            ask(ANONYMOUS, path)


def test_a_folder_is_no_file_and_a_file_no_folder(site: Site) -> None:
    for path in ("/dispel", "/dispel/tiffstore", "/dispel/tiffstore/312/20181129/1"):
        assert site.tree.stat(ANONYMOUS, path).is_folder
        with pytest.raises(IsADirectory):
            site.tree.open(ANONYMOUS, path)
    with pytest.raises(NotADirectory):
        site.tree.scandir(ANONYMOUS, WINDOW)


def test_nothing_can_be_written(site: Site) -> None:
    tree = site.tree
    for change in (
        lambda: tree.create(ANONYMOUS, WINDOW),
        lambda: tree.create(ANONYMOUS, "/dispel/nowhere/x"),
        lambda: tree.target(ANONYMOUS, "/dispel/nowhere/x"),
        lambda: tree.modify(ANONYMOUS, WINDOW),
        lambda: tree.set_mtime(ANONYMOUS, WINDOW, 1),
        lambda: tree.mkdir(ANONYMOUS, "/dispel/tiffstore/new"),
        lambda: tree.rename(ANONYMOUS, WINDOW, "/other/x"),
        lambda: tree.copy(ANONYMOUS, "/archive/312/20181129.sheet", WINDOW),
    ):
        with pytest.raises(ReadOnly, match="computed when they are read"):
            change()
    with pytest.raises((Denied, AlreadyExists)):
        tree.mkdir(ANONYMOUS, "/dispel")


def test_a_derived_file_can_be_copied_into_a_store(site: Site) -> None:
    site.tree.copy(ANONYMOUS, WINDOW, "/other/window.raw")
    assert site.get("/other/window.raw") == BYTES
    with pytest.raises(Denied, match="one by one"):
        site.tree.copy(ANONYMOUS, "/dispel/tiffstore/312", "/other/all")


def test_every_error_of_processing_has_its_row() -> None:
    assert set(PROCESSING_TABLE) == set(ProcessingError.__subclasses__())
    for leaf in ProcessingError.__subclasses__():
        error = Unmade("/x", leaf("why"), mount="/dispel")
        assert isinstance(error, StorageError)
        assert 400 <= meaning(error).status < 600
        assert meaning(error).status != 500


def test_who_asked_is_recorded(make_site: MakeSite) -> None:
    site = make_site()
    site.put("/archive/312/20181129.sheet")
    assert site.get(WINDOW, Caller(name="ann")) == BYTES
    assert msgspec.json.decode(site.get(f"{WINDOW}.prov.json"))["who"] == "ann"
