"""curl: the protocol by hand."""

import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import quote, unquote

from tests.e2e.clients.client import Stateless, run
from tests.servers.programs import find


class Curl(Stateless):
    def _curl(self, name: str, *options: str | Path) -> str:
        argv: list[str | Path] = [find("curl"), "--silent", "--show-error", "--fail", *options]
        if self.target.user:
            argv += ["--user", f"{self.target.user}:{self.target.password}"]
        if self.target.token:
            argv += ["--oauth2-bearer", self.target.token]
        if self.target.ca:
            argv += ["--cacert", self.target.ca]
        return run([*argv, self.target.url + quote(name)])

    def mkcol(self, name: str) -> None:
        self._curl(name + "/", "--request", "MKCOL")

    def put(self, local: Path, name: str) -> None:
        self._curl(name, "--upload-file", local)

    def names(self, folder: str) -> set[str]:
        listing = self._curl(folder + "/", "--request", "PROPFIND", "--header", "Depth: 1")
        hrefs = (element.text or "" for element in ET.fromstring(listing).iter("{DAV:}href"))
        return {unquote(href).rstrip("/").rpartition("/")[2] for href in hrefs} - {folder}

    def move(self, source: str, destination: str) -> None:
        to = f"Destination: {self.target.url}{quote(destination)}"
        self._curl(source, "--request", "MOVE", "--header", to)

    def get(self, name: str, local: Path) -> None:
        self._curl(name, "--output", local)

    def delete(self, name: str) -> None:
        self._curl(name, "--request", "DELETE")
