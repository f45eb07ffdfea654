"""The reference pages say what the code says."""

from pathlib import Path

import msgspec
import pytest

from processors.grammar.field_docs import docs_of
from providers import registry
from vfs import config, reference

PAGES = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", ["config.md", "cli.md", "capabilities.md", "errors.md"])
def test_the_page_does_not_lag(name: str) -> None:
    """`python -m vfs.reference docs/reference` writes the pages anew."""
    assert (PAGES / name).read_text() == reference.pages()[name]


@pytest.mark.parametrize("words", [[], ["--help"], ["--hlep"]])
def test_an_option_is_no_folder(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["reference", *words])
    with pytest.raises(SystemExit):
        reference.main()
    assert not list(tmp_path.iterdir())


def test_every_setting_is_documented() -> None:
    structs: list[type[msgspec.Struct]] = [
        config.ServerConfig,
        config.LogConfig,
        config.MountConfig,
        config.RuleConfig,
        *(registry.find(name).options for name in ("local", "memory")),
    ]
    for struct in structs:
        assert set(struct.__struct_fields__) <= set(docs_of(struct)), struct
