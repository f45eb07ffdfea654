"""The servers that are compared: Headgate and its peers, over one folder, set up to be fast."""

import contextlib
import grp
import os
import pwd
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests import planted
from tests.servers import headgate
from tests.servers.authority import Authority
from tests.servers.daemon import Daemon, StartFailed, free_port
from tests.servers.programs import Missing, find
from tests.servers.target import Target
from vfs.auth.passwords import hash_password
from vfs.workers import cores

OURS = "headgate"
USER = "bench"

_APACHE_MODULES = Path("/usr/lib/apache2/modules")
_DAV_EXT = "/usr/lib/nginx/modules/ngx_http_dav_ext_module.so"
_APACHE = """
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
EnableSendfile On
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
{ssl}
<Directory {root}>
  Dav On
  DavDepthInfinity Off
  {access}
</Directory>
"""
_NGINX = """
load_module {dav_ext};
daemon off;
user {user};
worker_processes auto;
error_log {directory}/log;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush off;
  tcp_nodelay on;
  keepalive_timeout 60;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path {root}/.nginx-body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  dav_ext_lock_zone zone=locks:10m;
  server {{
    listen 127.0.0.1:{port}{ssl};
    root {root};
    dav_methods PUT DELETE MKCOL COPY MOVE;
    dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK;
    dav_ext_lock zone=locks;
    create_full_put_path on;
    {access}
  }}
}}
"""


class Setting:
    """Where the servers find all they need; `password` and `authority` are None without."""

    def __init__(
        self, root: Path, folder: Path, *, password: str | None, authority: Authority | None
    ) -> None:
        self.root = root
        self.folder = folder
        self.password = password
        self.authority = authority
        self.accounts = folder / "htpasswd"
        if password is not None:
            done = subprocess.run(
                [find("openssl"), "passwd", "-apr1", "-stdin"],
                input=password,
                capture_output=True,
                text=True,
                check=True,
            )
            self.accounts.write_text(f"{USER}:{done.stdout.strip()}\n")

    def directory(self, name: str) -> Path:
        """Return a folder for one server that every account may write to."""
        made = self.folder / name
        made.mkdir()
        made.chmod(0o777)
        return made

    def target(self, port: int) -> Target:
        """Return the target of a server on a port."""
        return Target(
            url=f"{'https' if self.authority else 'http'}://127.0.0.1:{port}/",
            user=USER if self.password else "",
            password=self.password or "",
            root=self.root,
            ca=self.authority.ca if self.authority else None,
        )


def _headgate(setting: Setting, name: str, workers: int) -> Daemon:
    more = ""
    if setting.password is not None:
        more = (
            f'[users.{USER}]\npassword_hash = "{hash_password(setting.password)}"\n'
            f'[[rules]]\npath = "/"\nwho = ["user:{USER}"]\n'
            'rights = ["list", "read", "create", "modify", "delete", "lock"]\n'
        )
    daemon = headgate.launch(
        setting.directory(name),
        mounts={"": {"provider": "local", "root": str(setting.root)}},
        authority=setting.authority,
        more=more,
        workers=workers,
    )
    daemon.target = setting.target(daemon.target.port)
    return daemon


def _apache(setting: Setting, name: str) -> Daemon:
    directory, port = setting.directory(name), free_port()
    modules = "mpm_event authn_core authz_core dav dav_fs"
    access = "Require all granted"
    if setting.password is not None:
        modules += " auth_basic authn_file authz_user"
        access = (
            f"AuthType Basic\nAuthName bench\nAuthUserFile {setting.accounts}\nRequire valid-user"
        )
    ssl = ""
    if setting.authority is not None:
        modules += " ssl"
        ssl = (
            f"SSLEngine On\nSSLCertificateFile {setting.authority.certificate}\n"
            f"SSLCertificateKeyFile {setting.authority.key}\nSSLSessionCache none"
        )
    account = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    config = directory / "apache.conf"
    config.write_text(
        _APACHE.format(
            load="\n".join(
                f"LoadModule {module}_module {_APACHE_MODULES}/mod_{module}.so"
                for module in modules.split()
            ),
            port=port,
            directory=directory,
            root=setting.root,
            user=account.pw_name,
            group=grp.getgrgid(account.pw_gid).gr_name,
            access=access,
            ssl=ssl,
        )
    )
    argv = (find("apache2"), "-f", str(config), "-DFOREGROUND")
    return Daemon(directory, argv, setting.target(port)).start()


def _nginx(setting: Setting, name: str) -> Daemon:
    directory, port = setting.directory(name), free_port()
    access, ssl = "", ""
    if setting.password is not None:
        access = f"auth_basic bench; auth_basic_user_file {setting.accounts};"
    if setting.authority is not None:
        ssl = " ssl"
        access += f"ssl_certificate {setting.authority.certificate};"
        access += f"ssl_certificate_key {setting.authority.key};"
    config = directory / "nginx.conf"
    config.write_text(
        _NGINX.format(
            dav_ext=find(_DAV_EXT),
            directory=directory,
            root=setting.root,
            user=pwd.getpwuid(os.getuid()).pw_name,
            port=port,
            ssl=ssl,
            access=access,
        )
    )
    argv = (find("nginx"), "-c", str(config), "-e", str(directory / "log"))
    return Daemon(directory, argv, setting.target(port)).start()


def _rclone(setting: Setting, name: str, *flags: str) -> Daemon:
    directory, port = setting.directory(name), free_port()
    argv = [find("rclone"), "serve", "webdav", str(setting.root), "--addr", f"127.0.0.1:{port}"]
    argv += ["--config", "/dev/null", *flags]
    if setting.password is not None:
        argv += ["--user", USER, "--pass", setting.password]
    if setting.authority is not None:
        argv += ["--cert", str(setting.authority.certificate)]
        argv += ["--key", str(setting.authority.key)]
    return Daemon(directory, argv, setting.target(port)).start()


LAUNCH: Mapping[str, Callable[[Setting, str], Daemon]] = {
    OURS: lambda setting, name: _headgate(setting, name, cores()),
    "headgate-1": lambda setting, name: _headgate(setting, name, 1),
    "rclone": _rclone,
    "rclone-tuned": lambda setting, name: _rclone(
        setting, name, "--no-checksum", "--buffer-size", "0", "--ignore-checksum"
    ),
    "apache": _apache,
    "nginx": _nginx,
}
"""Our own with a worker for each core, and with one; and the peers."""


@contextlib.contextmanager
def running(names: list[str], setting: Setting) -> Iterator[tuple[dict[str, Daemon], list[str]]]:
    """Start servers for a `with` block; those that are not on this machine are told instead."""
    missing = []
    if setting.password is not None:
        planted.add(setting.password)
    with contextlib.ExitStack() as stack:
        daemons = {}
        for name in names:
            try:
                daemons[name] = stack.enter_context(LAUNCH[name](setting, name))
            except (Missing, StartFailed) as error:
                missing.append(f"{name} is left out: {error}")
        yield daemons, missing
