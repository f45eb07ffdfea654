"""Site: an account elsewhere that `headgate site add` opened a door to, and how it is mounted."""

import datetime as dt
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from providers.sftp_options import SftpOptions
from providers.ssh.host_keys import HostKey, place
from vfs.toml_file import dotted, quoted

FOLDER = "sites"

# The key opens SFTP and nothing else: no shell, no forwarding.
RESTRICTION = 'restrict,command="internal-sftp" '

_KEY = "key"
_KNOWN_HOSTS = "known_hosts"
_RECORD = "site.json"


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one site, beside its key and its known_hosts. Fixed."""

    name: str
    user: str
    host: str
    port: int
    path: str
    mount: str
    authorized_keys: str
    line: str
    """The line in the remote file of keys, as it was written there."""
    added: dt.datetime


class SiteFolder:
    """The folder of one site in the gateway's state directory. Fixed.

    The key is a file of this user alone, and not a sealed secret, since the child `ssh` reads it.
    """

    def __init__(self, state_dir: Path, name: str) -> None:
        self.folder = state_dir / FOLDER / name
        self.key = self.folder / _KEY
        self.known_hosts = self.folder / _KNOWN_HOSTS

    def make(self, host: str, port: int, host_key: HostKey) -> None:
        """Make the folder, with the key of the server in it."""
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)
        self.known_hosts.write_text(host_key.line(place(host, port)) + "\n")

    def make_key(self, name: str, today: dt.date) -> str:
        """Make a fresh key and return the line that lets it in."""
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        descriptor = os.open(self.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(private)
        public = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        return f"{RESTRICTION}{public.decode()} headgate {name} {platform.node()} {today}"

    def keep(self, site: Site) -> None:
        """Write down what the site is."""
        (self.folder / _RECORD).write_bytes(msgspec.json.encode(site))

    def read(self) -> Site | None:
        """Return what the site is; None when it was never finished or is damaged."""
        try:
            return msgspec.json.decode((self.folder / _RECORD).read_bytes(), type=Site)
        except (OSError, msgspec.DecodeError):
            return None

    def options(self, site: Site) -> SftpOptions:
        """Return the options that log in by the site's own key."""
        return SftpOptions(
            host=site.host,
            user=site.user,
            port=site.port,
            root=site.path,
            known_hosts=self.known_hosts,
            key_file=self.key,
        )

    def table(self, site: Site) -> str:
        """Return the table of the configuration that mounts the site."""
        values: dict[str, str | int] = {
            "provider": "sftp",
            "host": site.host,
            "port": site.port,
            "user": site.user,
            "root": site.path,
            "known_hosts": str(self.known_hosts.absolute()),
            "key_file": str(self.key.absolute()),
        }
        lines = [f"[{dotted(('mounts', site.mount))}]"]
        for name, value in values.items():
            if value != "":
                lines.append(f"{name} = {value if isinstance(value, int) else quoted(value)}")
        return "\n".join(lines) + "\n"

    def shut(self) -> None:
        """Forget the site and its key. An empty file stays, so that the configuration still loads.

        Its mount is down then, until it is removed; the other mounts serve.
        """
        self.key.unlink()
        self.key.touch(0o600)
        (self.folder / _RECORD).unlink()

    def remove(self) -> None:
        """Remove all there is, of a site that was never finished, or is to be made anew."""
        shutil.rmtree(self.folder, ignore_errors=True)


def sites(state_dir: Path) -> Iterator[Site]:
    """Yield the sites, by name."""
    folder = state_dir / FOLDER
    if folder.is_dir():
        for one in sorted(folder.iterdir()):
            site = SiteFolder(state_dir, one.name).read()
            if site is not None:
                yield site
