"""webdavclient3: a Python library on requests."""

from pathlib import Path

from tests.e2e.clients.client import Library
from tests.servers.programs import clients_python
from tests.servers.target import Target


class Webdavclient3(Library):
    def __init__(self, target: Target, work: Path) -> None:
        driver = Path(__file__).with_name("python_driver.py")
        super().__init__((clients_python("webdav3"), "-P", driver, "webdavclient3"), target)

    def set_property(self, name: str, namespace: str, key: str, value: str) -> None:
        """Set a property, with the Depth: 1 that this library sends."""
        self._driver.ask("set_property", name, namespace, key, value)
