"""Processors come by the same door as everybody else's, and say under their name what is wrong."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processors import registry

PLUGIN = """
from processors.base import Processor, Source
from processors.function import processor
@processor(formats=("txt",))
def good(source: Source) -> bytes:
    return b""
class Bare(Processor):
    name = "bare"
    formats = ("txt",)
class Stranger:
    pass
"""

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Give a way to put a plugin's distribution on the path, as pip would."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(entry: str) -> None:
        info = tmp_path / "plug-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Plug\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[headgate.processors]\n{entry}\n")
        (tmp_path / "plug_processors.py").write_text(PLUGIN)
        registry.DOORS.forget()

    yield put
    sys.modules.pop("plug_processors", None)
    registry.DOORS.forget()
    registry.find.cache_clear()


def test_the_built_in_ones_are_there_and_keep_their_names() -> None:
    assert {"archive", "checksum", "tiff.window"} <= set(registry.names())
    for name in registry.names():
        assert registry.find(name).name == name


def test_nothing_is_imported_until_it_is_asked_for(root: Path) -> None:
    code = (
        "import sys; from processors import registry; registry.names();"
        "assert not {'numpy', 'processors.builtin.window'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


def test_a_decorated_function_is_found(install: Install) -> None:
    install("good = plug_processors:good")
    assert registry.find("good").formats == ("txt",)


@pytest.mark.parametrize(
    ("entry", "cause"),
    [
        ("other = plug_processors:good", "calls itself 'good'"),
        ("stranger = plug_processors:Stranger", "neither a subclass"),
        ("bare = plug_processors:Bare", "its 'params' is not a subclass"),
        ("gone = plug_processors:GONE", "fails to load"),
        ("x = plug_missing:x", "fails to load"),
    ],
)
def test_what_is_no_processor_is_refused_by_name(install: Install, entry: str, cause: str) -> None:
    install(entry)
    with pytest.raises(registry.RegistryError, match="the processor") as caught:
        registry.find(entry.partition(" ")[0])
    assert cause in str(caught.value)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(registry.RegistryError, match=r"did you mean 'tiff\.window'"):
        registry.find("tiff.windwo")
