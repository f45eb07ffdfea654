"""What is released is what is in the tree, and it runs where the tree is not."""

import importlib.metadata
import os
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

FOUR = ("cache", "processors", "providers", "vfs")


def packages_on_disk(root: Path) -> set[str]:
    """Return every folder of the four that holds a Python file, as a package name."""
    files = (file for top in FOUR for file in (root / top).rglob("*.py"))
    return {".".join(file.parent.relative_to(root).parts) for file in files}


def test_every_package_stands_in_the_explicit_list(root: Path) -> None:
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert set(listed) == packages_on_disk(root)
    assert listed == sorted(listed)


def test_every_package_has_a_map_and_no_code_in_its_init(root: Path) -> None:
    for package in packages_on_disk(root):
        folder = root.joinpath(*package.split("."))
        assert (folder / "__init__.py").is_file(), f"{package} has no __init__.py"
        if package != "providers.testing":  # what plugin authors import, all by one name
            assert "import " not in (folder / "__init__.py").read_text(), package
    for top in FOUR:
        assert (root / top / "py.typed").is_file(), f"{top} has no py.typed"


def test_the_four_names_belong_to_headgate_alone() -> None:
    owners = importlib.metadata.packages_distributions()
    assert {name: set(owners[name]) for name in FOUR} == {key: {"headgate"} for key in FOUR}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("wheel")
class TestWheel:
    """The wheel, and an environment that has nothing but it."""

    def test_it_holds_just_the_packages(self, wheel: Path, root: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            inside = {n for n in archive.namelist() if ".dist-info/" not in n}
        files = (file for top in FOUR for file in (root / top).rglob("*") if file.is_file())
        expected = {str(f.relative_to(root)) for f in files if "__pycache__" not in f.parts}
        assert inside == expected

    def test_its_command_runs_without_the_source_tree(
        self, installed: Path, tmp_path: Path
    ) -> None:
        command = str(installed / "bin" / "headgate")
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        for argument, expected in (("--version", "0.1.0"), ("--help", "check-config")):
            done = subprocess.run(
                [command, argument],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "")
            assert expected in done.stdout

    def test_its_modules_come_from_the_environment(self, installed: Path, tmp_path: Path) -> None:
        names = ", ".join(FOUR)
        code = f"import {names}; print(*(m.__file__ for m in ({names})), sep='\\n')"
        done = subprocess.run(
            [str(installed / "bin" / "python"), "-c", code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        places = done.stdout.split()
        assert len(places) == len(FOUR)
        assert all(Path(place).is_relative_to(installed) for place in places)
