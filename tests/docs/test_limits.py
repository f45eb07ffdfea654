"""The page of limits tells the truth, and all of it."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import cache
import vfs.auth
import vfs.dav
import vfs.http
import vfs.state

UNITS = {"": 1, "bytes": 1, "bytes a second": 1, "KiB": 1024, "MiB": 1024**2, "s": 1}
LIMIT = re.compile(r"(?:^|_)(?:MAX|LIMIT)(?:_|$)|^[A-Z_]+_SECONDS$|^FRAMING_|_PER_")
# A limit on what is told or kept, not on what a client may do.
EXEMPT = {
    "vfs.auth.authenticator.LOOK_SECONDS",
    "vfs.dav.granted.KNOWN_MAX",
    "vfs.dav.sweeper.INTERVAL_SECONDS",
    "vfs.http.connection.LINGER_SECONDS",
    "vfs.http.loop.EXPIRE_SECONDS",
    "vfs.http.promptness.KINDS_MAX",
    "vfs.http.promptness.REST_SECONDS",
    "vfs.http.promptness.SLOW_SECONDS",
    "vfs.http.splice.LARGE_PIPES_MAX",
    "vfs.state.connections.WAIT_SECONDS",
    "vfs.state.limits.CONFLICTS_MAX",
}


def rows(root: Path) -> dict[str, float]:
    """Return the number of each constant, as the page has it."""
    page = (root / "docs" / "howto" / "limits.md").read_text()
    found = re.findall(r"^\|.*?\| ([\d,.]+) ?([\w ]*?) \|.*\| `([\w.]+)` \|$", page, re.MULTILINE)
    return {name: float(number.replace(",", "")) * UNITS[unit] for number, unit, name in found}


def constants() -> Iterator[str]:
    """Yield the public constants that limit something."""
    for package in (cache, vfs.auth, vfs.http, vfs.dav, vfs.state):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            text = Path(importlib.import_module(module.name).__file__ or "").read_text()
            names = re.findall(r"^([A-Z][A-Z_]+)(?:: \w+)? = ", text, re.MULTILINE)
            yield from (f"{module.name}.{name}" for name in names if LIMIT.search(name))


def test_every_number_is_the_program_s(root: Path) -> None:
    found = rows(root)
    assert len(found) > 30
    for name, number in found.items():
        module, _, constant = name.rpartition(".")
        assert getattr(importlib.import_module(module), constant) == number, name


def test_every_row_was_read(root: Path) -> None:
    page = (root / "docs" / "howto" / "limits.md").read_text()
    named = re.findall(r"`((?:vfs|cache|providers)\.[\w.]+)` \|", page)
    assert set(named) == set(rows(root))


@pytest.mark.parametrize("name", sorted(constants()))
def test_every_limit_is_told(name: str, root: Path) -> None:
    assert name in EXEMPT or name in rows(root)
