"""The wheel, built as a release is: from a source archive, in an environment of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# What a clone holds, without what lies about in a folder that is worked in.
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
)


@pytest.fixture(scope="session")
def package_index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip without a package index; in CI there is one, so there a test that needs it fails."""
    folder = tmp_path_factory.mktemp("index")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    done = subprocess.run(
        [*command, "setuptools>=77"], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode != 0 and os.environ.get("CI") != "true":
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """Return a copy of the tree, as fresh as a clone."""
    return Path(shutil.copytree(root, tmp_path / "clone", ignore=NOT_SOURCE))


@pytest.fixture(scope="session")
def wheel(package_index: None, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel built from the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(root, folder / "source", ignore=NOT_SOURCE)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(folder / "source")],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
    )
    (built,) = folder.glob("headgate-*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty virtual environment into which only the wheel was installed."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    subprocess.run(
        [str(folder / "bin" / "pip"), "install", "-q", str(wheel)], check=True, timeout=600
    )
    return folder
