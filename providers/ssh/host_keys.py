"""Which server is the right one: keys in known_hosts, and what to say of those that are not.

The file is OpenSSH's: hashed names, patterns with `*`, `?` and `!`, `[host]:port`, `@revoked`. A
`@cert-authority` line is understood by the stream of OpenSSH alone, since paramiko knows no
certificates of hosts.
"""

import base64
import binascii
import fnmatch
import hashlib
import hmac
import logging
import re
import socket
from pathlib import Path
from typing import Final

import msgspec
import paramiko

from providers.errors import StorageError, Unavailable, from_oserror

DEFAULT_PORT: Final = 22

# What goes wrong in paramiko comes to us as an exception; it need not stand in the log as well.
QUIET: Final = "providers.ssh.paramiko"
logging.getLogger(QUIET).setLevel(logging.CRITICAL + 1)

_LABELS = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}
_SCANNED = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)


class HostKeyUnknown(Unavailable):
    """Nobody has said yet that this key is the server's."""

    is_temporary = False


class HostKeyChanged(Unavailable):
    """The server shows another key than the known one, or one that was revoked."""

    is_temporary = False


class HostKey(msgspec.Struct, frozen=True):
    """A public key of a server: its algorithm and its bytes as they go over the wire."""

    algorithm: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """The fingerprint as OpenSSH shows it."""
        digest = hashlib.sha256(self.blob).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    @property
    def label(self) -> str:
        """The kind of key in OpenSSH's words."""
        return _LABELS.get(self.algorithm, self.algorithm.partition("-")[0].upper())

    def line(self, where: str) -> str:
        """Return the line of known_hosts that accepts this key."""
        return f"{where} {self.algorithm} {base64.b64encode(self.blob).decode()}"


class _Known(msgspec.Struct, frozen=True):
    """One line of known_hosts that is about the server."""

    key: HostKey
    marker: str


def place(host: str, port: int) -> str:
    """Return host and port as known_hosts has them."""
    return host.lower() if port in {0, DEFAULT_PORT} else f"[{host.lower()}]:{port}"


def known_algorithms(file: Path, host: str, port: int) -> list[str]:
    """Return the kinds of key that are known of a server, to ask it for one of them."""
    return [known.key.algorithm for known in _lookup(file, host, port) if not known.marker]


def check(file: Path, host: str, port: int, key: HostKey) -> None:
    """Return when known_hosts says that this key is the server's.

    Raises HostKeyUnknown, with the fingerprint and the line to add, or HostKeyChanged.
    """
    about = _lookup(file, host, port)
    where = place(host, port)
    shown = f"{key.label} key {key.fingerprint}"
    if any(known.marker == "@revoked" and known.key == key for known in about):
        raise HostKeyChanged(
            detail=f"{where} shows its {shown}, which known_hosts marks as revoked: somebody else "
            "may have it; ask the server's administrator for a new one"
        )
    plain = [known.key for known in about if not known.marker]
    if key in plain:
        return
    others = [known for known in plain if known.algorithm == key.algorithm]
    if others:
        raise HostKeyChanged(
            detail=f"{where} shows the {shown}, and not {others[0].fingerprint} as known_hosts has "
            "it: either the server was set up anew, or somebody stands between; ask its "
            "administrator, on another way, before you change the line in known_hosts"
        )
    raise HostKeyUnknown(
        detail=f"{where} shows the {shown}, which is not in known_hosts; if its administrator "
        f"confirms the fingerprint, add this line there: {key.line(where)}"
    )


def scan(host: str, port: int = DEFAULT_PORT, *, timeout_seconds: float = 10) -> list[HostKey]:
    """Return the keys that a server shows now, of each kind. Nobody says that they are right.

    Raises Unavailable when it shows none.
    """
    found: list[HostKey] = []
    failure: Exception | None = None
    for kinds in _SCANNED:
        try:
            found.append(_shown(host, port, kinds, timeout_seconds))
        except paramiko.SSHException as error:
            failure = error
        except OSError as error:
            raise unreachable(error) from error
    if not found:
        raise Unavailable(detail="the server shows no host key; is it an SSH server") from failure
    return found


def examine(file: Path, host: str, port: int, *, timeout_seconds: float = 10) -> StorageError:
    """Return what to say of a server whose key was refused by another program."""
    refusals: list[StorageError] = []
    for key in scan(host, port, timeout_seconds=timeout_seconds):
        try:
            check(file, host, port, key)
        except (HostKeyChanged, HostKeyUnknown) as error:
            refusals.append(error)
    changed = [error for error in refusals if isinstance(error, HostKeyChanged)]
    return (changed or refusals or [HostKeyUnknown(detail="the server's key was refused")])[0]


def unreachable(error: OSError) -> StorageError:
    """Return the error for a host that cannot be connected to."""
    if isinstance(error, socket.gaierror):
        return Unavailable(detail="there is no host of that name")
    if isinstance(error, TimeoutError):
        return Unavailable(detail="the host does not answer on that port")
    leaf = from_oserror(error)
    if isinstance(leaf, Unavailable):
        return Unavailable(detail=error.strerror or "the host cannot be reached")
    return leaf


def _shown(host: str, port: int, kinds: tuple[str, ...], timeout_seconds: float) -> HostKey:
    peer = socket.create_connection((host, port), timeout_seconds)
    with paramiko.Transport(peer) as transport:
        transport.set_log_channel(QUIET)
        transport.get_security_options().key_types = kinds
        transport.start_client(timeout=timeout_seconds)
        key = transport.get_remote_server_key()
        return HostKey(key.get_name(), key.asbytes())


def _lookup(file: Path, host: str, port: int) -> list[_Known]:
    try:
        text = file.read_text(errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unavailable(
            detail=f"the known_hosts file cannot be read: {error.strerror}", temporary=False
        ) from error
    wanted = place(host, port)
    about: list[_Known] = []
    without_port: list[_Known] = []
    for line in text.splitlines():
        words = line.split()
        marker = words.pop(0) if line.startswith("@") else ""
        key = _key(words)
        if key is None:
            continue
        if _names(words[0], wanted):
            about.append(_Known(key, marker))
        elif port != DEFAULT_PORT and _names(words[0], host.lower()):
            without_port.append(_Known(key, marker))
    # As ssh does: a key that is known without its port counts when there is none with it.
    return about or without_port


def _key(words: list[str]) -> HostKey | None:
    if len(words) < 3 or words[0].startswith("#"):  # noqa: PLR2004 - names, algorithm, key
        return None
    try:
        return HostKey(words[1], base64.b64decode(words[2], validate=True))
    except binascii.Error:
        return None


def _names(patterns: str, host: str) -> bool:
    """Tell whether a list of patterns names a host, and none of them excludes it."""
    if patterns.startswith("|1|"):
        return _hashed(patterns, host)
    found = False
    for pattern in patterns.lower().split(","):
        # Of the shell's patterns ssh has * and ? alone; a bracket stands for itself.
        plain = re.sub(r"\[", "[[]", pattern.removeprefix("!"))
        if fnmatch.fnmatchcase(host, plain):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _hashed(pattern: str, host: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in pattern.split("|")[2:])
    except ValueError:
        return False
    ours = hmac.new(salt, host.encode(), hashlib.sha1).digest()
    return hmac.compare_digest(ours, digest)
