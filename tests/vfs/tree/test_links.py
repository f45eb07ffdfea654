"""Links to folders: removing one takes the link alone, copying never goes round in circles."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.errors import Unsupported
from providers.local import LocalOptions, LocalProvider
from vfs.auth.caller import ANONYMOUS
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/precious").write_bytes(b"1")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone/link").symlink_to("../kept")
    (tmp_path / "gone/file").write_bytes(b"2")
    store = LocalProvider(LocalOptions(root=tmp_path, symlinks="inside"))
    yield Tree(MountTable([Mount("/m", [store])]))
    store.close()


def test_removing_a_folder_keeps_what_its_links_lead_to(tree: Tree, tmp_path: Path) -> None:
    assert tree.remove(ANONYMOUS, "/m/gone") == []
    assert not (tmp_path / "gone").exists()
    assert (tmp_path / "kept/precious").read_bytes() == b"1"


def test_removing_a_link_keeps_what_it_leads_to(tree: Tree, tmp_path: Path) -> None:
    assert tree.remove(ANONYMOUS, "/m/gone/link") == []
    assert not (tmp_path / "gone/link").is_symlink()
    assert (tmp_path / "kept/precious").read_bytes() == b"1"


def test_copying_reports_a_link_that_leads_back(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "kept/round").symlink_to("../kept")
    failures = tree.copy(ANONYMOUS, "/m/kept", "/m/copy").failures
    assert [(failure.path, type(failure.error)) for failure in failures] == [
        ("/m/copy/round", Unsupported)
    ]
    assert (tmp_path / "copy/precious").read_bytes() == b"1"
