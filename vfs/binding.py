"""Binding: the secrets that a configuration names, and the store that they are kept in."""

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec

from providers.secret import Secret, bound, secrets_of
from vfs.auth.stored_secrets import StoredSecrets
from vfs.auth.vault import Vault, master_key
from vfs.config import Config, StoreConfig
from vfs.state.errors import StateError
from vfs.toml_file import TomlFile
from vfs.toml_lines import Key

_log = logging.getLogger(__name__)


class Use(msgspec.Struct, frozen=True):
    """One secret in the configuration: `key` is where it stands there."""

    key: Key
    mount: str
    secret: Secret


def uses(config: Config) -> Iterator[Use]:
    """Yield every secret that the configuration refers to."""
    for mount in config.mounts:
        for place, store in enumerate(mount.stores):
            key: Key = ("mounts", mount.path)
            if place:
                key = (*key, "replicas", place - 1)
            for name, secret in secrets_of(store.options).items():
                yield Use((*key, f"{name}_{secret.kind}"), mount.path, secret)


def vault_of(config: Config | None, folder: Path) -> Vault:
    """Return the vault of the gateway whose state directory is `folder`; VaultError."""
    return Vault(master_key(folder, config.auth.master_key_file if config else None))


def needs_stored(config: Config) -> bool:
    """Tell whether any secret of the configuration is in the gateway's own store."""
    return any(use.secret.kind == "secret" for use in uses(config))


def bind(config: Config, stored: StoredSecrets) -> Config:
    """Return the configuration with its secrets bound to the store.

    Raises ConfigError about a name that the store does not have.
    """
    for use in uses(config):
        name = use.secret.reference
        if use.secret.kind == "secret":
            _require(config, use, stored)
        if use.secret.is_open_to_others:
            _log.warning(
                "every user of this machine may read '%s', a secret of mount %s; run: chmod 600",
                name,
                use.mount,
            )
    mounts = (
        msgspec.structs.replace(
            mount,
            options=bound(mount.options, stored),
            replicas=tuple(_bound(replica, stored) for replica in mount.replicas),
        )
        for mount in config.mounts
    )
    return msgspec.structs.replace(config, mounts=tuple(mounts))


def stamps(store: StoreConfig) -> tuple[object, ...]:
    """Return what changes when a secret is replaced, so that a reload takes the new one."""
    return tuple(secret.stamp() for secret in secrets_of(store.options).values())


def _bound(store: StoreConfig, stored: StoredSecrets) -> StoreConfig:
    return msgspec.structs.replace(store, options=bound(store.options, stored))


def _require(config: Config, use: Use, stored: StoredSecrets) -> None:
    name = use.secret.reference
    try:
        if stored.changed_at_ns(name) is not None:
            return
        cause = "which the gateway does not keep"
        cure = f"set it with: headgate secret set {name} --config '{config.file}'"
    except StateError as error:
        cause, cure = "which cannot be looked up", str(error)
    assert config.file is not None
    text = f"mount {use.mount}: {use.key[-1]} names {name!r}, {cause}; {cure}"
    raise TomlFile(config.file).error(use.key, text)
