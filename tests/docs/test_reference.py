"""Nothing that can be configured, typed or met as an error lacks its place in the reference."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from processors import registry as processor_registry
from providers import registry
from providers.base import Capabilities
from providers.errors import leaves
from vfs import config, processor_pages
from vfs.cli import cli
from vfs.toml_table import is_secret, secret_keys

# What the structs hold besides keys of the file.
NOT_KEYS = {"file", "server", "log", "mounts", "rules", "path", "options"}


def page(root: Path, name: str) -> str:
    return (root / "docs" / "reference" / name).read_text()


def has_row(text: str, name: str) -> bool:
    """Tell whether a table has a row for `name`, or a column with it in the head."""
    return re.search(rf"^\|(?:.*\|)? *`?{name}`? *\|", text, re.MULTILINE) is not None


def keys() -> Iterator[str]:
    """Yield every key that a configuration file may hold."""
    tables: list[type[msgspec.Struct]] = [
        config.ServerConfig,
        config.LogConfig,
        config.MountConfig,
        config.RuleConfig,
        *(registry.find(name).options for name in registry.names()),
    ]
    for table in tables:
        for field in msgspec.structs.fields(table):
            if is_secret(field.type):
                yield from secret_keys(field.name)
            elif field.name not in NOT_KEYS:
                yield field.name
    yield "path"


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command with the words that call it."""
    yield "headgate", cli
    for name, command in cli.commands.items():
        yield f"headgate {name}", command


@pytest.mark.parametrize("key", sorted(set(keys())))
def test_every_key_is_explained(key: str, root: Path) -> None:
    assert re.search(rf"`{key}`", page(root, "config.md"))


@pytest.mark.parametrize("name", registry.names())
def test_every_store_is_in_the_table_of_capabilities(name: str, root: Path) -> None:
    assert has_row(page(root, "capabilities.md"), name)


@pytest.mark.parametrize("name", Capabilities.__struct_fields__)
def test_every_capability_is_in_the_table(name: str, root: Path) -> None:
    assert has_row(page(root, "capabilities.md"), name)


@pytest.mark.parametrize("call", [call for call, _ in commands()])
def test_every_command_is_explained(call: str, root: Path) -> None:
    assert call in page(root, "cli.md")


@pytest.mark.parametrize(
    "option",
    sorted(
        {
            name
            for _, command in commands()
            for parameter in command.params
            if isinstance(parameter, click.Option)
            for name in parameter.opts
            if name.startswith("--")
        }
    ),
)
def test_every_option_is_explained(option: str, root: Path) -> None:
    assert re.search(rf"{option}\b", page(root, "cli.md"))


@pytest.mark.parametrize("name", processor_pages.names())
def test_every_processor_and_parameter_is_explained(name: str, root: Path) -> None:
    text = page(root, "processors.md").partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
    assert all(f"`{form}`" in text for form in processor_registry.find(name).formats)
    for field in msgspec.structs.fields(processor_registry.find(name).params):
        assert field.name == "format" or has_row(text, field.name)


@pytest.mark.parametrize("leaf", [leaf.__name__ for leaf in leaves()])
def test_every_error_is_explained(leaf: str, root: Path) -> None:
    assert has_row(page(root, "errors.md"), leaf)
