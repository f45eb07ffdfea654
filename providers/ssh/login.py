"""Where to log in, as whom and with what: one description for both kinds of stream."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from providers.ssh.host_keys import place

Secret = Callable[[], str]
"""Gives a secret when it is needed, so that it is kept nowhere else."""


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach an account. Fixed.

    `known_hosts` is the only file that says which host keys are right. `jump` lists hosts to go
    through, the first one first, as `user@host:port`; they log in by the same key file or the
    agent, never by the password. `ssh_config` is a file such as `~/.ssh/config`, which adds what
    is left open here (`user` empty, `port` 0, no key file); `host` may be an alias of it. Without
    it no configuration of ssh is read.
    """

    host: str
    user: str
    known_hosts: Path
    port: int = 22
    key_file: Path | None = None
    certificate_file: Path | None = None
    passphrase: Secret | None = None
    password: Secret | None = None
    agent: bool = False
    jump: tuple[str, ...] = ()
    ssh_config: Path | None = None
    connect_seconds: float = 15.0
    alive_seconds: int = 15

    @property
    def place(self) -> str:
        """Host and port, as known_hosts has them."""
        return place(self.host, self.port)

    @property
    def account(self) -> str:
        """User, host and port, for messages."""
        return f"{self.user}@{self.place}"
