"""Logs in with paramiko: key, certificate, agent, password, questions of the server."""

import contextlib
from collections.abc import Iterator
from typing import Any

import paramiko

from providers.errors import BadCredentials, StorageError, Unavailable
from providers.ssh.login import Login


def log_in(transport: paramiko.Transport, login: Login) -> None:
    """Return when the server has let us in; it may want several proofs.

    The host key must have been checked before. Raises BadCredentials, with what the server takes.
    """
    tried = False
    for prove in _proofs(transport, login):
        tried = True
        try:
            prove()
        except paramiko.AuthenticationException:
            if not transport.is_active():
                # What paramiko says of a connection that was cut meanwhile; nothing was refused.
                raise Unavailable(
                    detail=f"the connection ended during the login of {login.account}: it was "
                    "cut, or the server hangs up on who it refuses"
                ) from None
            continue
        if transport.is_authenticated():
            return
    if not tried:
        raise BadCredentials(
            detail=f"the login {login.account} names no key, agent or password: name one"
        )
    taken = _taken(transport, login)
    ways = f"; the server takes {', '.join(taken)}" if taken else ""
    raise BadCredentials(
        detail=f"{login.account} is refused{ways}: is the key authorised there, the password "
        "right, the account unlocked"
    )


def _taken(transport: paramiko.Transport, login: Login) -> list[str]:
    """Return what the server takes: it says so when it is offered nothing."""
    try:
        transport.auth_none(login.user)
    except paramiko.BadAuthenticationType as error:
        return error.allowed_types
    except paramiko.SSHException:
        pass
    return []


def _proofs(transport: paramiko.Transport, login: Login) -> Iterator[Any]:
    if login.key_file is not None:
        key = _key(login)
        yield lambda: transport.auth_publickey(login.user, key)
    if login.agent:
        agent = paramiko.Agent()
        with contextlib.closing(agent):
            for own in agent.get_keys():
                yield lambda own=own: transport.auth_publickey(login.user, own)
    if login.password is not None:
        secret = login.password
        yield lambda: transport.auth_password(login.user, secret(), fallback=False)
        yield lambda: transport.auth_interactive(login.user, _Answers(login))


class _Answers:
    """Answers a server's questions with the password, once. Used by one thread."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._given = False

    def __call__(self, title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        """Return an answer for each prompt."""
        if not prompts:
            return []
        (_, shown), *more = prompts
        if more or shown or self._given or self._login.password is None:
            raise BadCredentials(
                detail=f"{self._login.account}: the server asks more than one password, which "
                "nobody is here to answer"
            )
        self._given = True
        return [self._login.password()]


def _key(login: Login) -> paramiko.PKey:
    file = login.key_file
    assert file is not None
    passphrase = login.passphrase().encode() if login.passphrase is not None else None
    try:
        key = paramiko.PKey.from_path(file, passphrase)  # type: ignore[arg-type] # bytes in truth
        if login.certificate_file is not None:
            key.load_certificate(str(login.certificate_file))
    except (paramiko.PasswordRequiredException, TypeError) as error:
        raise BadCredentials(
            detail=f"the key {file.name} is locked by a passphrase, and none is given"
        ) from error
    except OSError as error:
        raise BadCredentials(
            detail=f"the key {file.name} cannot be read: {error.strerror}"
        ) from error
    except StorageError:
        raise
    except Exception as error:
        raise BadCredentials(
            detail=f"the key {file.name} cannot be used: its passphrase is wrong, or it is none"
        ) from error
    return key
