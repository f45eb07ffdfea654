"""gio: GNOME's file access, on a session bus of its own."""

import subprocess
from pathlib import Path
from typing import Self
from urllib.parse import quote

import pytest

from tests.e2e.clients.client import run
from tests.servers.programs import find
from tests.servers.target import Target


class Gio:
    def __init__(self, target: Target, work: Path) -> None:
        self._gio = find("gio")
        self._bus_program = find("dbus-daemon")
        find("/usr/libexec/gvfsd-dav")
        if target.secure:
            pytest.skip("gio trusts the system's authorities only")
        self._target, self._work = target, work
        self._url = target.url.replace("http", "dav", 1)

    def __enter__(self) -> Self:
        runtime = self._work / "run"
        runtime.mkdir(mode=0o700)
        self._bus = subprocess.Popen(
            (self._bus_program, "--session", "--nofork", "--print-address=1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self._home() | {"PATH": "/usr/bin:/bin"},
        )
        assert self._bus.stdout is not None
        self._address = self._bus.stdout.readline().strip()
        given = f"{self._target.user}\n{self._target.password}\n" if self._target.user else None
        self._run("mount", self._url, given=given)
        return self

    def _home(self) -> dict[str, str]:
        return {"HOME": str(self._work), "XDG_RUNTIME_DIR": str(self._work / "run")}

    def _run(self, *arguments: str | Path, given: str | None = None) -> str:
        environment = self._home() | {"DBUS_SESSION_BUS_ADDRESS": self._address}
        return run((self._gio, *arguments), environment=environment, given=given)

    def __exit__(self, *exc: object) -> None:
        try:
            self._run("mount", "--unmount", self._url)
        finally:
            # Everything that the bus started ends with it.
            self._bus.terminate()
            self._bus.wait(5)
            if self._bus.stdout is not None:
                self._bus.stdout.close()

    def _at(self, name: str) -> str:
        return self._url + quote(name)

    def mkcol(self, name: str) -> None:
        self._run("mkdir", self._at(name))

    def put(self, local: Path, name: str) -> None:
        self._run("copy", local, self._at(name))

    def names(self, folder: str) -> set[str]:
        return set(self._run("list", self._at(folder)).splitlines())

    def move(self, source: str, destination: str) -> None:
        self._run("move", self._at(source), self._at(destination))

    def get(self, name: str, local: Path) -> None:
        self._run("copy", self._at(name), local)

    def delete(self, name: str) -> None:
        self._run("remove", self._at(name.rstrip("/")))
