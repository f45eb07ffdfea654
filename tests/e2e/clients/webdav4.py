"""webdav4: a Python library on httpx."""

from pathlib import Path

from tests.e2e.clients.client import Library
from tests.servers.programs import clients_python
from tests.servers.target import Target


class Webdav4(Library):
    def __init__(self, target: Target, work: Path) -> None:
        driver = Path(__file__).with_name("python_driver.py")
        super().__init__((clients_python("webdav4"), "-P", driver, "webdav4"), target)
