"""Plain WsgiDAV on cheroot with one folder: the control that must fail the fault checks.

It is set up as WsgiDAV's own command does it: 50 threads, locks and properties in memory.
"""

import sys
from pathlib import Path
from typing import Any

from tests.servers.authority import Authority
from tests.servers.daemon import Daemon, free_port, main
from tests.servers.target import Target


def launch(
    directory: Path, *, user: str = "", password: str = "", authority: Authority | None = None
) -> Daemon:
    """Start WsgiDAV over `directory`/files."""
    root = directory / "files"
    root.mkdir(exist_ok=True)
    port = free_port()
    target = Target(
        url=f"{'https' if authority else 'http'}://127.0.0.1:{port}/",
        user=user,
        password=password,
        root=root,
        ca=authority.ca if authority else None,
    )
    tls = (str(authority.certificate), str(authority.key)) if authority else ()
    argv = (sys.executable, "-m", __spec__.name, "run", str(root), str(port), user, password, *tls)
    return Daemon(directory, argv, target).start()


def _run(root: str, port: str, user: str, password: str, *tls: str) -> None:
    from cheroot.ssl.builtin import BuiltinSSLAdapter
    from cheroot.wsgi import Server
    from wsgidav.fs_dav_provider import FilesystemProvider
    from wsgidav.wsgidav_app import WsgiDAVApp

    users: dict[str, Any] | bool = {user: {"password": password}} if user else True
    application = WsgiDAVApp(
        {
            "provider_mapping": {"/": FilesystemProvider(root)},
            "simple_dc": {"user_mapping": {"*": users}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False},
            "lock_storage": True,
            "property_manager": True,
            "logging": {"enable": False},
            "verbose": 1,
        }
    )
    server = Server(("127.0.0.1", int(port)), application, numthreads=50)
    if tls:
        server.ssl_adapter = BuiltinSSLAdapter(*tls)
    server.safe_start()


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        _run(*sys.argv[2:])
    else:
        main(launch)
