"""`headgate app-password`: passwords for one program or device."""

import datetime as dt
from pathlib import Path

import click
import msgspec

from vfs.commands.duration import DURATION
from vfs.commands.opening import state_options


@click.group("app-password")
def app_password() -> None:
    """Give programs and devices passwords of their own."""


@app_password.command()
@click.argument("name")
@click.argument("label")
@click.option(
    "--scope", "scopes", metavar="SCOPE", multiple=True, help="Such as storage.read:/data."
)
@click.option("--expires", metavar="TIME", type=DURATION, help="Such as 30d or 2027-01-31.")
@state_options
def add(
    *,
    name: str,
    label: str,
    scopes: tuple[str, ...],
    expires: float | None,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Make a password for user NAME and print it.

    LABEL says what it is for. With --scope it is good for that much only; without, for all that
    the user may do. It is not shown again.
    """
    from vfs.auth import app_passwords
    from vfs.auth.scopes import check as check_scope
    from vfs.auth.users import check_name
    from vfs.commands.opening import opened
    from vfs.commands.user import checked
    from vfs.state.accounts import AppPasswordRecord
    from vfs.state.errors import AlreadyThere

    name = checked(check_name, name)
    label = checked(app_passwords.check_label, label)
    for scope in scopes:
        checked(check_scope, scope)
    secret = app_passwords.fresh()
    with opened(config, state_dir) as gateway:
        if name not in gateway.configured and gateway.store.user(name) is None:
            hint = "" if config else "; if it stands in the configuration, use --config"
            raise click.UsageError(f"there is no user {name!r}{hint}")
        try:
            gateway.store.add_app_password(
                AppPasswordRecord(
                    user=name,
                    label=label,
                    digest=app_passwords.digest(secret),
                    scopes=scopes,
                    expires_at_ns=None if expires is None else int(expires * 1e9),
                )
            )
        except AlreadyThere as error:
            raise click.UsageError(
                f"{name!r} has an app password {label!r} already; choose another label or revoke it"
            ) from error
        gateway.note("app password added", user=name, label=label)
    click.echo(secret)
    click.echo(f"Log in as {name!r} with this password; it is not shown again.", err=True)


class AppPassword(msgspec.Struct, frozen=True):
    """An app password, as it is listed."""

    user: str
    label: str
    scopes: tuple[str, ...]
    created: dt.datetime | None
    expires: dt.datetime | None


@app_password.command("list")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@state_options
def list_app_passwords(
    *, name: str | None, as_json: bool, config: Path | None, state_dir: Path | None
) -> None:
    """List the app passwords of one user or of all; never the secrets."""
    from vfs.auth.users import check_name
    from vfs.commands.listing import moment, show
    from vfs.commands.opening import opened
    from vfs.commands.user import checked

    with opened(config, state_dir) as gateway:
        records = gateway.store.app_passwords(checked(check_name, name) if name else None)
    rows = [
        AppPassword(
            user=record.user,
            label=record.label,
            scopes=record.scopes,
            created=moment(record.created_at_ns),
            expires=moment(record.expires_at_ns),
        )
        for record in records
    ]
    show(AppPassword, rows, as_json=as_json)


@app_password.command()
@click.argument("name")
@click.argument("label")
@state_options
def revoke(*, name: str, label: str, config: Path | None, state_dir: Path | None) -> None:
    """Make an app password useless, within seconds."""
    from vfs.auth.users import check_name
    from vfs.commands.opening import opened
    from vfs.commands.user import checked
    from vfs.state.errors import NoSuchAccount

    name = checked(check_name, name)
    with opened(config, state_dir) as gateway:
        try:
            gateway.store.remove_app_password(name, label)
        except NoSuchAccount as error:
            raise click.UsageError(
                f"{name!r} has no app password {label!r}; see: headgate app-password list"
            ) from error
        gateway.note("app password revoked", user=name, label=label)
    click.echo(f"The app password {label!r} of {name!r} was revoked.")
