"""rclone, with its plain WebDAV back end."""

import json
from pathlib import Path

from tests.e2e.clients.client import Stateless, run
from tests.servers.programs import find
from tests.servers.target import Target


class Rclone(Stateless):
    def __init__(self, target: Target, work: Path) -> None:
        super().__init__(target, work)
        self._program = find("rclone")
        self._environment = {
            "RCLONE_CONFIG": str(work / "rclone.conf"),
            "RCLONE_CONFIG_HG_TYPE": "webdav",
            "RCLONE_CONFIG_HG_URL": target.url,
            "RCLONE_CONFIG_HG_VENDOR": "other",
            "RCLONE_RETRIES": "1",
            "RCLONE_LOW_LEVEL_RETRIES": "1",
        }
        (work / "rclone.conf").touch()
        if target.user:
            secret = run((self._program, "obscure", target.password)).strip()
            self._environment |= {
                "RCLONE_CONFIG_HG_USER": target.user,
                "RCLONE_CONFIG_HG_PASS": secret,
            }
        if target.token:
            self._environment["RCLONE_CONFIG_HG_BEARER_TOKEN"] = target.token
        if target.ca:
            self._environment["RCLONE_CA_CERT"] = str(target.ca)

    def _rclone(self, *arguments: str | Path) -> str:
        return run((self._program, *arguments), environment=self._environment)

    def mkcol(self, name: str) -> None:
        self._rclone("mkdir", f"hg:{name}")

    def put(self, local: Path, name: str) -> None:
        self._rclone("copyto", local, f"hg:{name}")

    def names(self, folder: str) -> set[str]:
        return {entry["Name"] for entry in json.loads(self._rclone("lsjson", f"hg:{folder}"))}

    def move(self, source: str, destination: str) -> None:
        self._rclone("moveto", f"hg:{source}", f"hg:{destination}")

    def get(self, name: str, local: Path) -> None:
        self._rclone("copyto", f"hg:{name}", local)

    def delete(self, name: str) -> None:
        self._rclone("purge" if name.endswith("/") else "deletefile", f"hg:{name}")
