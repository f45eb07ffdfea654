"""What is remembered of a result answers for no other source, and for nobody else."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cache.budget import Limits as Room
from cache.results import Results
from processors.values import Grid
from providers import waiting
from providers.base import Reader
from providers.errors import Denied, NotFound, StorageError
from providers.local import LocalOptions, LocalProvider
from providers.memory import MemoryOptions, MemoryProvider
from tests.processors.sheets import cut, sheet
from tests.vfs.tree.derived_site import SHEET, MakeSite, Site, rule
from vfs.auth.caller import ANONYMOUS, Caller
from vfs.auth.right import Right
from vfs.auth.rights import Rights
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree

SOURCE = "/archive/312/20181129.sheet"
WINDOW = "/dispel/tiffstore/312/20181129/1/0-12-0-4"
GRID = Grid(0, 12, 0, 4)
ANN, EVE = Caller(name="ann"), Caller(name="eve")


@contextmanager
def at_once() -> Iterator[None]:
    """Let this thread wait for nothing."""
    waiting.refuse()
    try:
        yield
    finally:
        waiting.allow()


def whole(reader: Reader) -> tuple[bytes, str, str]:
    """Return the bytes, the version, and whether they were there, and close the reader."""
    with reader:
        reader.prepare()
        data = reader.read_at(0, reader.entry.size)
        return data, reader.entry.version, reader.remarks["cache"]


def read(site: Site, path: str = WINDOW, caller: Caller = ANONYMOUS) -> tuple[bytes, str, str]:
    """Return what a caller gets."""
    return whole(site.tree.open(caller, path))


def warm(site: Site, caller: Caller = ANONYMOUS) -> tuple[bytes, str, str]:
    """Have a result made, found, and remembered."""
    read(site, caller=caller)
    read(site, caller=caller)
    found = read(site, caller=caller)
    assert found[2] == "hit"
    return found


def test_each_change_of_the_source_shows_in_the_very_next_answer(site: Site) -> None:
    """Also back to what it was, and of the same size."""
    versions = set()
    for turn in range(12):
        data = SHEET[:-600] + bytes([turn % 3]) * 600
        site.put(SOURCE, data)
        found = [read(site) for _ in range(3)]
        assert {got for got, _, _ in found} == {cut(data, 1, GRID)}
        versions |= {version for _, version, _ in found}
    assert len(versions) == 12


def test_a_file_that_is_written_in_place_with_its_old_time_is_another(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site = make_site()
    (tmp_path / "files" / "312").mkdir(parents=True)
    file = tmp_path / "files" / "312" / "20181129.sheet"
    file.write_bytes(SHEET)
    store = LocalProvider(LocalOptions(root=tmp_path / "files"))
    site.provider._steps.table.mounts["/archive"].primary.provider = store
    before = warm(site)
    times = file.stat()
    changed = SHEET[:-600] + bytes(600)
    with file.open("r+b") as opened:
        opened.write(changed)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = read(site)
    assert after[0] == cut(changed, 1, GRID) != before[0]
    assert after[1] != before[1]
    store.close()


@pytest.mark.parametrize("becomes", ["nothing", "a folder", "no sheet"])
def test_a_source_that_is_gone_leaves_no_result(site: Site, becomes: str) -> None:
    warm(site)
    if becomes == "no sheet":
        site.put(SOURCE, b"something else")
    else:
        site.admin.remove(ANONYMOUS, SOURCE)
    if becomes == "a folder":
        site.admin.mkdir(ANONYMOUS, SOURCE)
    for ask in (lambda: read(site), lambda: site.tree.stat(ANONYMOUS, WINDOW)):
        with pytest.raises(StorageError) as caught:
            ask()
        assert isinstance(caught.value, NotFound) is (becomes == "nothing")


@pytest.mark.parametrize("lost", ["the source", "the result"])
def test_a_right_that_is_taken_away_counts_in_the_very_next_answer(
    make_site: MakeSite, lost: str
) -> None:
    site = make_site(rules=(rule("/", "user:ann"),))
    site.put(SOURCE)
    warm(site, ANN)
    left = "/dispel" if lost == "the source" else "/archive"
    site.tree.regulate(Rights((rule(left, "user:ann", Right.READ),)))
    for ask in (lambda: read(site, caller=ANN), lambda: site.tree.stat(ANN, WINDOW)):
        with pytest.raises((Denied, NotFound)):
            ask()


def test_what_one_may_read_no_other_gets_by_it(make_site: MakeSite) -> None:
    site = make_site(rules=(rule("/", "user:ann"), rule("/dispel", "user:eve", Right.READ)))
    site.put(SOURCE)
    warm(site, ANN)
    with pytest.raises(NotFound):
        read(site, caller=EVE)
    with pytest.raises(Denied):
        read(site)


def test_what_another_process_purged_is_made_again(site: Site) -> None:
    data, version, _ = warm(site)
    other = Results(site.results._folder, Room(free_bytes=0))
    assert other.purge(version)
    assert read(site) == (data, version, "miss")
    assert read(site) == (data, version, "hit")
    other.close()


def test_what_another_process_made_anew_is_what_is_told_of(site: Site) -> None:
    warm(site)
    with site.tree.open(ANONYMOUS, WINDOW) as reader:
        before = reader.remarks["provenance"]
    site.tree.refresh(ANONYMOUS, WINDOW, remake=True)
    with site.tree.open(ANONYMOUS, WINDOW) as reader:
        assert reader.remarks["provenance"] != before
        assert reader.remarks["cache"] == "hit"


def test_a_hit_is_opened_without_waiting_and_all_else_is_not(site: Site) -> None:
    found = warm(site)
    with at_once():
        assert read(site) == found
        with site.tree.open(ANONYMOUS, WINDOW) as reader:
            assert reader.read_now(0, 48) in (found[0], None)
    for other in (WINDOW.replace("/1/", "/2/"), WINDOW + ".cost.json", WINDOW + ".info.json"):
        with at_once(), pytest.raises(waiting.WouldWait):
            read(site, other)
    site.put(SOURCE, sheet(4, 20, 10))
    with at_once(), pytest.raises(waiting.WouldWait):
        read(site)
    for change in (
        lambda: site.tree.remove(ANONYMOUS, WINDOW),
        lambda: site.tree.refresh(ANONYMOUS, WINDOW, remake=True),
        lambda: site.tree.checksum(ANONYMOUS, WINDOW, "sha256"),
    ):
        with at_once(), pytest.raises(waiting.WouldWait):
            change()


def test_it_is_prompt_only_once_it_is_known_and_where_its_source_is(site: Site) -> None:
    assert site.tree.table.prompt_mount(WINDOW) is None
    read(site)
    assert site.tree.table.prompt_mount(WINDOW) is None
    read(site)
    assert site.tree.table.prompt_mount(WINDOW) == "/dispel"
    assert site.tree.table.prompt_mount(WINDOW + ".cost.json") is None
    assert site.tree.table.prompt_mount("/dispel/tiffstore") is None

    class Far(MemoryProvider):
        prompt = False

    far = [Mount(path, [Far(MemoryOptions())]) for path in ("/archive", "/other")]
    tree = Tree(MountTable([*far, site.tree.table.mounts["/dispel"]]))
    assert tree.table.prompt_mount(WINDOW) is None


def test_many_paths_are_remembered_within_bounds(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfs.tree.derived_hits._KNOWN_MAX", 5)
    for turn in range(30):
        path = WINDOW.replace("0-12", f"{turn % 10}-12")
        for _ in range(2):
            assert read(site, path)[0] == cut(SHEET, 1, Grid(turn % 10, 12, 0, 4))
        assert len(site.provider._results.hits._known) <= 5
