"""What OpenSSH's client says when it fails, as one of our errors.

Only sentences that are understood are passed on: others may hold paths of this machine, so they go
to the log.
"""

import logging
import re

from providers.errors import BadCredentials, RateLimited, StorageError, Unavailable
from providers.ssh import host_keys
from providers.ssh.login import Login
from providers.ssh.stream import CLOSED

_LOG = logging.getLogger(__name__)
_LOGGED_CHARACTERS = 500

_HOST_KEY = re.compile(
    r"host key is known|Host key verification failed|HOST IDENTIFICATION HAS CHANGED"
    r"|REVOKED HOST KEY|No matching host key"
)
_DENIED = re.compile(r"Permission denied \(([\w,@.-]+)\)")
_PERMANENT: tuple[tuple[str, str], ...] = (
    ("subsystem request failed", "the server offers no SFTP: its subsystem sftp is off"),
    ("no matching", "the server and ssh have no cipher or key exchange in common"),
    ("Bad configuration option", "the configuration of ssh has an error; see the log"),
)
_TEMPORARY: tuple[tuple[str, str], ...] = (
    ("Could not resolve hostname", "there is no host of that name"),
    ("Connection refused", "connection refused"),
    ("No route to host", "no route to the host"),
    ("Network is unreachable", "the network is unreachable"),
    ("timed out", "the host does not answer"),
    ("not responding", "the connection was cut: the server stopped answering"),
)
_CUT = re.compile(
    r"Connection (?:closed|reset) by|Connection to .* closed|Broken pipe|client_loop: send"
)
_KEY = re.compile(r"UNPROTECTED PRIVATE KEY|bad permissions|Load key|passphrase")


def understand(said: str, login: Login) -> StorageError:
    """Return the error for what the client said before it ended."""
    if _HOST_KEY.search(said):
        return _host_key(said, login)
    denied = _DENIED.search(said)
    if denied is not None:
        if _KEY.search(said):
            _log(said, login)
            return BadCredentials(
                detail=f"the key for {login.account} could not be used: its passphrase, its form "
                "or the permissions of its file are wrong; see the log"
            )
        ways = denied[1].replace(",", ", ")
        return BadCredentials(
            detail=f"{login.account} is refused; the server takes {ways}: is the key authorised "
            "there, the password right, the account unlocked"
        )
    if "Too many authentication failures" in said:
        return BadCredentials(
            detail=f"{login.account} is refused: too many keys were tried; name one key file"
        )
    for phrase, detail in _PERMANENT:
        if phrase in said:
            return Unavailable(detail=detail, temporary=False)
    for phrase, detail in _TEMPORARY:
        if phrase in said:
            return Unavailable(detail=detail)
    if "kex_exchange_identification" in said:
        return RateLimited(
            detail="the server takes no more connections now (MaxStartups), or is no SSH server"
        )
    if said.strip() and not _CUT.search(said):
        _log(said, login)
        return Unavailable(detail="ssh ended; its words are in the log")
    return Unavailable(detail=CLOSED)


def _host_key(said: str, login: Login) -> StorageError:
    if not login.jump and login.ssh_config is None:
        try:
            return host_keys.examine(login.known_hosts, login.host, login.port)
        except StorageError:
            pass
    if "CHANGED" in said or "REVOKED" in said:
        return host_keys.HostKeyChanged(
            detail=f"{login.place}, or a host on the way, shows another key than known_hosts has: "
            "ask its administrator before you change the line"
        )
    return host_keys.HostKeyUnknown(
        detail=f"{login.place}, or a host on the way, is not in known_hosts"
    )


def _log(said: str, login: Login) -> None:
    _LOG.warning("ssh to %s: %s", login.account, " ".join(said.split())[-_LOGGED_CHARACTERS:])
