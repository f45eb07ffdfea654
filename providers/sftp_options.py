"""SftpOptions: what a mount may say to an SFTP site, and how one logs in there by it."""

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from providers.base import Options
from providers.errors import Unavailable
from providers.secret import Secret
from providers.ssh.login import Login
from providers.ssh.openssh import OpenSshStream, available
from providers.ssh.paramiko_channel import ParamikoStream
from providers.ssh.session import SftpSession
from providers.ssh.stream import CLOSED

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]

_DROPPED = (
    "the server closed the connection before SFTP began; its own log says why: its SFTP program "
    "may not start, or it has this account open no session now"
)

Transport = Literal["openssh", "paramiko"]


class SftpOptions(Options, frozen=True):
    """What a mount may say to an SFTP site."""

    host: str
    """The server's name or address, or an alias of `ssh_config`."""
    user: str = ""
    """The account there; the default is the gateway's own user, or what `ssh_config` says."""
    port: Port | None = None
    """The server's port; the default is 22, or what `ssh_config` says."""
    root: str = ""
    """The folder to serve, absolute or relative to the one where a login starts, which is the
    default. It may itself be a link; below it links are refused."""
    known_hosts: Path | None = None
    """The file that says which host keys are right; the default is `~/.ssh/known_hosts` of the
    gateway's user. An unknown key is never accepted: `check-config` shows the line to add."""
    key_file: Path | None = None
    """The private key to log in with."""
    certificate_file: Path | None = None
    """The certificate of that key, where the server wants one."""
    passphrase: Secret | None = None
    """What unlocks the private key."""
    password: Secret | None = None
    """The password to log in with, also where the server asks for it as a question."""
    agent: bool = False
    """Whether the keys of the ssh-agent in SSH_AUTH_SOCK may be used."""
    jump: tuple[str, ...] = ()
    """Hosts to go through, the first one first, as `user@host:port`. They are checked against the
    same known_hosts and take the same key."""
    ssh_config: Path | None = None
    """A configuration file of ssh that adds what is left open here; none is read by default."""
    transport: Literal["auto", "openssh", "paramiko"] = "auto"
    """What carries the connection: a child `ssh`, or the library paramiko. "auto" takes paramiko
    where it can log in and has the cipher AES-GCM, since it is fastest there, and `ssh`, if it is
    installed, elsewhere; but `ssh` sends no more than 2 MiB per round trip, so from 10 ms on
    paramiko is taken with any cipher."""
    connections: Annotated[int, msgspec.Meta(ge=1, le=32)] = 4
    """The most connections to the site. They are made when there is work for them; a server that
    refuses one more is content with fewer."""
    connect_seconds: Annotated[float, msgspec.Meta(gt=0, le=300)] = 10.0
    """How long a connection and login may take."""
    answer_seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 30.0
    """How long the server may be silent while it is asked something."""
    fsync: bool = True
    """Whether an upload is flushed to the server's disk before it becomes visible, where the
    server offers that."""


def login_of(options: SftpOptions) -> Login:
    """Return how to reach the account that the options name, without a password."""
    alias = options.ssh_config is not None
    return Login(
        host=options.host,
        user=options.user or ("" if alias else getpass.getuser()),
        port=options.port or (0 if alias else 22),
        known_hosts=options.known_hosts or Path("~/.ssh/known_hosts").expanduser(),
        key_file=options.key_file,
        certificate_file=options.certificate_file,
        passphrase=options.passphrase.reveal if options.passphrase else None,
        agent=options.agent,
        jump=options.jump,
        ssh_config=options.ssh_config,
        connect_seconds=options.connect_seconds,
    )


def transport_of(options: SftpOptions) -> Transport:
    """Return what carries the first connection on this machine."""
    if options.transport == "auto":
        return "openssh" if available() else "paramiko"
    return options.transport


def connect(options: SftpOptions, transport: Transport | None = None) -> SftpSession:
    """Return a new session, logged in; raise what hinders it, each cause in a sentence."""
    password = options.password.reveal if options.password else None
    return open_session(options, transport or transport_of(options), password)


def open_session(
    options: SftpOptions, transport: Transport, password: Callable[[], str] | None
) -> SftpSession:
    """Return a new session, with a password that stands nowhere."""
    login = msgspec.structs.replace(login_of(options), password=password)
    stream = OpenSshStream(login) if transport == "openssh" else ParamikoStream(login)
    try:
        return SftpSession(stream, silence_seconds=options.answer_seconds)
    except BaseException as error:
        stream.close()
        if isinstance(error, Unavailable) and error.detail == CLOSED:
            raise Unavailable(detail=_DROPPED) from error
        raise
