"""App: the composition root, the only place that builds concrete objects."""

import ipaddress
import logging
import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from cache.errors import JournalError
from providers import registry
from providers.base import Provider
from providers.linux import steady_heap
from vfs.auth.rights import Rights
from vfs.auth.shares import Shares
from vfs.auth.stored_secrets import StoredSecrets
from vfs.auth.vault import Vault, VaultError
from vfs.binding import bind, stamps, vault_of
from vfs.cache_config import CacheMode
from vfs.config import Config, MountConfig, ServerConfig, StoreConfig
from vfs.dav.door import handlers, prompt_rules
from vfs.dav.parts import Parts
from vfs.dav.sweeper import Sweeper
from vfs.entrance import Entrance
from vfs.http.gate import Gate
from vfs.http.job_page import JOBS_NAME, JobPage
from vfs.http.listeners import listeners, why_not_bound
from vfs.http.promptness import Promptness
from vfs.http.server import Server
from vfs.http.sharing import SHARES_NAME, Sharing
from vfs.jobs import Jobs
from vfs.processing import Processing
from vfs.state.errors import StateError
from vfs.state.follower import Follower
from vfs.state.sqlite import STATE_FILE, SqliteStore
from vfs.store_cache import StoreCache, cache_name, is_cached
from vfs.toml_file import ConfigError, TomlFile
from vfs.tree.health import Breaker
from vfs.tree.mounts import Mount, MountTable, Replica
from vfs.tree.tree import Tree
from vfs.write_back import open_journal, write_back

# A writer may have made its temporary and not yet marked it as its own.
_TEMPORARY_SECONDS = 60.0

_log = logging.getLogger(__name__)

UPLOADS_FOLDER = "uploads"
SWEEP_LOCK = "sweep.lock"


class _Store(msgspec.Struct, frozen=True):
    """A replica in use and what it was made from."""

    replica: Replica
    made_from: tuple[object, ...]


