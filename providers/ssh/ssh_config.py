"""What a configuration file of ssh says of a host; read only when a login names one."""

import getpass
from pathlib import Path

import msgspec
import paramiko

from providers.errors import Unavailable
from providers.ssh.host_keys import DEFAULT_PORT
from providers.ssh.login import Login


def resolve(login: Login) -> Login:
    """Return the login with everything that was left open filled in.

    Raises Unavailable for a configuration that cannot be read, or that needs a ProxyCommand.
    """
    if login.ssh_config is None:
        return login
    try:
        config = paramiko.SSHConfig.from_path(str(login.ssh_config))
        found = config.lookup(login.host)
    except (paramiko.ConfigParseError, OSError) as error:
        raise Unavailable(
            detail="the configuration of ssh cannot be read", temporary=False
        ) from error
    if "proxycommand" in found:
        raise Unavailable(
            detail=f"{login.host} needs the ProxyCommand of the configuration of ssh, which only "
            'the transport "openssh" has',
            temporary=False,
        )
    keys = list(found.get("identityfile", ()))
    certificates = list(found.get("certificatefile", ()))
    jump = found.get("proxyjump", "none")
    return msgspec.structs.replace(
        login,
        host=found.get("hostname", login.host),
        port=login.port or int(found.get("port", DEFAULT_PORT)),
        user=login.user or found.get("user", getpass.getuser()),
        key_file=login.key_file or (Path(keys[0]) if keys else None),
        certificate_file=login.certificate_file
        or (Path(certificates[0]) if certificates else None),
        jump=login.jump or (() if jump == "none" else tuple(jump.split(","))),
        ssh_config=None,
    )
