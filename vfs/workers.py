"""Workers: how many processes serve, and which stores forbid more than one."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

from providers import registry
from vfs.config import Config
from vfs.toml_file import ConfigError

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Return how many processors this process may use, also within a container's share."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _CPU_MAX.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))


def count(config: Config, asked: int | None = None) -> int:
    """Return how many processes are to serve; the command line may have asked for a number."""
    return 1 if any(_bound_to_one(config)) else _wanted(config, asked)


def why_one(config: Config, asked: int | None = None) -> str:
    """Return why one process serves where more were wanted, "" where that is not so."""
    path = next(_bound_to_one(config), None)
    wanted = _wanted(config, asked)
    if path is None or wanted == 1:
        return ""
    return f"one process serves, not {wanted}: what mount {path} holds lives in its memory"


def check_several(config: Config) -> None:
    """Raise ConfigError when a configuration cannot be served by several processes."""
    path = next(_bound_to_one(config), None)
    if path is not None:
        raise ConfigError(
            f"{config.file}: mount {path} needs a gateway of one process, since what it holds lives"
            " in memory, and several are running; restart the gateway"
        )


def _wanted(config: Config, asked: int | None) -> int:
    return asked or config.server.workers or cores()


def _bound_to_one(config: Config) -> Iterator[str]:
    """Yield the paths of mounts that one process alone can serve. Raises nothing."""
    for mount in config.mounts:
        for store in mount.stores:
            try:
                if registry.find(store.provider).one_process:
                    yield mount.path
            except registry.RegistryError:
                continue  # whoever makes the store says it better
