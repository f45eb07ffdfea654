"""Folders and files of the tree, as processors read them."""

from pathlib import Path

import pytest

from processors.errors import SourceChanged, TooLarge
from providers.local import LocalProvider
from vfs.tree.derived_source import TreeFolder, open_file
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.steps import Steps


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    """A store with a folder, which holds a link to itself."""
    root = tmp_path / "root"
    for name in ("data/a.txt", "data/deep/b.txt", "data/deep/c.txt", "dispel/x.txt"):
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    (root / "data" / "deep" / "again").symlink_to("../../data")
    options = LocalProvider.options(root=root, symlinks="inside")
    return Steps(MountTable([Mount("/", [LocalProvider(options)])]))


def folder(steps: Steps, path: str = "/data", limit: int = 100) -> TreeFolder:
    """Look at a folder."""
    return TreeFolder(steps, path, limit=limit, without="/dispel")


def test_the_members_are_all_files_beneath_once_and_sorted(steps: Steps) -> None:
    found = folder(steps)
    paths = [member.path for member in found.members()]
    assert paths == sorted(paths)
    assert {"a.txt", "deep/b.txt", "deep/c.txt"} <= set(paths)
    assert len(paths) < 10
    for member in found.members():
        with found.open(member) as source:
            assert source.read_at(0, 100).decode().startswith("data/")
            assert source.version == member.version


def test_the_version_is_that_of_all_members(steps: Steps, tmp_path: Path) -> None:
    before = folder(steps).version
    assert folder(steps).version == before
    (tmp_path / "root" / "data" / "deep" / "c.txt").write_text("other")
    assert folder(steps).version != before


def test_a_member_that_changed_is_not_read_as_the_old_one(steps: Steps, tmp_path: Path) -> None:
    found = folder(steps)
    first = next(found.members())
    (tmp_path / "root" / "data" / "a.txt").write_text("longer than it was")
    with pytest.raises(SourceChanged), found.open(first):
        pass
    (tmp_path / "root" / "data" / "a.txt").unlink()
    with pytest.raises(SourceChanged), found.open(first):
        pass


def test_derived_files_are_no_members(steps: Steps) -> None:
    assert not any(member.path.startswith("dispel") for member in folder(steps, "/").members())


def test_a_folder_that_holds_too_much_is_refused(steps: Steps) -> None:
    with pytest.raises(TooLarge, match="too much"):
        folder(steps, limit=2)


def test_a_file_is_opened_in_the_version_that_was_seen(steps: Steps) -> None:
    with pytest.raises(SourceChanged), open_file(steps, "/data/a.txt", "another"):
        pass
    with open_file(steps, "/data/a.txt") as source:
        assert list(source.read_many([(0, 4), (5, 5)])) == [b"data", b"a.txt"]
