"""gfal2: the commands of grid sites, on davix."""

from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from tests.e2e.clients.client import Stateless, run
from tests.servers.programs import find
from tests.servers.target import Target


class Gfal2(Stateless):
    def __init__(self, target: Target, work: Path) -> None:
        super().__init__(target, work)
        find("gfal-copy")
        if target.user:
            pytest.skip("gfal2 knows no passwords, only certificates and tokens")

    def gfal(self, verb: str, *arguments: str) -> str:
        """Run one gfal command."""
        # The bindings belong to Debian's Python, which need not be the first on the PATH.
        environment = {"GFAL_PYTHONBIN": "/usr/bin/python3"}
        if self.target.token:
            environment["BEARER_TOKEN"] = self.target.token
        if self.target.ca:
            environment["X509_CERT_DIR"] = str(self.target.ca.parent)
        return run(
            (Path(find("gfal-copy")).with_name(f"gfal-{verb}"), *arguments), environment=environment
        )

    def url(self, name: str) -> str:
        """Return a URL in gfal's spelling."""
        return self.target.url.replace("http", "dav", 1) + quote(name)

    def mkcol(self, name: str) -> None:
        self.gfal("mkdir", self.url(name))

    # Its file plugin decodes no percent signs, so a file URL here has none.
    def put(self, local: Path, name: str) -> None:
        self.gfal("copy", f"file://{local}", self.url(name))

    def names(self, folder: str) -> set[str]:
        # It prints names as they stand in the href.
        return {unquote(name) for name in self.gfal("ls", self.url(folder) + "/").split()}

    def move(self, source: str, destination: str) -> None:
        self.gfal("rename", self.url(source), self.url(destination))

    def get(self, name: str, local: Path) -> None:
        self.gfal("copy", self.url(name), f"file://{local}")

    def delete(self, name: str) -> None:
        self.gfal("rm", *(("-r",) if name.endswith("/") else ()), self.url(name))
