"""Encoders: an upgrade of what makes the bytes gives results other names."""

import importlib.metadata
from collections.abc import Iterator

import pytest

from processors.builtin.window import WindowParams
from processors.grammar.derivation import Derivation, Step
from processors.image.encoders import encoders


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    encoders.cache_clear()
    yield
    encoders.cache_clear()


def key() -> str:
    encoders.cache_clear()
    steps = (Step("tiff.window", 2, WindowParams(format="png")),)
    return Derivation("t", "d", "t/a/0.png", "/a.tif", "v", steps).key


@pytest.mark.parametrize("library", ["imagecodecs", "isal", "matplotlib", "numpy", "pillow"])
def test_another_version_of_a_library_is_another_key(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key()
    assert key() == before
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: version(name) + ".1" if name == library else version(name),
    )
    assert key() != before


def test_a_library_that_is_missing_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    version = importlib.metadata.version

    def missing(name: str) -> str:
        if name == "isal":
            raise importlib.metadata.PackageNotFoundError
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert key() != before


def test_deflate_of_this_machine_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    isal_zlib = pytest.importorskip("isal.isal_zlib")
    before = key()
    compress = isal_zlib.compress
    monkeypatch.setattr(isal_zlib, "compress", lambda data, level: compress(data, level) + b"x")
    assert key() != before
