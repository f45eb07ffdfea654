"""Headgate itself, started the way an operator starts it: `headgate serve --config FILE`."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.authority import Authority
from tests.servers.daemon import Daemon, free_port, main
from tests.servers.target import Target

LOCAL = "local"
MEMORY = "memory"
CACHED = "cached"


def launch(
    directory: Path,
    *,
    mounts: Mapping[str, Mapping[str, object]] | None = None,
    state: Path | None = None,
    authority: Authority | None = None,
    trusted_proxies: Sequence[str] = (),
    public_url: str = "",
    more: str = "",
    environment: Mapping[str, str] | None = None,
    workers: int = 1,
    engine: str = "loop",
) -> Daemon:
    """Start Headgate with its state in `directory`, or in `state`, which others may share.

    `mounts` maps a name to the keys of its table; without it there is one mount "memory", one
    "local" over `directory`/files, and one "cached" in memory, read through the cache; of several
    `workers` "local" alone, which is no memory of one. A mount is `daemon.target.beneath(name)`.
    `more` are further tables; in them URL stands for where the gateway listens.
    """
    root = directory / "files"
    root.mkdir(exist_ok=True)
    if mounts is None:
        mounts = {LOCAL: {"provider": "local", "root": str(root)}}
        if workers == 1:
            mounts |= {
                MEMORY: {"provider": "memory"},
                CACHED: {"provider": "memory", "cache": "read"},
            }
    address = f"127.0.0.1:{free_port()}"
    server: dict[str, object] = {
        "listen": address,
        "state_dir": str(state or directory / "state"),
        "cache_dir": str(directory / "cache"),
        "workers": workers,
        "engine": engine,
    }
    if authority:
        server |= {"tls_cert": str(authority.certificate), "tls_key": str(authority.key)}
    if trusted_proxies:
        server["trusted_proxies"] = list(trusted_proxies)
    if public_url:
        server["public_url"] = public_url
    tables = {"server": server} | {f'mounts."/{name}"': table for name, table in mounts.items()}
    target = Target(
        url=f"{'https' if authority else 'http'}://{address}/",
        ca=authority.ca if authority else None,
    )
    texts = [_table(name, keys) for name, keys in tables.items()]
    config = directory / "headgate.toml"
    config.write_text("\n".join([*texts, more.replace("URL", target.url.rstrip("/"))]))
    argv = (sys.executable, "-m", "vfs.cli", "serve", "--config", str(config))
    return Daemon(directory, argv, target, environment=environment).start()


def _table(name: str, keys: Mapping[str, object]) -> str:
    # JSON spells strings, numbers, booleans and lists of them as TOML does.
    lines = (f"{key} = {json.dumps(value)}" for key, value in keys.items())
    return "\n".join((f"[{name}]", *lines, ""))


if __name__ == "__main__":
    main(launch)
