"""The configuration: one TOML file read into frozen structs.

A field's docstring is its documentation; docs/reference/config.md is printed from here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from processors.grammar.template import Template
from providers import registry
from providers.base import Options
from providers.errors import InvalidPath
from vfs.account_config import read_issuers, read_users
from vfs.address import Address, Network, Url
from vfs.auth.right import Right
from vfs.auth.rights import Rule
from vfs.auth.settings import AuditConfig, AuthConfig, LimitsConfig, OidcConfig, UserConfig
from vfs.cache_config import CacheConfig, CacheMode
from vfs.section import Section
from vfs.template_config import ProcessingConfig, read_processing, read_templates
from vfs.toml_file import TomlFile, dotted, header
from vfs.toml_lines import Key
from vfs.toml_table import (
    nearest,
    read_table,
    read_value,
    require_readable,
    table_at,
    tables_at,
)
from vfs.tree import paths

WORKERS_MAX = 256
"""Processes that may serve one gateway."""

StoreT = TypeVar("StoreT", bound="StoreConfig")


class ServerConfig(Section, frozen=True, kw_only=True):
    """Where the gateway listens and where it keeps what it must remember."""

    listen: Address = Address("127.0.0.1:8080")
    """Host and port. Without any rule only an address of this machine alone is allowed."""
    state_dir: Path = Path("state")
    """Folder for what must not be lost; made when it is missing."""
    cache_dir: Path = Path("cache")
    """Folder for what may be deleted at any time; made when it is missing."""
    public_url: Url | None = None
    """The URL that clients use, if a proxy stands before; the default follows from `listen`."""
    tls_cert: Path | None = None
    """File with the certificate chain in PEM form; needs `tls_key`."""
    tls_key: Path | None = None
    """File with the private key in PEM form; needs `tls_cert`."""
    trusted_proxies: tuple[Network, ...] = ()
    """Networks of the proxies whose forwarded headers count; nobody's by default."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=WORKERS_MAX)] | None = None
    """Processes that serve; the default is one for each processor. A `memory` mount forces one."""
    engine: Literal["loop", "cheroot"] = "loop"
    """What keeps connections: the gateway's own loop, or, should that fail you, the server cheroot.
    There every connection that waits holds one of 48 threads, so slow clients hinder others."""


class LogConfig(Section, frozen=True, kw_only=True):
    """What is logged, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is logged."""
    format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON object a line."""


class StoreConfig(Section, frozen=True, kw_only=True):
    """One store: a provider with its options, which stand beside it in the same table."""

    provider: str
    """The kind of store."""
    options: Options
    """The options of that kind of store; each is a key of this same table."""


class MountConfig(StoreConfig, frozen=True, kw_only=True):
    """A store at a path of the namespace. The table's name is the path."""

    path: str
    """The path, as in the table's name."""
    read_only: bool = False
    """Refuse every change through this mount."""
    cache: CacheMode | None = None
    """"read" remembers entries and bytes in `cache_dir`; the default is that for remote stores.
    "write" also accepts writes into `server.state_dir` and uploads them afterwards."""
    replicas: tuple[StoreConfig, ...] = ()
    """More stores with the same files, tried in order for reads while those before are down."""

    @property
    def stores(self) -> tuple[StoreConfig, ...]:
        """The store of the mount itself, then its replicas."""
        return (StoreConfig(provider=self.provider, options=self.options), *self.replicas)


class RuleConfig(Section, frozen=True, kw_only=True):
    """Who may do what at a path and everything beneath. Rules only grant."""

    path: str
    """A path of the namespace."""
    who: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """"user:NAME", "group:NAME", "authenticated", "anyone", or "scope": what a token says."""
    rights: Annotated[tuple[Right, ...], msgspec.Meta(min_length=1)]
    """What they may do. `list` shows names and properties, `read` gives bytes."""


