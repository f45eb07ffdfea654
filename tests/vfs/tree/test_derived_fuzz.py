"""Whatever is asked of the processing mount, the answer is a file, a folder or a named refusal."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.errors import StorageError
from tests.vfs.tree.derived_site import Site
from vfs.auth.caller import ANONYMOUS
from vfs.errors import UNKNOWN, meaning
from vfs.tree.unmade import Unmade

SEGMENTS = [
    *("tiffstore", "window", "lines", "count", "~", "archive", "other", "312", "20181129"),
    *("20181129.sheet", "notes.txt", "0", "1", "12", "0-2", "0+2", "full", "0-4-0-4", "@0-500"),
    *("level=0", "op=inverted", "grid=full", "x=0-4,y=0-4", "full,op=inverted.bin", "~.txt"),
    *(".info.json", ".help.txt", "full.cost.json", "full.sha256", "~.prov.json", ".DS_Store"),
    *("0-4-0-4.raw", "full.gif", "=", ",", "a=b,c=d", "-1", "@5-1", "..x", "1e9", "~,first=0"),
]
segment = st.one_of(
    st.sampled_from(SEGMENTS),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
        lambda name: name not in (".", "..") and not name.startswith(".headgate-")
    ),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site that all examples share: they only read."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    site = Site(folder)
    site.put("/archive/312/20181129.sheet")
    site.put("/other/notes.txt", b"one\ntwo\n")
    return site


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(segments=st.lists(segment, max_size=9))
def test_any_path_is_answered(shared: Site, segments: list[str]) -> None:
    tree = shared.tree
    path = "/".join(("/dispel", *segments))
    try:
        entry = tree.stat(ANONYMOUS, path)
        if entry.is_folder:
            for member in tree.scandir(ANONYMOUS, path):
                assert "/" not in member.name
        else:
            assert len(shared.get(path)) == entry.size
    except StorageError as error:
        assert meaning(error) is not UNKNOWN, error
        assert meaning(error).status != 503, error
        if isinstance(error, Unmade):
            tree.stat(ANONYMOUS, error.example)


def test_the_workers_end(shared: Site) -> None:
    """Stands last: the site is closed here, since it is shared by all examples."""
    shared.close()
