"""nginx as a proxy that ends TLS in front of a gateway and tells it so in forwarded headers."""

from pathlib import Path

from tests.servers.authority import Authority
from tests.servers.daemon import Daemon, free_port
from tests.servers.programs import find
from tests.servers.target import Target

_CONFIG = """
daemon off;
worker_processes 1;
error_log {directory}/log;
pid {directory}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
{server}
}}
"""
_SERVER = """
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    client_max_body_size 0;
    location / {{
      proxy_pass {upstream};
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Host $http_host;
      {headers}
    }}
  }}
"""


_FORWARDED = """
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header X-Forwarded-Host $http_host;
"""


def launch(
    directory: Path,
    upstream: Target,
    authority: Authority,
    *,
    port: int = 0,
    forwarded: bool = True,
    server: str = "",
) -> Daemon:
    """Start nginx in front of `upstream`; its target is the same collection, over https.

    Without `forwarded` it does not say that there was TLS. `server` is another server block.
    """
    port = port or free_port()
    origin = f"http://{upstream.host}:{upstream.port}"
    config = directory / "nginx.conf"
    server = server or _SERVER.format(
        port=port,
        certificate=authority.certificate,
        key=authority.key,
        upstream=origin,
        headers=_FORWARDED if forwarded else "",
    )
    config.write_text(_CONFIG.format(directory=directory, server=server))
    target = Target(
        url=upstream.url.replace(origin, f"https://127.0.0.1:{port}"),
        user=upstream.user,
        password=upstream.password,
        root=upstream.root,
        ca=authority.ca,
    )
    return Daemon(directory, (find("nginx"), "-c", str(config)), target).start()
