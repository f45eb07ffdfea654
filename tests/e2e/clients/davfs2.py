"""davfs2: a mount, used by the system's own calls."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Self

import pytest

from tests.e2e.clients.client import run
from tests.servers.programs import find
from tests.servers.target import Target

# Since Linux 6.16 listings are empty or EINVAL with davfs2's own default.
_CONFIG = """
buf_size 64
use_locks 1
delay_upload 0
ask_auth 0
{trust}
"""


class Davfs2:
    def __init__(self, target: Target, work: Path) -> None:
        find("mount.davfs")
        if os.geteuid() != 0:
            pytest.skip("a davfs2 mount needs root")
        find("/dev/fuse")
        self._target, self._work = target, work
        self._mount = work / "mount"
        self._trusted: Path | None = None

    def __enter__(self) -> Self:
        # One mount at a time on this machine: sync, below, waits for every file system there is.
        self._turn = (Path(tempfile.gettempdir()) / "headgate-tests-davfs2.lock").open("w")
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        self._mount.mkdir()
        trust = ""
        if self._target.ca:
            # It reads the file as a user of its own, who has no way into pytest's folders.
            self._trusted = Path(tempfile.mkstemp(suffix=".pem")[1])
            shutil.copyfile(self._target.ca, self._trusted)
            self._trusted.chmod(0o644)
            trust = f"trust_ca_cert {self._trusted}"
        config = self._work / "davfs2.conf"
        config.write_text(_CONFIG.format(trust=trust))
        config.chmod(0o600)
        answers = f"{self._target.user}\n{self._target.password}\n" if self._target.user else ""
        if answers:
            config.write_text(config.read_text().replace("ask_auth 0", "ask_auth 1"))
        options = f"conf={config},uid=0,gid=0"
        mount = (find("mount.davfs"), "-o", options, self._target.url, self._mount)
        run(mount, given=answers)
        return self

    def __exit__(self, *exc: object) -> None:
        with self._turn:
            run(("umount", self._mount))
        if self._trusted:
            self._trusted.unlink()

    def mkcol(self, name: str) -> None:
        (self._mount / name).mkdir()

    def put(self, local: Path, name: str) -> None:
        shutil.copyfile(local, self._mount / name)
        os.sync()
        self._wait_for_upload()

    def _wait_for_upload(self) -> None:
        # Uploads follow the close at once but in another thread; the lock is gone when they end.
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if not any(self._mount.glob("lost+found/*")):
                    break
            time.sleep(0.1)
        time.sleep(0.2)

    def names(self, folder: str) -> set[str]:
        return {entry.name for entry in (self._mount / folder).iterdir()} - {"lost+found"}

    def move(self, source: str, destination: str) -> None:
        (self._mount / source).rename(self._mount / destination)

    def get(self, name: str, local: Path) -> None:
        shutil.copyfile(self._mount / name, local)

    def delete(self, name: str) -> None:
        if name.endswith("/"):
            (self._mount / name).rmdir()
        else:
            (self._mount / name).unlink()
