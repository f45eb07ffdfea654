"""webdav of npm: a JavaScript library."""

from pathlib import Path

from tests.e2e.clients.client import Library
from tests.servers.programs import find, node_modules
from tests.servers.target import Target


class NpmWebdav(Library):
    def __init__(self, target: Target, work: Path) -> None:
        modules = node_modules("webdav")
        driver = Path(__file__).with_name("node_driver.mjs")
        entry = modules / "webdav" / "dist" / "node" / "index.js"
        super().__init__((find("node"), driver, entry), target)
