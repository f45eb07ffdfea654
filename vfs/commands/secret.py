"""`headgate secret`: the secrets of back ends that the gateway keeps. No command shows a value."""

import datetime as dt
import sys
from pathlib import Path

import click
import msgspec

from vfs.commands.opening import Opened, opened, state_options


@click.group()
def secret() -> None:
    """Keep secrets of stores, sealed, for mounts to name."""


@secret.command("set")
@click.argument("name")
@state_options
def set_(name: str, config: Path | None, state_dir: Path | None) -> None:
    """Keep a secret under NAME, over the one before.

    It is asked for twice on a terminal, and read from standard input in a pipe. A mount names it
    as in password_secret = "NAME".
    """
    from providers.secret import NAME_RULE, is_name
    from vfs.auth.stored_secrets import StoredSecrets
    from vfs.auth.vault import VaultError
    from vfs.binding import vault_of

    if not is_name(name):
        raise click.UsageError(f"{name!r} cannot be the name of a secret: {NAME_RULE}")
    with opened(config, state_dir) as gateway:
        try:
            vault = vault_of(gateway.config, gateway.folder)
        except VaultError as error:
            raise click.UsageError(str(error)) from error
        StoredSecrets(gateway.store, vault).put(name, _asked())
    click.echo(f"{name} is kept. A running gateway takes it for new connections; after")
    click.echo("`headgate reload` its stores are connected anew.")


class Listed(msgspec.Struct, frozen=True):
    """A secret, as it is listed."""

    name: str
    changed: dt.datetime | None


@secret.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@state_options
def list_(*, as_json: bool, config: Path | None, state_dir: Path | None) -> None:
    """Show the names, and when each was set."""
    from providers.secret import is_name
    from vfs.commands.listing import moment, show

    with opened(config, state_dir) as gateway:
        records = gateway.store.secrets()
    # Others are the gateway's own, such as the key of its tokens.
    own = [record for record in records if is_name(record.name)]
    rows = [Listed(record.name, moment(record.changed_at_ns)) for record in own]
    show(Listed, rows, as_json=as_json)


@secret.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Even if a mount uses it, or nobody can tell.")
@state_options
def remove(name: str, *, force: bool, config: Path | None, state_dir: Path | None) -> None:
    """Forget the secret NAME."""
    from providers.secret import is_name

    with opened(config, state_dir) as gateway:
        if not is_name(name) or gateway.store.secret(name) is None:
            raise click.UsageError(f"there is no secret {name!r}; `headgate secret list` shows all")
        if not force:
            _require_unused(gateway, name)
        gateway.store.remove_secret(name)
    click.echo(f"{name} is forgotten.")


def _asked() -> str:
    """Return the value: typed twice, or all of standard input without a newline at its end."""
    from providers.secret import SECRET_MAX_BYTES

    if sys.stdin.isatty():
        value: str = click.prompt("Secret", hide_input=True, confirmation_prompt="Once more")
        return value
    data = sys.stdin.buffer.read(SECRET_MAX_BYTES + 2)
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise click.UsageError("a secret is text in UTF-8; encode other bytes, as base64") from None


def _require_unused(gateway: Opened, name: str) -> None:
    from vfs.binding import uses

    if gateway.config is None:
        raise click.UsageError(
            "without --config nobody can tell whether a mount uses it; name the file, or use"
            " --force"
        )
    using = [
        f"{use.mount} ({use.key[-1]})"
        for use in uses(gateway.config)
        if use.secret.kind == "secret" and use.secret.reference == name
    ]
    if using:
        raise click.UsageError(
            f"{name!r} is used by the mounts {', '.join(using)}; change these first, or use --force"
        )
