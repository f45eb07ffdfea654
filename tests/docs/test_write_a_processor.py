"""The processor that the documents build is one, and a gateway serves it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.wire import ask, members
from tests.servers import headgate

TABLE = b"a,b\n1,2\n3,4\n5,6\n"


@pytest.fixture
def plugin(root: Path, tmp_path: Path) -> Path:
    """The files of the page in a folder, as an installer would put them."""
    page = (root / "docs" / "contributing" / "write-a-processor.md").read_text()
    files = dict(re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    assert set(files) == {"rows.py", "test_rows.py", "pyproject.toml"}
    folder = tmp_path / "plugin"
    folder.mkdir()
    for name in ("rows.py", "test_rows.py"):
        (folder / name).write_text(files[name])
    entry = re.search(r'\[project\.entry-points\."(.+)"\]\nrows = "(.+)"', files["pyproject.toml"])
    assert entry is not None
    facts = folder / "headgate_rows-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: headgate-rows\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{entry[1]}]\nrows = {entry[2]}\n")
    return folder


def test_its_tests_pass(root: Path, plugin: Path) -> None:
    options = ["-q", "-W", "error", "--strict-markers", "-p", "no:cacheprovider", "--timeout=60"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_rows.py"],
        cwd=plugin,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(plugin)))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "2 passed" in done.stdout


def test_a_gateway_serves_it(root: Path, plugin: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "t.csv").write_bytes(TABLE)
    mounts = {"archive": {"provider": "local", "root": str(archive)}}
    environment = {"PYTHONPATH": os.pathsep.join((str(root), str(plugin)))}
    with headgate.launch(
        tmp_path, mounts=mounts, more="[processing]\n", environment=environment
    ) as daemon:
        target = daemon.target
        base = "dispel/rows/~/archive/t.csv/~"
        assert ask(target, "GET", f"{base}/0").body == TABLE
        down = ask(target, "GET", f"{base}/1,count=2,order=down.txt")
        assert down.body == b"5,6\n3,4\n"
        assert down.header("Content-Type").startswith("text/plain")
        assert b"first:" in ask(target, "GET", "dispel/rows/.help.txt").body
        assert "rows" in members(target, "dispel/")
        refused = ask(target, "GET", f"{base}/9", Accept="*/*")
        assert refused.status == 400
        assert f"example: /{base}/0\n" in refused.body.decode()
        assert ask(target, "GET", f"{base}/0,order=odd").status == 400