class Config(Section, frozen=True, kw_only=True):
    """A whole configuration. `file` is None when no file was read."""

    file: Path | None = None
    """The file this was read from."""
    server: ServerConfig
    """Where the gateway listens and where it keeps what it must remember."""
    log: LogConfig = LogConfig()
    """What is logged, and in which form."""
    mounts: tuple[MountConfig, ...] = ()
    """The stores, by their paths."""
    cache: CacheConfig = CacheConfig()
    """What is remembered of stores."""
    rules: tuple[RuleConfig, ...] = ()
    """Who may do what. Without any rule and account all is allowed, but to this machine alone."""
    users: tuple[UserConfig, ...] = ()
    """The users, beside those that `headgate user add` made."""
    oidc: tuple[OidcConfig, ...] = ()
    """The OpenID Connect issuers whose tokens are accepted."""
    auth: AuthConfig = AuthConfig()
    """What holds for every login."""
    limits: LimitsConfig = LimitsConfig()
    """How much one user may ask for."""
    audit: AuditConfig = AuditConfig()
    """The audit log."""
    processing: ProcessingConfig | None = None
    """Derived files; None when there are none."""
    templates: Mapping[str, Template] = {}
    """The templates of derived files, by their names."""

    @property
    def public_url(self) -> str:
        """The URL that clients use."""
        scheme = "https" if self.server.tls_cert else "http"
        return self.server.public_url or f"{scheme}://{self.server.listen}"

    @property
    def audience(self) -> tuple[str, ...]:
        """What the claim `aud` of a token must hold one of."""
        return self.auth.audience or (self.public_url,)

    def grants(self) -> tuple[Rule, ...]:
        """Return the rules as the tree takes them."""
        return tuple(
            Rule(path=rule.path, who=frozenset(rule.who), rights=frozenset(rule.rights))
            for rule in self.rules
        )


def load(path: Path) -> Config:
    """Read and check the file; raise ConfigError about the first thing that is wrong."""
    file = TomlFile(path)
    known = (
        "server",
        "log",
        "mounts",
        "cache",
        "rules",
        "users",
        "oidc",
        "auth",
        "limits",
        "audit",
        "processing",
        "templates",
    )
    for name in file.root:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean [{near}]?" if near else f"known are: {', '.join(known)}"
            raise file.error((name,), f"there is no section [{dotted((name,))}]; {hint}")
    config = Config(
        file=path.absolute(),
        server=_server(file),
        log=read_table(file, ("log",), LogConfig),
        mounts=_mounts(file),
        cache=read_table(file, ("cache",), CacheConfig),
        rules=tuple(_rule(file, key) for key in tables_at(file, ("rules",))),
        users=read_users(file),
        oidc=read_issuers(file),
        auth=read_table(file, ("auth",), AuthConfig),
        limits=read_table(file, ("limits",), LimitsConfig),
        audit=read_table(file, ("audit",), AuditConfig),
        processing=read_processing(file),
        templates=read_templates(file),
    )
    _check_reach(file, config)
    return config


def for_folder(folder: Path, *, listen: Address, read_only: bool) -> Config:
    """Return the configuration that serves one folder of this machine at the root.

    No file of it is ever written: what must be remembered lives as long as the process.
    """
    options = registry.find("local").options
    return Config(
        server=ServerConfig(listen=listen),
        mounts=(
            MountConfig(
                path=paths.ROOT,
                provider="local",
                options=msgspec.convert({"root": folder}, options),
                read_only=read_only,
            ),
        ),
    )


def _server(file: TomlFile) -> ServerConfig:
    key = ("server",)
    server = read_table(file, key, ServerConfig)
    if (server.tls_cert is None) != (server.tls_key is None):
        given, missing = "tls_cert", "tls_key"
        if server.tls_cert is None:
            given, missing = missing, given
        raise file.error((*key, given), f"[server] has {given!r} but not {missing!r}; set both")
    for name, path in (("tls_cert", server.tls_cert), ("tls_key", server.tls_key)):
        if path is not None:
            require_readable(file, (*key, name), path)
    return server


def check_groups(config: Config, groups: frozenset[str]) -> None:
    """Raise ConfigError when a rule names a group that nobody can be in; `groups` have members."""
    if config.file is None or any(not issuer.groups for issuer in config.oidc):
        return
    known = groups.union(*(issuer.groups.values() for issuer in config.oidc))
    for place, rule in enumerate(config.rules):
        for who in rule.who:
            kind, _, name = who.partition(":")
            if kind == "group" and name not in known:
                near = nearest(name, known)
                hint = f"did you mean {near!r}?" if near else "nobody is in it"
                raise TomlFile(config.file).error(
                    ("rules", place, "who"),
                    f"rules.who: there is no group {name!r}; {hint} A user gets it by 'groups' in"
                    f" [users.NAME] or by: headgate user add NAME --group {name}",
                )


def _mounts(file: TomlFile) -> tuple[MountConfig, ...]:
    places: dict[str, Key] = {}
    mounts: list[MountConfig] = []
    for name in table_at(file, ("mounts",)):
        key = ("mounts", name)
        path = _mount_path(file, key)
        if path in places:
            first = places[path]
            line = file.lines.line(first)
            raise file.error(
                key, f"{header(key)} is the same mount as {header(first)} in line {line}"
            )
        places[path] = key
        mounts.append(_mount(file, key, path))
    if not mounts:
        raise file.error(
            ("mounts",),
            "the configuration mounts no store; add a table such as"
            ' [mounts."/data"] with provider = "local" and root = "/data"',
        )
    return tuple(mounts)


