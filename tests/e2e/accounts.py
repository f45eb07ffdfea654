"""Gateways with accounts, and the commands that change them."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import planted
from tests.servers import headgate
from tests.servers.daemon import REPOSITORY, Daemon
from tests.servers.target import Target
from vfs.auth.passwords import hash_password

ALL = '["list", "read", "create", "modify", "delete", "lock", "share"]'
RULES = f"""
[[rules]]
path = "/"
who = ["authenticated"]
rights = {ALL}
"""


def command(daemon: Daemon, *arguments: str | Path, given: str = "") -> str:
    """Run `headgate` on a gateway that runs; return what it prints, with no blank at the end."""
    return plain(*arguments, "--config", daemon.directory / "headgate.toml", given=given)


def plain(*arguments: str | Path, given: str = "") -> str:
    """Run `headgate`; return what it prints, with no blank at the end."""
    done = subprocess.run(
        [sys.executable, "-m", "vfs.cli", *map(str, arguments)],
        cwd=REPOSITORY,
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def add_user(daemon: Daemon, name: str, *options: str | Path) -> str:
    """Add a user and return the password."""
    password = planted.plant()
    command(daemon, "user", "add", name, *options, given=password)
    return password


def add_app_password(daemon: Daemon, name: str, label: str, *options: str) -> str:
    """Make an app password and return it."""
    return planted.add(
        command(daemon, "app-password", "add", name, label, *options).splitlines()[0]
    )


def as_user(target: Target, name: str, password: str) -> Target:
    """Return a target as somebody logs in to it."""
    return dataclasses.replace(target, user=name, password=password)


def launch(directory: Path, more: str = "", **options: Any) -> Daemon:
    """Start a gateway whose files are for whoever has a login; one user is there from the start."""
    directory.mkdir(exist_ok=True)
    operator = f'\n[users.operator]\npassword_hash = "{hash_password(planted.plant())}"\n'
    return headgate.launch(directory, more=RULES + operator + more, **options)
