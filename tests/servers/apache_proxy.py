"""Apache as a proxy that ends TLS, with a virtual host that is given."""

import dataclasses
from pathlib import Path

from tests.servers.authority import Authority
from tests.servers.daemon import Daemon
from tests.servers.programs import find
from tests.servers.target import Target

_MODULES = "mpm_event authz_core headers proxy proxy_http ssl"
_CONFIG = """
{load}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {directory}/apache.pid
ErrorLog {directory}/log
DefaultRuntimeDir {directory}
User nobody
Group nogroup
{host}
"""


def launch(
    directory: Path, upstream: Target, authority: Authority, *, port: int, host: str
) -> Daemon:
    """Start Apache in front of `upstream`; its target is the same collection, over https."""
    modules = Path("/usr/lib/apache2/modules")
    load = "\n".join(f"LoadModule {m}_module {modules}/mod_{m}.so" for m in _MODULES.split())
    config = directory / "apache.conf"
    config.write_text(_CONFIG.format(load=load, port=port, directory=directory, host=host))
    outer = upstream.url.replace(
        f"http://{upstream.host}:{upstream.port}", f"https://127.0.0.1:{port}"
    )
    target = dataclasses.replace(upstream, url=outer, ca=authority.ca)
    return Daemon(directory, (find("apache2"), "-f", str(config), "-DFOREGROUND"), target).start()
