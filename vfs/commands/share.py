"""`headgate share`: what users lend, made and ended by whoever runs the gateway."""

import datetime as dt
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click
import msgspec

from vfs.commands.duration import DURATION
from vfs.commands.opening import Opened, opened, state_options

if TYPE_CHECKING:
    from vfs.auth.caller import Caller
    from vfs.auth.shares import Shares

Verb = Literal["read", "create", "modify"]


@click.group()
def share() -> None:
    """Lend a path for a time, by a token.

    The token works in curl and in a mount.
    """


@share.command()
@click.argument("path")
@click.option("--user", metavar="NAME", required=True, help="Whose rights are lent.")
@click.option(
    "--right",
    "rights",
    type=click.Choice(get_args(Verb)),
    multiple=True,
    default=("read",),
    help="What may be done; may be repeated. Default: read.",
)
@click.option("--expires", type=DURATION, default="7d", help="When it ends. Default: 7d.")
@click.option("--note", default="", help="What it is for.")
@state_options
def make(
    *,
    path: str,
    user: str,
    rights: tuple[Verb, ...],
    expires: float,
    note: str,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Make a share of PATH in the name of a user, and print its token, once.

    The user needs the right `share` at PATH and all that is lent.
    """
    from providers.errors import StorageError
    from vfs.auth.vault import VaultError
    from vfs.http.dates import rfc3339
    from vfs.http.sharing import curl, link

    if config is None:
        raise click.UsageError("share make needs --config FILE: its rules say what may be lent")
    with opened(config, state_dir) as gateway:
        assert gateway.config is not None
        try:
            shares, caller = _shares(gateway, user)
            record, token = shares.make(
                caller, path, rights, seconds=expires - time.time(), note=note
            )
        except StorageError as error:
            raise click.UsageError(f"{error.path}: {error.text}: {error.detail}") from error
        except (ValueError, VaultError) as error:
            raise click.UsageError(str(error)) from error
        gateway.note("share made", user=user, share=record.id, path=path)
        url = link(gateway.config.public_url, token, path)
    click.echo(f"id:      {record.id}")
    click.echo(f"expires: {rfc3339(record.expires_at_ns)}")
    click.echo(f"token:   {token}")
    click.echo(f"url:     {url}")
    click.echo(f"curl:    {curl(url, rights)}")


class Listed(msgspec.Struct, frozen=True):
    """A share, as it is listed."""

    id: str
    maker: str
    scopes: tuple[str, ...]
    note: str
    created: dt.datetime | None
    expires: dt.datetime | None


@share.command("list")
@click.option("--user", metavar="NAME", help="Only this user's.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@state_options
def list_(*, user: str | None, as_json: bool, config: Path | None, state_dir: Path | None) -> None:
    """Show the shares that have not ended."""
    from vfs.commands.listing import moment, show

    with opened(config, state_dir) as gateway:
        records = gateway.store.shares(user)
    rows = [
        Listed(
            id=record.id,
            maker=record.maker,
            scopes=record.scopes,
            note=record.note,
            created=moment(record.created_at_ns),
            expires=moment(record.expires_at_ns),
        )
        for record in records
    ]
    show(Listed, rows, as_json=as_json)


@share.command()
@click.argument("id_", metavar="ID")
@state_options
def revoke(id_: str, config: Path | None, state_dir: Path | None) -> None:
    """End a share; running gateways refuse it within seconds."""
    with opened(config, state_dir) as gateway:
        if gateway.store.share(id_) is None:
            raise click.UsageError(f"there is no share {id_!r}; `headgate share list` shows all")
        gateway.store.remove_share(id_)
        gateway.note("share revoked", share=id_)
    click.echo(f"{id_} has ended.")


def _shares(gateway: Opened, name: str) -> "tuple[Shares, Caller]":
    """Return what makes shares by the rules of the configuration, and the user in question."""
    from vfs.auth.caller import Caller
    from vfs.auth.gateway_key import GatewayKey
    from vfs.auth.gateway_tokens import GatewayTokens
    from vfs.auth.rights import Rights
    from vfs.auth.shares import Shares
    from vfs.auth.users import User, Users
    from vfs.binding import vault_of

    config, store = gateway.config, gateway.store
    assert config is not None
    configured = (
        User(name=user.name, groups=frozenset(user.groups)) for user in gateway.configured.values()
    )
    users = Users(configured, store)
    found = users.find(name)
    if found is None:
        raise click.UsageError(f"there is no user {name!r}; see: headgate user list")
    rights = Rights(config.grants(), closed=True)
    key = GatewayKey(store, vault_of(config, gateway.folder))
    tokens = GatewayTokens(store, key, users, ())
    return Shares(store, lambda: rights, lambda: tokens), Caller(
        name=found.name, groups=found.groups
    )