class App:
    """One gateway: its tree and its server.

    `config` and `_stores` are replaced by `reload`, which one thread at a time may call, and which
    makes `_cache` and `_processing` when something first wants them; all else is fixed. Without a
    file behind it the state lies in `folder`, if that is given. So many `processes` serve, this one
    counted. Raises ConfigError when a part cannot be made as configured.
    """

    def __init__(self, config: Config, *, folder: Path | None = None, processes: int = 1) -> None:
        self.config = config
        self._processes = processes
        self._stores: dict[tuple[str, int], _Store] = {}
        self._cache: StoreCache | None = None
        self._processing: Processing | None = None
        self.server: Server
        server = config.server
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        folder = self._state_folder = folder or self._make_state_folder(config)
        self.state = self._open_state(config, folder)
        try:
            vault = self._vault(config, folder)
            self._secrets = StoredSecrets(self.state, vault)
            table, stores = self._build(config)
        except BaseException:
            self._forget()
            raise
        self.tree = Tree(table, Rights(config.grants()))
        self._stores = stores
        self._jobs = Jobs(self.tree, self.state)
        parts = Parts(self.state, folder / UPLOADS_FOLDER)
        self._sweeper = Sweeper(parts, folder / SWEEP_LOCK, self._sweep_stores)
        self.tree.events.follow(Follower(self.state, self.tree.exists).follow)
        try:
            self.entrance = self._enter(config, folder, vault)
        except BaseException:
            self._close_stores()
            self._forget()
            raise
        shares = Shares(self.state, lambda: self.tree.rights, lambda: self.entrance.tokens)
        self.gate = Gate(
            handlers(self.tree, self.state, parts, self._jobs),
            pages={SHARES_NAME: Sharing(shares).handle, JOBS_NAME: JobPage(self._jobs).handle},
            authenticate=self.entrance.authenticate,
            challenges=self.entrance.challenges,
            quota=self.entrance.quota,
            ended=self.entrance.ended,
            trusted_proxies=[ipaddress.ip_network(network) for network in server.trusted_proxies],
            public_url=server.public_url or "",
            prompt=Promptness(prompt_rules(self.tree, self.state)),
        )
        try:
            self.server = Server(
                self.gate,
                host=server.listen.host,
                port=server.listen.port,
                tls_cert=server.tls_cert,
                tls_key=server.tls_key,
                engine=server.engine,
            )
        except (ssl.SSLError, OSError) as error:
            self.close()
            reason = getattr(error, "reason", None) or error.strerror or str(error)
            raise _error(
                config,
                ("server", "tls_cert"),
                f"server.tls_cert and server.tls_key are no matching pair in PEM form: {reason}",
            ) from error

    @property
    def is_open(self) -> bool:
        """Tell whether everything is allowed: there is no account and no rule."""
        return self.entrance.is_open and not self.config.rules

    def stop(self) -> None:
        """Say that no more requests are wanted, let running ones end, then return."""
        self.gate.stopping = True
        self.server.stop()

    def bind(
        self, listener: socket.socket | None = None, *, tells: bool = True, walks: bool = True
    ) -> None:
        """Take the port, or a socket that has it.

        `tells` says that this is the start of the gateway, not of one more process of it; `walks`
        that dead writers may have left something in the stores. Raises ConfigError with the cause
        and the way out when the port is not free.
        """
        steady_heap()
        try:
            self.server.bind(listener)
        except OSError as error:
            raise _not_bound(self.config, error) from error
        self._sweeper.start(walks=walks)
        if self._processing is not None and self.config.templates:
            self._processing.warm()
        if not tells:
            return
        if not self.entrance.is_open and _is_readable_on_the_way(self.config.server):
            _log.warning(
                "passwords and tokens travel in clear: the gateway listens on %s without TLS;"
                " set server.tls_cert and server.tls_key, or listen on 127.0.0.1 behind a proxy",
                self.config.server.listen,
            )
        self.entrance.note("gateway started", listen=str(self.config.server.listen))

    def reload(self, config: Config, *, tells: bool = True) -> str:
        """Put another configuration in force and return what to tell about it.

        `tells` says that the audit log is to have it, which one process of several does.

        A store whose configuration is the same stays as it is. One that was dropped is closed
        after its last use. Raises ConfigError and changes nothing when a part cannot be made.
        """
        if not config.rules and not self.config.server.listen.is_loopback:
            raise ConfigError(
                f"{config.file}: without [[rules]] the configuration would let everybody in, since"
                f" the gateway listens on {self.config.server.listen}; keep the rules, or restart"
            )
        follow = self.entrance.prepare(config)
        table, stores = self._build(config)
        before = {store.replica for store in self._stores.values()}
        follow()
        self.tree.remount(table, Rights(config.grants(), closed=not self.entrance.is_open))
        old, self.config, self._stores = self.config, config, stores
        for replica in before - {store.replica for store in stores.values()}:
            _retire(replica)
        fixed = [
            f"{section}.{name}"
            for section in ("server", "cache", "processing")
            if getattr(old, section) is not None and getattr(config, section) is not None
            for name in getattr(old, section).__struct_fields__
            if getattr(getattr(old, section), name) != getattr(getattr(config, section), name)
        ]
        self.config = in_force(old, config)
        if self._processing is not None and config.processing is not None:
            self.config = msgspec.structs.replace(self.config, processing=self._processing.settings)
        if tells:
            self.entrance.note("configuration reloaded")
        told = f"the new configuration is in force: {len(config.mounts)} mounts"
        return f"{told}; only a restart changes {', '.join(fixed)}" if fixed else told

    def close(self) -> None:
        """Close every store, each after its last use, and what the gateway remembers."""
        self._sweeper.close()
        self._jobs.close()
        self._close_stores()
        self.entrance.close()
        self._forget()

    def _sweep_stores(self, is_stopped: Callable[[], bool]) -> None:
        """Remove the temporaries of writers that a kill or a cut has ended."""
        for (path, _), store in list(self._stores.items()):
            if is_stopped():
                return
            replica = store.replica
            try:
                removed = replica.call(
                    path, replica.provider.sweep, older_than_seconds=_TEMPORARY_SECONDS
                )
            except Exception as error:  # noqa: BLE001 - a store that cannot be swept now is served all the same
                _log.info("mount %s could not be swept: %s", path, error)
                continue
            if removed:
                _log.info("mount %s: %d temporaries of dead writers were removed", path, removed)

    def _close_stores(self) -> None:
        stores, self._stores = self._stores, {}
        for store in stores.values():
            _retire(store.replica)

    def _forget(self) -> None:
        if self._processing is not None:
            self._processing.close()
        self.state.close()
        if self._cache is not None:
            self._cache.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _make_state_folder(self, config: Config) -> Path:
        """Return where state lies; without a file it lives as long as the process."""
        if config.file is not None:
            return config.server.state_dir
        self._folder = tempfile.TemporaryDirectory(prefix="headgate-state-")
        return Path(self._folder.name)

    def _open_state(self, config: Config, folder: Path) -> SqliteStore:
        """Open what the gateway must remember."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            store = SqliteStore(folder / STATE_FILE)
            store.health()
        except (OSError, StateError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            text = (
                f"server.state_dir '{folder}' cannot be used: {reason};"
                " make it writable or name another"
            )
            raise _error(config, ("server", "state_dir"), text) from error
        return store

    def _vault(self, config: Config, folder: Path) -> Vault:
        try:
            return vault_of(config, folder)
        except VaultError as error:
            raise _error(config, ("auth", "master_key_file"), f"auth: {error}") from error

    def _enter(self, config: Config, folder: Path, vault: Vault) -> Entrance:
        """Put together who may come in."""
        try:
            return Entrance(
                config, folder=folder, store=self.state, vault=vault, close=self._close_to_strangers
            )
        except StateError as error:
            raise _error(config, ("server", "state_dir"), f"server.state_dir: {error}") from error

    def _close_to_strangers(self) -> None:
        """Let rules alone decide from now on: there is an account."""
        self.tree.regulate(Rights(self.config.grants(), closed=True))

    def _build(self, config: Config) -> tuple[MountTable, dict[tuple[str, int], _Store]]:
        stores: dict[tuple[str, int], _Store] = {}
        mounts = []
        try:
            for mount in bind(config, self._secrets).mounts:
                replicas = []
                for place, store in enumerate(mount.stores):
                    key = (mount.path, place)
                    stores[key] = self._store(config, mount, place, store)
                    replicas.append(stores[key].replica)
                mounts.append(Mount(mount.path, replicas, read_only=mount.read_only))
            table = MountTable(mounts)
            if config.processing is not None:
                if self._processing is None:
                    self._processing = Processing(config, self.state, processes=self._processes)
                table = MountTable([*mounts, self._processing.mount(config, table)])
        except BaseException:
            for key, made in stores.items():
                if self._stores.get(key) is not made:
                    _retire(made.replica)
            raise
        return table, stores

    def _store(self, config: Config, mount: MountConfig, place: int, store: StoreConfig) -> _Store:
        key = (mount.path, place)
        is_last = place == len(mount.stores) - 1
        # Changes go to the first store alone.
        writes_back = mount.cache is CacheMode.WRITE and not place
        try:
            cached_as = (is_last,) if is_cached(mount, store) else ()
            made_from = (
                store.provider,
                store.options,
                stamps(store),
                cached_as,
                writes_back,
            )
            there = self._stores.get(key)
            if there is not None and there.made_from == made_from:
                return there
            provider = registry.make(store.provider, store.options)
        except registry.RegistryError as error:
            raise _error(config, ("mounts", key[0]), f"mount {key[0]}: {error}") from error
        replica = Replica(provider)
        if cached_as:
            replica = self._cached(mount, store, provider, is_last=is_last)
        if writes_back:
            replica = self._write_back(config, mount.path, replica)
        return _Store(replica, made_from)

    def _cached(
        self, mount: MountConfig, store: StoreConfig, provider: Provider, *, is_last: bool
    ) -> Replica:
        if self._cache is None:
            self._cache = StoreCache(self.config)
        breaker = Breaker()
        name = cache_name(mount, store)
        cached = self._cache.wrap(provider, name, guard=breaker, is_last=is_last)
        return Replica(cached, breaker, is_guarded=True)

    def _write_back(self, config: Config, path: str, origin: Replica) -> Replica:
        try:
            # The folder of the start: a reload does not move it.
            journal = open_journal(self._state_folder, path, config.cache)
        except JournalError as error:
            _retire(origin)
            raise _error(
                config,
                ("server", "state_dir"),
                f"mount {path}: its pending writes cannot be opened: {error}",
            ) from error
        return write_back(origin, journal)


def _retire(replica: Replica) -> None:
    try:
        replica.retire()
    except Exception:  # noqa: BLE001 - one that fails to close must not keep the others open
        _log.exception("a store could not be closed")


def in_force(old: Config, fresh: Config) -> Config:
    """Return what holds after a reload: some sections go on as the gateway was started.

    So does what later reloads compare with.
    """
    return msgspec.structs.replace(fresh, server=old.server, cache=old.cache)


def bound(config: Config, count: int) -> list[socket.socket]:
    """Return `count` sockets that are bound where the configuration says; ConfigError."""
    address = config.server.listen
    try:
        return listeners(address.host, address.port, count)
    except OSError as error:
        raise _not_bound(config, error) from error


def _not_bound(config: Config, error: OSError) -> ConfigError:
    listen = config.server.listen
    return _error(config, ("server", "listen"), f"{listen}: {why_not_bound(error)}")


def _error(config: Config, key: tuple[str, ...], text: str) -> ConfigError:
    if config.file is None:
        return ConfigError(f"headgate: {text}")
    return TomlFile(config.file).error(key, text)


def _is_readable_on_the_way(server: ServerConfig) -> bool:
    """Tell whether others on the network can read what clients send."""
    return not (server.tls_cert or server.trusted_proxies or server.listen.is_loopback)
