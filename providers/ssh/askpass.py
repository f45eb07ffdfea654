"""How a secret reaches the child `ssh`: through a pipe, not an argument, a variable or a file.

`ssh` runs a small program when it wants to ask. Ours copies a named pipe, into which a thread of
this process writes the answer. The folder of both is for this user alone and lives as long as the
login takes.
"""

import os
import shlex
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from providers.ssh.login import Login, Secret

# The prompt is compared whole, up to what the server adds behind the account: a host on the way
# that asks for a password does not get that of the destination.
_PROGRAM: Final = """#!/bin/sh
case "$1" in
  "Enter passphrase for "*) pipe=passphrase ;;
  {account}"'s password: ") pipe=password ;;
  "("{account}") "*) pipe=password ;;
  *) exit 1 ;;
esac
cd {folder} && [ -p "$pipe" ] && exec cat "$pipe"
"""
_LOOK_SECONDS = 0.02


class Askpass:
    """Answers the prompts of one child. `close` ends it; twice is no error.

    All attributes are fixed; `_over` is an event.
    """

    def __init__(self, login: Login) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="headgate-askpass-"))
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        program = self.folder / "askpass"
        account = shlex.quote(f"{login.user}@{login.host.lower()}")
        program.write_text(_PROGRAM.format(account=account, folder=shlex.quote(str(self.folder))))
        program.chmod(0o700)
        for name, secret in (("passphrase", login.passphrase), ("password", login.password)):
            if secret is not None:
                os.mkfifo(self.folder / name, 0o600)
                thread = threading.Thread(
                    target=self._answer, args=(name, secret), name=f"askpass {name}", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    @property
    def environment(self) -> Mapping[str, str]:
        """What the child must be given to ask here, without a terminal."""
        return {
            "SSH_ASKPASS": str(self.folder / "askpass"),
            "SSH_ASKPASS_REQUIRE": "force",
        }

    def _answer(self, name: str, secret: Secret) -> None:
        """Write the secret into the pipe as often as somebody opens it."""
        while not self._over.wait(_LOOK_SECONDS):
            try:
                pipe = os.open(self.folder / name, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads
                continue
            try:
                os.write(pipe, secret().encode() + b"\n")
            except OSError:
                continue
            finally:
                os.close(pipe)

    def close(self) -> None:
        """Take the answers away."""
        self._over.set()
        for thread in self._threads:
            thread.join(1)
        shutil.rmtree(self.folder, ignore_errors=True)
