"""The provider that the documents build is a provider."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(300)
def test_the_example_passes_the_suite(root: Path, tmp_path: Path) -> None:
    """The files of the page, as they stand there, pass the conformance suite."""
    page = (root / "docs" / "contributing" / "write-a-provider.md").read_text()
    files = dict(re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    assert set(files) == {"shelf.py", "test_shelf.py", "pyproject.toml"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    options = ["-q", "-W", "error", "--strict-markers", "-p", "no:cacheprovider", "--timeout=120"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-m", "not bench", "test_shelf.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(tmp_path)))},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 50


def test_the_example_is_found_by_its_entry_point(root: Path, tmp_path: Path) -> None:
    """Installed beside Headgate, the plugin's name leads to its class and its options."""
    page = (root / "docs" / "contributing" / "write-a-provider.md").read_text()
    files = dict(re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    (tmp_path / "shelf.py").write_text(files["shelf.py"])
    # What an installer makes of the entry points in its pyproject.toml.
    entry = re.search(r'\[project\.entry-points\."(.+)"\]\nshelf = "(.+)"', files["pyproject.toml"])
    assert entry is not None
    facts = tmp_path / "headgate_shelf-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: headgate-shelf\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{entry[1]}]\nshelf = {entry[2]}\n")
    code = (
        "from providers import registry; shelf = registry.find('shelf');"
        " print(shelf.__name__, *shelf.options.__struct_fields__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(tmp_path)))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["ShelfProvider", "database"], done.stderr
