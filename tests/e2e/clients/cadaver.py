"""cadaver: an interactive client on neon."""

import re
from pathlib import Path

import pytest

from tests.e2e.clients.client import Stateless, run
from tests.servers.programs import find
from tests.servers.target import Target

_LINE = re.compile(
    r"^(?:Coll:|Ref:|\s)\s+\*?(\S.*?)\s+\d+\s+\w{3}\s+\d+\s+[\d:]+\s*$", re.MULTILINE
)


class Cadaver(Stateless):
    def __init__(self, target: Target, work: Path) -> None:
        super().__init__(target, work)
        if target.secure:
            pytest.skip("cadaver asks a person whether to trust a private authority")

    def _cadaver(self, *commands: str) -> str:
        netrc = self.work / ".netrc"
        netrc.write_text(
            f"machine {self.target.host} login {self.target.user} password {self.target.password}\n"
            if self.target.user
            else ""
        )
        netrc.chmod(0o600)
        script = "\n".join((*commands, "quit", ""))
        output = run(
            (find("cadaver"), self.target.url),
            environment={"HOME": str(self.work)},
            given=script,
        )
        # It ends with 0 whatever fails.
        if "failed" in output or "Could not" in output:
            raise RuntimeError(output)
        return output

    def mkcol(self, name: str) -> None:
        self._cadaver(f'mkcol "{name}"')

    def put(self, local: Path, name: str) -> None:
        self._cadaver(f'put "{local}" "{name}"')

    def names(self, folder: str) -> set[str]:
        # Its listing cuts long names; a line is: kind, name, size, date.
        listing = self._cadaver(f'ls "{folder}"')
        return set(_LINE.findall(listing))

    def move(self, source: str, destination: str) -> None:
        self._cadaver(f'move "{source}" "{destination}"')

    def get(self, name: str, local: Path) -> None:
        self._cadaver(f'get "{name}" "{local}"')

    def delete(self, name: str) -> None:
        folder = name.endswith("/")
        self._cadaver(f'{"rmcol" if folder else "delete"} "{name}"')