def _mount(file: TomlFile, key: Key, path: str) -> MountConfig:
    provider, options = _store(file, key, ("provider", "read_only", "cache", "replicas"))
    table = table_at(file, key)
    replicas = []
    for replica in tables_at(file, (*key, "replicas")):
        name, its_options = _store(file, replica, ("provider",))
        replicas.append(StoreConfig(provider=name, options=its_options))
    read_only = "read_only" in table and read_value(file, (*key, "read_only"), bool) is True
    cache = None
    if "cache" in table:
        cache = CacheMode(str(read_value(file, (*key, "cache"), CacheMode)))
        if cache is CacheMode.WRITE and read_only:
            raise file.error(
                (*key, "cache"),
                f'{dotted((*key, "cache"))} = "write" makes no sense with read_only = true; remove'
                " one of them",
            )
    return MountConfig(
        path=path,
        provider=provider,
        options=options,
        read_only=read_only,
        cache=cache,
        replicas=tuple(replicas),
    )


def _store(file: TomlFile, key: Key, own: tuple[str, ...]) -> tuple[str, Options]:
    """Read a provider's name and its options, which share the table with the keys in `own`."""
    if "provider" not in table_at(file, key):
        known = ", ".join(registry.names())
        raise file.error(key, f"{header(key)} lacks the key 'provider'; known are: {known}")
    name = str(read_value(file, (*key, "provider"), str))
    try:
        provider = registry.find(name)
    except registry.RegistryError as error:
        raise file.error((*key, "provider"), f"{dotted((*key, 'provider'))}: {error}") from error
    options = read_table(file, key, provider.options, without=own)
    root = getattr(options, "root", None)
    if isinstance(root, Path) and not getattr(options, "create_root", False):
        require_readable(file, (*key, "root"), root, folder=True)
    return name, options


def _mount_path(file: TomlFile, key: Key) -> str:
    text = str(key[-1])
    while "//" in text:
        text = text.replace("//", "/")
    try:
        return paths.parse(text)
    except InvalidPath as error:
        raise file.error(key, f"{header(key)} is no path to mount at: {error.detail}") from error


def _rule(file: TomlFile, key: Key) -> RuleConfig:
    rule = read_table(file, key, RuleConfig)
    try:
        path = paths.parse(rule.path)
    except InvalidPath as error:
        raise file.error((*key, "path"), f"rules.path is no path: {error.detail}") from error
    for who in rule.who:
        kind, colon, name = who.partition(":")
        if kind == "user" and ":" in name:
            _check_issuer(file, key, name)
        if kind in ("user", "group") and name:
            continue
        if colon or kind not in ("anyone", "authenticated", "scope"):
            raise file.error(
                (*key, "who"),
                f"rules.who must hold 'user:NAME', 'group:NAME', 'authenticated', 'anyone' or"
                f" 'scope', not {who!r}",
            )
    return msgspec.structs.replace(rule, path=path)


def _check_issuer(file: TomlFile, key: Key, name: str) -> None:
    issuer = name.partition(":")[0]
    known = table_at(file, ("oidc",))
    if issuer not in known:
        raise file.error(
            (*key, "who"),
            f"rules.who: 'user:{name}' is a user of the issuer {issuer!r}, but there is no table"
            f" [oidc.{issuer}]",
        )


def _check_reach(file: TomlFile, config: Config) -> None:
    mounted = [mount.path for mount in config.mounts]
    if config.processing is not None:
        prefix = config.processing.prefix
        if prefix in mounted:
            raise file.error(
                ("mounts", prefix),
                f"{prefix} is where derived files appear; mount the store elsewhere, or set"
                " processing.prefix",
            )
        mounted.append(prefix)
    for place, rule in enumerate(config.rules):
        if not any(
            paths.is_within(rule.path, mount) or paths.is_within(mount, rule.path)
            for mount in mounted
        ):
            raise file.error(
                ("rules", place, "path"),
                f"rules.path {rule.path!r} concerns no mount; mounted are: {', '.join(mounted)}",
            )
    if not config.rules and not config.server.listen.is_loopback:
        raise file.error(
            ("server", "listen"),
            f"server.listen {str(config.server.listen)!r} can be reached by others, but no rule"
            " says who may do what; add [[rules]] with path, who and rights, or listen on"
            " 127.0.0.1",
        )
