"""The reference pages, printed from the code so that they cannot lag behind it.

`python -m vfs.reference docs/reference` writes them; a test compares them with the code.
"""

import argparse
import enum
import inspect
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args, get_type_hints

import click
import msgspec

from processors import errors as processing
from processors.base import Limits
from processors.grammar.field_docs import docs_of
from processors.grammar.template import TemplateText
from providers import registry
from providers.base import Capabilities, Provider
from providers.errors import leaves
from providers.secret import Secret
from vfs import cache_config, config, processor_pages
from vfs.auth import settings
from vfs.cli import cli
from vfs.errors import PROCESSING_TABLE, meaning
from vfs.template_config import ProcessingConfig
from vfs.toml_table import is_secret, secret_keys

_NOTE = "<!-- Printed by `python -m vfs.reference docs/reference`; do not edit. -->"
_TYPES = {
    "Path": "path",
    "Address": "host:port",
    "Network": "network",
    "Url": "URL",
    "Secret": "path, variable or name",
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
}
_BUILT_IN = "providers."
_WIDTH = 88


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    return {
        "config.md": "\n".join([_NOTE, "", *_config()]) + "\n",
        "cli.md": "\n".join([_NOTE, "", *_commands()]) + "\n",
        "capabilities.md": "\n".join([_NOTE, "", *_capabilities()]) + "\n",
        "errors.md": "\n".join([_NOTE, "", *_errors()]) + "\n",
        "processors.md": "\n".join([_NOTE, "", *processor_pages.page()]) + "\n",
    }


def _config() -> Iterator[str]:
    yield "# Configuration"
    yield ""
    yield "One TOML file. Relative paths in it start at the folder that holds it. A key that is not"
    yield "listed here is refused. `headgate check-config FILE` shows what is in force."
    yield ""
    yield "A secret never stands in the file. Of the three keys that are listed for it one is"
    yield "given: `_file` names a file that holds it, `_env` an environment variable, `_secret` a"
    yield "name in the gateway's own store, where `headgate secret set` puts it."
    yield from _section("`[server]`", config.ServerConfig)
    yield from _section("`[log]`", config.LogConfig)
    yield from _section('`[mounts."/path"]`', config.MountConfig, without={"options", "path"})
    yield ""
    yield "The options of the provider stand in the same table."
    yield from _section('`[[mounts."/path".replicas]]`', config.StoreConfig, without={"options"})
    for name in registry.names():
        if _is_built_in(name):
            options = registry.find(name).options
            yield from _section(f'Options of `provider = "{name}"`', options)
    yield from _section("`[cache]`", cache_config.CacheConfig)
    yield from _section("`[[rules]]`", config.RuleConfig)
    yield from _section("`[users.NAME]`", settings.UserConfig, without={"name"})
    yield from _section("`[oidc.NAME]`", settings.OidcConfig, without={"name"})
    yield from _section("`[auth]`", settings.AuthConfig)
    yield from _section("`[limits]`", settings.LimitsConfig)
    yield from _section("`[audit]`", settings.AuditConfig)
    yield from _section("`[processing]`", ProcessingConfig, without={"limits"})
    yield from _section("`[processing.limits]`", Limits)
    yield from _section("`[templates.NAME]`", TemplateText)


def _section(
    title: str, cls: type[msgspec.Struct], *, without: frozenset[str] | set[str] = frozenset()
) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield _first_line(cls)
    yield ""
    yield "| Key | Value | Default | Meaning |"
    yield "|---|---|---|---|"
    docs = docs_of(cls)
    hints = get_type_hints(cls, include_extras=True)
    for field in msgspec.structs.fields(cls):
        if field.name not in without:
            kind = _cell(_kind(hints[field.name]))
            meaning_ = _cell(docs[field.name])
            keys = [field.encode_name]
            if is_secret(hints[field.name]):
                keys = secret_keys(field.encode_name)
            key = ", ".join(f"`{name}`" for name in keys)
            yield f"| {key} | {kind} | {_default(field)} | {meaning_} |"


