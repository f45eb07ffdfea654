"""Every store is tried, whatever the others do."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers import registry
from vfs import check, config

PLUGIN = """
import time
from providers.base import Capabilities, Options, Provider
from providers.errors import Unavailable
class PlugOptions(Options, frozen=True):
    how: str
class Plug(Provider):
    name = "plug"
    options = PlugOptions
    capabilities = Capabilities()
    def __init__(self, options):
        self.how = options.how
    def stat(self, path): raise NotImplementedError
    def scandir(self, path): raise NotImplementedError
    def open(self, path): raise NotImplementedError
    def close(self): pass
    def health(self):
        match self.how:
            case "hangs": time.sleep(3600)
            case "breaks": raise ZeroDivisionError("a plugin's\\nown mistake")
            case "down": raise Unavailable(detail="port 22 refuses")
"""


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[config.Config]:
    """Mount one store of each kind of trouble, and one that is well."""
    (tmp_path / "plug_plugin.py").write_text(PLUGIN)
    info = tmp_path / "plug-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[headgate.providers]\nplug = plug_plugin:Plug\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry.DOORS.forget()
    path = tmp_path / "headgate.toml"
    path.write_text(
        "".join(
            f'[mounts."/{how}"]\nprovider = "plug"\nhow = "{how}"\n'
            for how in ("hangs", "breaks", "down", "well")
        )
    )
    yield config.load(path)
    sys.modules.pop("plug_plugin", None)
    registry.DOORS.forget()


def test_a_store_that_hangs_holds_up_nobody(mounts: config.Config) -> None:
    start = time.monotonic()
    told = {result.path: result.diagnosis for result in check.check(mounts, limit_seconds=0.5)}
    assert time.monotonic() - start < 3
    assert told["/well"] == ""
    assert told["/breaks"] == "a plugin's own mistake"
    assert "port 22 refuses" in told["/down"]
    assert told["/down"].endswith("check that it runs, its address, and the firewall between")
    assert told["/hangs"].startswith("no answer within 0.5 s; check that it runs")
