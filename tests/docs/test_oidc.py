"""The configurations that the page about OpenID Connect shows are taken as they stand."""

import re
from pathlib import Path

from vfs import config


def test_each_configuration_is_taken(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "howto" / "oidc.md").read_text()
    blocks = re.findall(r"^```toml file=(\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for folder in ("wlcg", "data"):
        (tmp_path / folder).mkdir()
    for name, text in blocks:
        file = tmp_path / name
        file.write_text(text)
        assert config.load(file).oidc, name
