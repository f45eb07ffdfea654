"""The stream through OpenSSH's own client: a child `ssh -s HOST sftp` on a socket pair.

The ciphers run in another process, and all of OpenSSH's ways to log in and to pass through other
hosts work. Its window of 2 MiB limits one connection to that much per round trip.
"""

import contextlib
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import weakref
from collections.abc import Sequence
from typing import Final

from providers.errors import BadCredentials, StorageError, Unavailable
from providers.ssh.askpass import Askpass
from providers.ssh.complaint import understand
from providers.ssh.login import Login
from providers.ssh.ssh_config import resolve
from providers.ssh.stream import MOMENT_RECEIVING_SECONDS, MOMENT_SENDING_SECONDS, Stream, timeval
from providers.ssh.wire import Bytes

# What lies here has left the processor's cache when it is taken, so not more than it needs.
_SOCKET_BYTES: Final = 256 << 10
_SAID_BYTES: Final = 16 << 10
_END_SECONDS: Final = 2.0
# Linux's SO_SNDBUFFORCE and SO_RCVBUFFORCE pass the system's limit, for root.
_FORCED = {socket.SO_SNDBUF: 32, socket.SO_RCVBUF: 33}

# Of the ciphers AES-GCM with 128 bits is the fastest where the processor has AES, and all have.
_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
_ALWAYS: Final = (
    ("StrictHostKeyChecking", "yes"),
    ("GlobalKnownHostsFile", "/dev/null"),
    ("UpdateHostKeys", "no"),
    ("CheckHostIP", "no"),
    ("Ciphers", _CIPHERS),
    ("ForwardAgent", "no"),
    ("ForwardX11", "no"),
    ("ClearAllForwardings", "yes"),
    ("PermitLocalCommand", "no"),
    ("ControlMaster", "no"),
    ("ControlPath", "none"),
    ("RequestTTY", "no"),
    ("EscapeChar", "none"),
    ("NumberOfPasswordPrompts", "1"),
    ("ServerAliveCountMax", "3"),
    ("LogLevel", "ERROR"),
)


def available() -> bool:
    """Tell whether this machine has OpenSSH's client."""
    return shutil.which("ssh") is not None


class OpenSshStream(Stream):
    """One child `ssh`, in a process group of its own, so that our signals do not reach it.

    All attributes but `_said`, which belongs to the thread that listens, are fixed.
    """

    def __init__(self, login: Login) -> None:
        program = shutil.which("ssh")
        if program is None:
            raise Unavailable(
                detail="this machine has no OpenSSH client; install it or use the other transport",
                temporary=False,
            )
        for file in (login.key_file, login.certificate_file):
            if file is not None and not os.access(file, os.R_OK):
                raise BadCredentials(detail=f"the file {file.name} of the key cannot be read")
        self.description = f"{login.account} through ssh"
        self._login = login
        self._said = bytearray()
        asks = login.password is not None or login.passphrase is not None
        self._askpass = Askpass(resolve(login)) if asks else None
        try:
            self._socket, theirs = _pair()
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - no shell; every word is ours
                    arguments(program, login),
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE,
                    env=self._environment(),
                    cwd="/",
                    start_new_session=True,
                )
        except BaseException:
            self.established()
            raise
        # Not closed by `close`: a number that another thread is about to use must stay ours.
        weakref.finalize(self, self._socket.close)
        self._listener = threading.Thread(
            target=_listen, args=(self._process, self._said), name="ssh's words", daemon=True
        )
        self._listener.start()

    def _environment(self) -> dict[str, str]:
        kept = ["HOME", "PATH", "USER", "LOGNAME"]
        if self._login.agent:
            kept.append("SSH_AUTH_SOCK")
        own = {"LC_ALL": "C", "SHELL": "/bin/sh"}  # ssh runs a ProxyCommand by SHELL
        asked = self._askpass.environment if self._askpass is not None else {}
        return {name: os.environ[name] for name in kept if name in os.environ} | own | {**asked}

    def send(self, buffers: Sequence[Bytes]) -> int:
        """Send some of the bytes."""
        try:
            return self._socket.sendmsg(buffers[:_BUFFERS])
        except BlockingIOError:
            return 0

    def recv_into(self, view: memoryview, least: int = 1) -> int:
        """Receive up to `view`'s length."""
        if least == 0:
            return self._socket.recv_into(view, 0, socket.MSG_DONTWAIT)
        # Without MSG_WAITALL a large piece would wake us for each of the child's small ones.
        return self._socket.recv_into(view, 0, socket.MSG_WAITALL if least > 1 else 0)

    def has_room(self, size: int) -> bool:
        """Tell whether the child has taken most of what it was given."""
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        return bool(poll.poll(0))

    def cause(self) -> StorageError:
        """Return the error for what ssh said before it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self._end()
        return understand(bytes(self._said).decode("utf-8", "replace"), self._login)

    def established(self) -> None:
        """Remove what answers the prompts."""
        if self._askpass is not None:
            self._askpass.close()

    def close(self) -> None:
        """End the child and reap it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._end()
        self.established()

    def _end(self) -> None:
        if self._process.poll() is None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_SECONDS)
                    break
        self._listener.join(_END_SECONDS)


