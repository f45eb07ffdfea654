"""The configuration in force, as TOML that can be shown to anybody: no secret is in it."""

import enum
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from providers.secret import Secret
from vfs.config import Config, StoreConfig
from vfs.toml_file import dotted, quoted
from vfs.toml_lines import Key

MASK = "***"

_SECRET = re.compile(r"passw|secret|token|passphrase|credential|private_key|access_key")


def effective(config: Config) -> str:
    """Return every setting in force, defaults too, as TOML with what it refers to in comments.

    Of a secret it says where it stands and whether it can be had there; never the value.
    """
    server = msgspec.structs.replace(config.server, public_url=config.public_url)
    lines = ["[server]", *_fields(server), "", "[log]", *_fields(config.log)]
    for mount in config.mounts:
        key: Key = ("mounts", mount.path)
        lines += ["", f"[{dotted(key)}]", *_store(mount)]
        lines.append(f"read_only = {_value(mount.read_only)}")
        for replica in mount.replicas:
            lines += ["", f"[[{dotted((*key, 'replicas'))}]]", *_store(replica)]
    for section, tables in (("users", config.users), ("oidc", config.oidc)):
        for table in tables:
            lines += ["", f"[{dotted((section, table.name))}]", *_fields(table, without="name")]
    for name in ("auth", "limits", "audit"):
        lines += ["", f"[{name}]", *_fields(getattr(config, name))]
    if config.processing is not None:
        limits = config.processing.limits
        lines += ["", "[processing]", *_fields(config.processing, without="limits")]
        lines += ["", "[processing.limits]", *_fields(limits)]
    for name, template in config.templates.items():
        lines += ["", f"[{dotted(('templates', name))}]", *_fields(template.text)]
    for rule in config.rules:
        lines += ["", "[[rules]]", *_fields(rule)]
    return "\n".join(lines) + "\n"


def _store(store: StoreConfig) -> Iterator[str]:
    yield f"provider = {quoted(store.provider)}"
    yield from _fields(store.options)


def _fields(struct: msgspec.Struct, *, without: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(struct):
        name = field.encode_name
        value = getattr(struct, field.name)
        if value is None or name == without:
            continue
        if isinstance(value, Secret):
            yield f"{name}_{value.kind} = {quoted(value.reference)}  # {value.state}"
        elif name.endswith("_file"):
            state = "can be read" if os.access(value, os.R_OK) else "cannot be read"
            yield f"{name} = {_value(value)}  # {state}"
        elif _SECRET.search(name):
            # The contract forbids such a field; a plugin that has one all the same is not shown.
            yield f"{name} = {quoted(MASK)}"
        else:
            yield f"{name} = {_value(value)}"


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case enum.Enum():
            return _value(value.value)
        case str() | Path():
            return quoted(str(value))
        case Mapping():
            inner = (f"{dotted((str(name),))} = {_value(item)}" for name, item in value.items())
            return "{" + ", ".join(inner) + "}"
        case msgspec.Struct():
            return "{" + ", ".join(_fields(value)) + "}"
        case tuple() | list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case set() | frozenset():
            return "[" + ", ".join(sorted(map(_value, value))) + "]"
    return str(value)
