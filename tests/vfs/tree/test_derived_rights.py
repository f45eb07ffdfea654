"""Whoever may not read a source gets nothing that is made from it, made already or not."""

import pytest

from providers.errors import Denied, NotFound, StorageError
from tests.vfs.tree.derived_site import MakeSite, Site, rule
from vfs.auth.caller import ANONYMOUS, Caller
from vfs.auth.right import Right
from vfs.tree.tree import Tree
from vfs.tree.unmade import Unmade

WINDOW = "/dispel/tiffstore/312/20181129/1/0-12-0-4"
ANN, BEN, EVE = Caller(name="ann"), Caller(name="ben"), Caller(name="eve")


@pytest.fixture
def guarded(make_site: MakeSite) -> Site:
    """Ann may read all, ben subject 313 and list 312, eve nothing but the processing mount."""
    site = make_site(
        rules=(
            rule("/", "user:ann"),
            rule("/dispel", "user:ben", Right.LIST, Right.READ, Right.DELETE),
            rule("/archive/313", "user:ben", Right.LIST, Right.READ),
            rule("/archive/314", "user:ben", Right.LIST),
            rule("/dispel", "user:eve", Right.LIST, Right.READ, Right.DELETE),
            rule("/other", "user:eve"),
            rule("/dispel", "anyone", Right.READ),
        )
    )
    for subject in ("312", "313", "314"):
        site.put(f"/archive/{subject}/20181129.sheet")
    return site


def refusal(tree: Tree, caller: Caller, path: str) -> tuple[type, str]:
    """Return how a caller is refused, by every way to read."""
    found: set[tuple[type, str]] = set()
    for ask in (
        tree.stat,
        tree.open,
        lambda who, where: tree.checksum(who, where, "sha256"),
        lambda who, where: tree.refresh(who, where, remake=True),
        tree.remove,
        lambda who, where: tree.copy(who, where, "/other/copy"),
    ):
        with pytest.raises(StorageError) as caught:
            ask(caller, path)
        if "'create'" not in caught.value.detail:
            found.add((type(caught.value), caught.value.detail))
    assert len(found) == 1, found
    return found.pop()


def test_the_right_on_the_source_is_asked_made_or_not(guarded: Site) -> None:
    hidden = refusal(guarded.tree, EVE, WINDOW)
    assert hidden[0] is NotFound
    assert guarded.get(WINDOW, ANN)
    assert refusal(guarded.tree, EVE, WINDOW) == hidden
    assert refusal(guarded.tree, BEN, WINDOW) == hidden


def test_absent_and_forbidden_read_the_same(guarded: Site) -> None:
    absent = refusal(guarded.tree, EVE, WINDOW.replace("312", "999"))
    assert absent == refusal(guarded.tree, EVE, WINDOW)
    with pytest.raises(NotFound) as caught:
        guarded.tree.stat(ANN, WINDOW.replace("312", "999"))
    assert (NotFound, caught.value.detail) == absent


def test_who_may_list_the_place_is_told_what_is_missing(guarded: Site) -> None:
    kind, detail = refusal(guarded.tree, BEN, WINDOW.replace("312", "314"))
    assert kind is Denied
    assert "'read'" in detail


def test_a_stranger_is_asked_to_log_in_whatever_is_there(guarded: Site) -> None:
    for path in (WINDOW, WINDOW.replace("312", "999")):
        with pytest.raises(Denied, match="without a login"):
            guarded.tree.open(ANONYMOUS, path)


def test_listings_show_only_what_comes_from_sources_in_sight(guarded: Site) -> None:
    assert guarded.names("/dispel/tiffstore", ANN) == ["312", "313", "314"]
    assert guarded.names("/dispel/tiffstore", BEN) == ["313", "314"]
    assert guarded.names("/dispel", BEN) == ["count", "lines", "tiffstore", "window"]
    assert guarded.names("/dispel", EVE) == ["count", "lines", "window"]
    assert guarded.names("/dispel/window/~", EVE) == ["other"]
    assert guarded.names("/dispel/window/~/archive", BEN) == ["313", "314"]
    for document in (".help.txt", ".info.json"):
        assert b"tiffstore" not in guarded.get(f"/dispel/{document}", EVE)
    assert _example(guarded.tree, EVE, "/dispel/tiffstor") == "/dispel/.help.txt"
    assert _example(guarded.tree, ANN, "/dispel/tiffstor") == "/dispel/tiffstore/.help.txt"
    with pytest.raises(NotFound):
        guarded.names("/dispel/tiffstore", EVE)
    with pytest.raises(NotFound):
        guarded.names("/dispel/window/~/archive", EVE)


@pytest.mark.parametrize("name", [".info.json", ".cost.json", ".sha256", ".prov.json"])
def test_documents_are_as_secret_as_the_source(guarded: Site, name: str) -> None:
    guarded.get(WINDOW, ANN)
    assert guarded.get(WINDOW + name, ANN)
    with pytest.raises(NotFound, match="not yours to read"):
        guarded.get(WINDOW + name, EVE)
    with pytest.raises(NotFound, match="not yours to read"):
        guarded.get("/dispel/tiffstore/312/20181129/.info.json", EVE)


def test_an_error_tells_nothing_of_a_source_out_of_sight(guarded: Site) -> None:
    """Layers that do not exist, and a file that is no sheet, are the reader's to know."""
    guarded.put("/archive/312/20190101.sheet", b"not a sheet")
    for path in (
        "/dispel/tiffstore/312/20181129/99/full",
        "/dispel/tiffstore/312/20181129/1/0-9999-0-4",
        "/dispel/tiffstore/312/20190101/1/full",
        "/dispel/window/~/archive/312/~/1/full",
    ):
        assert refusal(guarded.tree, EVE, path)[0] is NotFound


def test_purging_needs_the_right_to_delete_there(guarded: Site) -> None:
    path = WINDOW.replace("312", "313")
    guarded.get(path, BEN)
    assert guarded.tree.remove(BEN, path) == []
    with pytest.raises(Denied):
        guarded.tree.remove(Caller(name="zoe"), path)


def test_a_folder_above_the_mount_is_no_way_around(make_site: MakeSite) -> None:
    site = make_site(rules=(rule("/dispel", "user:ben"), rule("/other", "user:ben")))
    site.put("/archive/312/20181129.sheet")
    with pytest.raises(StorageError):
        site.tree.copy(BEN, "/dispel", "/other/all")
    with pytest.raises(StorageError):
        site.tree.copy(BEN, "/", "/other/all")


def test_an_example_is_only_what_the_caller_may_read(guarded: Site) -> None:
    """A repaired path is looked up for whoever may read it; else the help stands in."""
    wrong = "/dispel/tiffstore/{}/2018-11-29/1/0-12-0-4"
    examples = {
        (caller.name, subject): _example(guarded.tree, caller, wrong.format(subject))
        for caller in (ANN, BEN, EVE)
        for subject in ("312", "313", "999")
    }
    right = wrong.replace("-11-", "11").format
    assert examples["ann", "312"] == right("312")
    assert examples["ben", "313"] == right("313")
    assert examples["ann", "999"] == "/dispel/tiffstore/.help.txt"
    assert examples["ben", "312"] == examples["ben", "999"] == "/dispel/tiffstore/.help.txt"
    assert examples["eve", "312"] == examples["eve", "999"] == "/dispel/.help.txt"


def _example(tree: Tree, caller: Caller, path: str) -> str:
    with pytest.raises(Unmade) as caught:
        tree.open(caller, path)
    return caught.value.example