def _kind(hint: object) -> str:
    name = getattr(hint, "__name__", "")
    if name in _TYPES:
        return _TYPES[name]
    arguments = get_args(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return " or ".join(f'`"{value.value}"`' for value in hint)
    match name:
        case "Literal":
            return " or ".join(f"`{json.dumps(value)}`" for value in arguments)
        case "Mapping":
            return "table"
        case "tuple" | "frozenset" | "list":
            return f"list: {_kind(arguments[0])}"
        case "StoreConfig":
            return "tables"
    if hasattr(hint, "__metadata__"):
        return _kind(arguments[0])
    return " or ".join(_kind(inner) for inner in arguments if inner is not type(None))


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    match field.default:
        case None | () | msgspec.NODEFAULT:
            return "none"
        case bool(value):
            return f"`{str(value).lower()}`"
        case Mapping():
            return "none"
        case int(value) | float(value):
            return f"`{value}`"
        case value:
            return f'`"{value}"`'


def _capabilities() -> Iterator[str]:
    yield "# What each store can do"
    yield ""
    yield "Where it depends on the disk or server behind, the least is shown; a mount may do more."
    yield ""
    stores = {
        name: _made(registry.find(name)).capabilities
        for name in registry.names()
        if _is_built_in(name)
    }
    yield f"| Capability | {' | '.join(f'`{name}`' for name in stores)} | Meaning |"
    yield "|---" * (len(stores) + 2) + "|"
    for name, doc in docs_of(Capabilities).items():
        values = " | ".join(_ability(getattr(able, name)) for able in stores.values())
        yield f"| `{name}` | {values} | {_cell(doc)} |"


def _made(provider: type[Provider]) -> Provider:
    """Return a store that reaches nothing, for what it can do in any case."""
    nowhere: dict[object, object] = {
        Path: Path(os.devnull, "nowhere"),
        str: "nowhere.invalid",
        Secret: Secret("env", "NOWHERE"),
    }
    fields = msgspec.structs.fields(provider.options)
    required = {field.name: nowhere[field.type] for field in fields if field.required}
    return registry.make(provider.name, provider.options(**required))


def _ability(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "any"
        case frozenset():
            return ", ".join(sorted(map(str, value))) or "none"
    return str(value)


def _is_built_in(name: str) -> bool:
    return registry.find(name).__module__.startswith(_BUILT_IN)


def _commands() -> Iterator[str]:
    yield "# Commands"
    # A fixed width, since click else asks the terminal.
    context = click.Context(
        cli, info_name="headgate", terminal_width=_WIDTH, help_option_names=["-h", "--help"]
    )
    yield from _help("headgate", cli, context)


def _help(title: str, command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the help of a command, then that of those within it."""
    yield ""
    yield f"## {title}"
    yield ""
    yield "```text"
    yield from (line.rstrip() for line in command.get_help(context).splitlines())
    yield "```"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.commands[name]
            within = click.Context(inner, info_name=name, parent=context, terminal_width=_WIDTH)
            yield from _help(f"{title} {name}", inner, within)


def _errors() -> Iterator[str]:
    yield "# Errors"
    yield ""
    yield "What can go wrong in a store, and what clients and the log are told."
    yield ""
    yield "| Error | Status | Log level | Temporary | Meaning |"
    yield "|---|---|---|---|---|"
    for leaf in leaves():
        row = meaning(leaf())
        level = logging.getLevelName(row.level).lower()
        temporary = "yes" if leaf.is_temporary else "no"
        yield f"| {leaf.__name__} | {row.status} | {level} | {temporary} | {_first_line(leaf)} |"
    yield ""
    yield "What can go wrong when a derived file is asked for. The answer is"
    yield "`application/problem+json`, or text at a terminal, and says what was asked, what the"
    yield "limit is, and one example that works."
    yield ""
    yield "| Error | Status | Log level | Meaning |"
    yield "|---|---|---|---|"
    for cause in processing.leaves():
        row = PROCESSING_TABLE[cause]
        level = logging.getLevelName(row.level).lower()
        yield f"| {cause.__name__} | {row.status} | {level} | {_first_line(cause)} |"


def _first_line(thing: type) -> str:
    return (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write every page into the folder that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m vfs.reference", description="Print the reference pages from the code."
    )
    parser.add_argument("folder", type=Path, help="where the pages go, such as docs/reference")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
