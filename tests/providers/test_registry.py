import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cache.doors import extra_with
from providers import registry
from providers.base import Provider

ROOT = Path(__file__).parents[2]

Install = Callable[..., None]

PLUGIN = """
from providers.base import Options, Provider
class Store(Provider):
    name = "shelf"
    options = Options
class Bare(Provider):
    name = "bare"
class Stranger:
    pass
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Give a way to put a plugin's distribution on the path, as pip would."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(*entries: str, requires: str = "", modules: dict[str, str] | None = None) -> None:
        info = tmp_path / "shelf-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: Shelf\nVersion: 1.0\n{requires}"
        )
        (info / "entry_points.txt").write_text("[headgate.providers]\n" + "\n".join(entries) + "\n")
        for name, text in (modules or {}).items():
            (tmp_path / f"{name}.py").write_text(text)
        registry.DOORS.forget()

    yield install
    for name in ("shelf_plugin", "shelf_broken"):
        sys.modules.pop(name, None)
    registry.DOORS.forget()


def test_built_in_stores_come_by_the_common_door() -> None:
    assert {"local", "memory"} <= set(registry.names())
    assert registry.find("memory").name == "memory"


def test_nothing_is_imported_until_it_is_asked_for() -> None:
    code = (
        "import sys; from providers import registry; registry.names();"
        "assert not {'providers.local', 'providers.memory'} & set(sys.modules);"
        "registry.find('memory'); assert 'providers.local' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
    )


def test_an_unknown_name_is_answered_with_the_nearest_and_the_list() -> None:
    with pytest.raises(registry.RegistryError) as caught:
        registry.find("Memroy")
    assert "'Memroy'; did you mean 'memory'? known are: local, memory" in str(caught.value)


def test_a_plugin_is_found(install: Install) -> None:
    install("shelf = shelf_plugin:Store", modules={"shelf_plugin": PLUGIN})
    assert issubclass(registry.find("shelf"), Provider)


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("shelf_plugin:Stranger", "shelf_plugin:Stranger is not a subclass of providers.base"),
        ("shelf_plugin:PLAIN", "fails to load"),
        ("shelf_plugin:Bare", "its 'options' is not a subclass"),
        ("shelf_missing:Store", "fails to load"),
    ],
)
def test_what_is_no_provider_is_refused_by_name(install: Install, target: str, cause: str) -> None:
    install(f"shelf = {target}", modules={"shelf_plugin": PLUGIN})
    with pytest.raises(registry.RegistryError) as caught:
        registry.find("shelf")
    assert str(caught.value).startswith("the provider 'shelf' of Shelf ")
    assert cause in str(caught.value)


@pytest.mark.parametrize(
    ("module", "requires", "entry"),
    [
        (
            "import far_away.thing",
            'Requires-Dist: far-away>=2,<3; extra == "sky"\nProvides-Extra: sky\n',
            "shelf = shelf_broken:Store",
        ),
        (
            "import far_away",
            'Requires-Dist: Far.Away[x] (>=2) ; python_version >= "3.9" and extra == "sky"\n',
            "shelf = shelf_broken:Store",
        ),
        ("import far_away", "Provides-Extra: sky\n", "shelf = shelf_broken:Store [sky]"),
    ],
)
def test_a_missing_package_is_answered_with_the_install_line(
    install: Install, module: str, requires: str, entry: str
) -> None:
    """The extra comes from the distribution's own metadata, or from its entry point."""
    install(entry, requires=requires, modules={"shelf_broken": module})
    with pytest.raises(registry.RegistryError) as caught:
        registry.find("shelf")
    assert "needs the package 'far_away'" in str(caught.value)
    assert str(caught.value).endswith("pip install 'Shelf[sky]'")


def test_a_missing_package_without_an_extra_is_told_with_its_own_words(install: Install) -> None:
    text = "raise ImportError('apt install python3-far', name='far_away')"
    install("shelf = shelf_broken:Store", modules={"shelf_broken": text})
    with pytest.raises(registry.RegistryError, match="'far_away': apt install python3-far"):
        registry.find("shelf")


def test_an_import_that_fails_otherwise_is_told_under_the_providers_name(install: Install) -> None:
    install("shelf = shelf_broken:Store", modules={"shelf_broken": "1 / 0"})
    with pytest.raises(registry.RegistryError, match="'shelf' of Shelf fails to load: division"):
        registry.find("shelf")


def test_a_plugin_cannot_take_the_place_of_another_store(install: Install) -> None:
    install("memory = shelf_plugin:Store", modules={"shelf_plugin": PLUGIN})
    with pytest.raises(registry.RegistryError, match=r"two packages .* 'memory': Shelf and headg"):
        registry.find("memory")


def test_a_store_that_cannot_be_made_is_told_with_its_name(install: Install) -> None:
    install("shelf = shelf_plugin:Store", modules={"shelf_plugin": PLUGIN})
    with pytest.raises(registry.RegistryError, match=r"'shelf' cannot be made: Store.. takes no"):
        registry.make("shelf", registry.find("shelf").options())


@pytest.mark.parametrize(("package", "extra"), [("boto3", "s3"), ("pyfuse3", "fuse")])
def test_our_own_extras_are_found_in_our_own_metadata(package: str, extra: str) -> None:
    (door,) = registry.DOORS.found()["local"]
    assert extra_with(door, package) == extra
