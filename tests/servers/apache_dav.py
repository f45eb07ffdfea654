"""Apache with mod_dav over one folder: a foreign server that tells our fault from a client's."""

import grp
import pwd
from pathlib import Path

from tests.servers.daemon import Daemon, free_port, main
from tests.servers.programs import find
from tests.servers.target import Target

_MODULES = "mpm_event authn_core authz_core dav dav_fs"
_CONFIG = """
{load}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {directory}/apache.pid
ErrorLog {directory}/log
DefaultRuntimeDir {directory}
DocumentRoot {root}
DavLockDB {directory}/locks
User {user}
Group {group}
<Directory {root}>
  Dav On
  Require all granted
</Directory>
"""


def launch(directory: Path) -> Daemon:
    """Start Apache over `directory`/files; its workers run as the owner of the folder or nobody."""
    root = directory / "files"
    root.mkdir(exist_ok=True)
    owner = root.stat().st_uid
    # Apache refuses to serve as root.
    account = pwd.getpwnam("nobody") if owner == 0 else pwd.getpwuid(owner)
    if owner == 0:
        for folder in (directory, root):
            folder.chmod(0o777)
    port = free_port()
    modules = Path("/usr/lib/apache2/modules")
    load = "\n".join(f"LoadModule {m}_module {modules}/mod_{m}.so" for m in _MODULES.split())
    config = directory / "apache.conf"
    config.write_text(
        _CONFIG.format(
            load=load,
            port=port,
            directory=directory,
            root=root,
            user=account.pw_name,
            group=grp.getgrgid(account.pw_gid).gr_name,
        )
    )
    argv = (find("apache2"), "-f", str(config), "-DFOREGROUND")
    return Daemon(directory, argv, Target(url=f"http://127.0.0.1:{port}/", root=root)).start()


if __name__ == "__main__":
    main(launch)
