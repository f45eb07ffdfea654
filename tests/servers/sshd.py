"""OpenSSH's sshd over one folder, as the user who runs it, with keys of its own.

Without PAM it cannot take passwords of a test: `password_ssh` does.
"""

import contextlib
import getpass
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from providers.sftp_options import SftpOptions
from tests.servers.daemon import Daemon, free_port, main
from tests.servers.programs import find
from tests.servers.target import Target

# What the user of a test may change, by the keyword's name.
DEFAULTS = {
    "AllowAgentForwarding": "no",
    "KbdInteractiveAuthentication": "no",
    "LogLevel": "VERBOSE",
    "MaxSessions": "10",
    "MaxStartups": "100",
    "PasswordAuthentication": "no",
    "PermitRootLogin": "yes",
    "StrictModes": "no",
    "Subsystem": "sftp internal-sftp",
    "UsePAM": "no",
    "UseDNS": "no",
}


class Sshd(Daemon):
    """One sshd; its connections are processes of their own and end with it."""

    @property
    def key(self) -> Path:
        """The private key that may log in."""
        return self.directory / "user_key"

    @property
    def known_hosts(self) -> Path:
        """A file that knows this server."""
        return self.directory / "known_hosts"

    @property
    def host_key(self) -> str:
        """The public host key: algorithm and base64."""
        return " ".join((self.directory / "host_key.pub").read_text().split()[:2])

    def options(self, **changes: object) -> SftpOptions:
        """Return what lets a provider into the folder for tests, with some things changed."""
        usual = SftpOptions(
            host="127.0.0.1",
            port=self.target.port,
            user=self.target.user,
            root=str(self.directory / "files"),
            known_hosts=self.known_hosts,
            key_file=self.key,
        )
        return msgspec.structs.replace(usual, **changes)

    def children(self) -> list[int]:
        """Return the processes that serve connections."""
        return [] if self._process is None else _descendants(self._process.pid)

    def cut(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to all connections, and to none but them."""
        for pid in self.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Kill the server and its connections."""
        children = self.children()
        super().kill()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self, within_seconds: float = 15) -> None:
        """End the server and its connections."""
        self.cut(signal.SIGTERM)
        super().stop(within_seconds)


def _descendants(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            words = (entry / "stat").read_text().rpartition(")")[2].split()
            parents[int(entry.name)] = int(words[1])
    found = [pid]
    for parent in found:
        found += [child for child, above in parents.items() if above == parent]
    return found[1:]


def keygen(file: Path, passphrase: str = "", kind: str = "ed25519") -> Path:
    """Make a key pair, once."""
    if not file.exists():
        argv = [find("ssh-keygen"), "-q", "-t", kind, "-N", passphrase, "-f", str(file)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, timeout=30)
    return file


def launch(directory: Path, options: Mapping[str, str] | None = None) -> Sshd:
    """Start sshd; its user's folder for tests is `directory`/files."""
    root = directory / "files"
    root.mkdir(exist_ok=True, parents=True)
    host_key = keygen(directory / "host_key")
    user_key = keygen(directory / "user_key")
    (directory / "authorized_keys").write_text(user_key.with_suffix(".pub").read_text())
    port = free_port()
    user = getpass.getuser()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd demands it of root
    lines = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": host_key,
        "PidFile": "none",
        "AuthorizedKeysFile": directory / "authorized_keys",
        **DEFAULTS,
        **(options or {}),
    }
    config = directory / "sshd.conf"
    config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    target = Target(url=f"sftp://127.0.0.1:{port}/", user=user, root=root)
    daemon = Sshd(directory, (find("sshd"), "-D", "-e", "-f", str(config)), target)
    daemon.known_hosts.write_text(f"[127.0.0.1]:{port} {daemon.host_key}\n")
    return daemon.start()


if __name__ == "__main__":
    main(launch)