_BUFFERS = 512  # of one sendmsg; the system's limit is 1,024


def arguments(program: str, login: Login) -> list[str]:
    """Return the command line: no secret stands on it."""
    target = ["-s", "--", login.host, "sftp"]
    words = _words(program, login, login.user, login.port)
    if login.jump:
        words += ["-o", f"ProxyCommand={_through(program, login, login.jump)}"]
    return words + target


def _words(program: str, login: Login, user: str, port: int) -> list[str]:
    asks = login.password is not None or login.passphrase is not None
    options = [
        *_ALWAYS,
        ("UserKnownHostsFile", f'"{_escaped(str(login.known_hosts))}"'),
        ("BatchMode", "no" if asks else "yes"),
        ("ConnectTimeout", str(max(1, round(login.connect_seconds)))),
        ("ServerAliveInterval", str(login.alive_seconds)),
    ]
    if login.key_file is not None:
        options.append(("IdentityFile", f'"{_escaped(str(login.key_file))}"'))
    if login.certificate_file is not None:
        options.append(("CertificateFile", f'"{_escaped(str(login.certificate_file))}"'))
    if login.ssh_config is None:
        ways = ["publickey"] if login.key_file is not None or login.agent else []
        ways += ["password", "keyboard-interactive"] if login.password is not None else []
        options.append(("PreferredAuthentications", ",".join(ways) or "none"))
        options.append(("IdentitiesOnly", "no" if login.agent else "yes"))
        if login.key_file is None:
            options.append(("IdentityFile", "none"))
        if not login.agent:
            options.append(("IdentityAgent", "none"))
    words = [program, "-F", "none" if login.ssh_config is None else str(login.ssh_config)]
    for name, value in options:
        words += ["-o", f"{name}={value}"]
    if user:
        words += ["-l", user]
    if port:
        words += ["-p", str(port)]
    return words


def _through(program: str, login: Login, jump: Sequence[str]) -> str:
    """Return the command that leads to the last of the hosts on the way.

    ssh's own ProxyJump would not pass our options on, so its hosts would be checked against the
    user's files.
    """
    *before, last = jump
    user, _, rest = last.rpartition("@")
    host, _, port = rest.partition(":") if rest.count(":") <= 1 else (rest, "", "")
    words = _words(program, login, user or login.user, int(port) if port else 22)
    if before:
        words += ["-o", f"ProxyCommand={_through(program, login, before)}"]
    whole = shlex.join(words).replace("%", "%%")
    return f"{whole} -W '[%h]:%p' -- {shlex.quote(host.replace('%', '%%'))}"


def _escaped(path: str) -> str:
    """Return a path in the form of a quoted value of ssh's configuration."""
    return path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def _pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        for option, forced in _FORCED.items():
            end.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, forced, _SOCKET_BYTES)
    # The system's own timeouts: one call waits and ends, where select would cost a second one.
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval(MOMENT_RECEIVING_SECONDS))
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval(MOMENT_SENDING_SECONDS))
    return ours, theirs


def _listen(process: subprocess.Popen[bytes], said: bytearray) -> None:
    """Keep the end of what the child says, and never let it wait for us."""
    assert process.stderr is not None
    with process.stderr as stderr:
        while words := os.read(stderr.fileno(), _SAID_BYTES):
            said += words
            del said[:-_SAID_BYTES]
