"""davix: the client library of grid sites."""

import base64
from pathlib import Path
from urllib.parse import quote, unquote

from tests.e2e.clients.client import Stateless, run
from tests.servers.programs import find


class Davix(Stateless):
    def _davix(
        self, verb: str, *arguments: str | Path, accept: frozenset[int] = frozenset({0})
    ) -> str:
        argv: list[str | Path] = [Path(find("davix-get")).with_name(f"davix-{verb}")]
        if self.target.user:
            # It does not answer a Basic challenge; a header of ours it sends.
            token = base64.b64encode(f"{self.target.user}:{self.target.password}".encode())
            argv += ["-H", f"Authorization: Basic {token.decode()}"]
        if self.target.token:
            argv += ["-H", f"Authorization: Bearer {self.target.token}"]
        if self.target.ca:
            argv += ["--capath", self.target.ca.parent]
        return run([*argv, *arguments], accept=accept)

    def _url(self, name: str) -> str:
        return self.target.url + quote(name)

    def mkcol(self, name: str) -> None:
        self._davix("mkdir", self._url(name))

    def put(self, local: Path, name: str) -> None:
        self._davix("put", local, self._url(name))

    def names(self, folder: str) -> set[str]:
        # It prints names as they stand in the href.
        return {unquote(name) for name in self._davix("ls", self._url(folder) + "/").split()}

    def move(self, source: str, destination: str) -> None:
        # davix-mv 0.8.4 ends with 255 after a move that worked.
        accept = frozenset({0, 255})
        self._davix("mv", self._url(source), self._url(destination), accept=accept)

    def get(self, name: str, local: Path) -> None:
        self._davix("get", self._url(name), local)

    def delete(self, name: str) -> None:
        self._davix("rm", self._url(name))
