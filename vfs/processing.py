"""Processing: what makes derived files, put together from the configuration."""

import contextlib
import logging
import os
import threading
from pathlib import Path

from cache.budget import Limits as Room
from cache.memo import MemoKeeper
from cache.results import Results
from processors.grammar.catalogue import Catalogue
from processors.making.maker import Maker
from processors.work.pool import Pool, PoolSettings
from providers import linux
from vfs.config import Config
from vfs.provenance_log import ProvenanceLog
from vfs.state.base import StateStore
from vfs.template_config import ProcessingConfig
from vfs.toml_file import ConfigError
from vfs.tree.derived import DerivedProvider
from vfs.tree.mounts import Mount, MountTable, Replica
from vfs.tree.steps import Steps

_log = logging.getLogger(__name__)

FIND = "processors.registry:find"
_MEMO_PART = 10
"""The memo may take this part of what results may."""
_DAY_SECONDS = 86_400


class Processing:
    """The maker of a gateway with its workers and its results. All attributes are fixed.

    `processes` serve, each with a part of the workers. No worker is started before `warm`, or the
    first file that is made.
    """

    def __init__(self, config: Config, state: StateStore, *, processes: int = 1) -> None:
        settings = config.processing
        assert settings is not None
        self.settings = settings
        folder = config.server.cache_dir
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._results = Results(folder, _room(config, settings))
        except OSError as error:
            raise ConfigError(
                f"server.cache_dir '{folder}' cannot be used, and derived files need it:"
                f" {error.strerror}; make it writable or name another"
            ) from error
        self._is_local = _is_local(folder)
        self._memo = MemoKeeper(folder, _part_of(_room(config, settings)))
        days = settings.provenance_days
        self._provenance = ProvenanceLog(
            state,
            most=settings.provenance_max,
            older_than_seconds=None if days is None else days * _DAY_SECONDS,
        )
        self.pool = Pool(_pool(settings, config, processes))
        self.maker = Maker(
            self._results,
            self.pool,
            limits=settings.limits,
            record=self._provenance.record,
            recall=self._provenance.find,
        )

    def mount(self, config: Config, sources: MountTable) -> Mount:
        """Return the mount that serves the templates of `config`, from files of `sources`."""
        settings = self.settings
        provider = DerivedProvider(
            Catalogue(config.templates),
            self.maker,
            Steps(sources),
            mount=settings.prefix,
            limits=settings.limits,
            prompt=self._is_local,
        )
        # Its sources have breakers of their own, and computing may take its time.
        return Mount(settings.prefix, [Replica(provider, is_guarded=True)])

    def warm(self) -> None:
        """Start a first worker, in the background: the first reader need not wait for imports."""
        threading.Thread(target=self._warm, name="warm", daemon=True).start()

    def _warm(self) -> None:
        try:
            self.pool.warm()
        except Exception as error:  # noqa: BLE001 - it is tried again at the first file
            _log.warning("no worker could be started for derived files: %s", repr(error))

    def close(self) -> None:
        """End what is computed, and close the results."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._provenance.close)
            stack.callback(self._results.close)
            stack.callback(self._memo.close)
            stack.callback(self.maker.close)


def _is_local(folder: Path) -> bool:
    """Tell whether a folder lies on a disk of this machine."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return linux.is_local(descriptor)
    finally:
        os.close(descriptor)


def _pool(settings: ProcessingConfig, config: Config, processes: int) -> PoolSettings:
    run = {step.name for template in config.templates.values() for step in template.chain}
    return PoolSettings(
        find=FIND,
        preload=tuple(sorted(run)),
        # Each process that serves has a pool of its own.
        workers=max(1, settings.worker_count // processes),
        queue=settings.queue,
        per_user=settings.per_user,
        memo=config.server.cache_dir,
        memory_bytes=settings.limits.memory_bytes,
    )


def _room(config: Config, settings: ProcessingConfig) -> Room:
    age = config.cache.max_age_days
    return Room(
        max_bytes=settings.size_bytes,
        max_age_seconds=None if age is None else age * _DAY_SECONDS,
        free_bytes=config.cache.free_bytes,
    )


def _part_of(room: Room) -> Room:
    return Room(
        max_bytes=room.max_bytes // _MEMO_PART,
        max_age_seconds=room.max_age_seconds,
        free_bytes=room.free_bytes,
    )
