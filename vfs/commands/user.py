"""`headgate user`: who has an account."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from vfs.commands.opening import state_options

if TYPE_CHECKING:
    from vfs.commands.opening import Opened

_PATH = click.Path(path_type=Path, readable=False)
_KEY_MAX_BYTES = 64 * 1024
T = TypeVar("T")


@click.group()
def user() -> None:
    """Say who has an account."""


@user.command()
@click.argument("name")
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="Put it in a group.")
@click.option("--email", metavar="ADDRESS", help="A second name, in tokens.")
@click.option(
    "--key", "keys", metavar="FILE", type=_PATH, multiple=True, help="Public key for tokens."
)
@click.option("--no-password", is_flag=True, help="Let it in with keys and app passwords only.")
@state_options
def add(
    *,
    name: str,
    groups: tuple[str, ...],
    email: str | None,
    keys: tuple[Path, ...],
    no_password: bool,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Add a user.

    The password is asked for, or read as one line from standard input. A running gateway knows
    the user at once.
    """
    from vfs.auth.users import check_email, check_group, check_name
    from vfs.commands.opening import opened
    from vfs.state.accounts import UserRecord
    from vfs.state.errors import AlreadyThere

    name = checked(check_name, name)
    record = UserRecord(
        name=name,
        email=checked(check_email, email) if email else "",
        groups=tuple(dict.fromkeys(checked(check_group, group) for group in groups)),
        public_keys=tuple(map(_key, keys)),
    )
    taken = f"there is a user {name!r} already; change the password with: headgate user passwd"
    with opened(config, state_dir) as gateway:
        gateway.refuse_configured(name)
        if gateway.store.user(name) is not None:
            raise click.UsageError(taken)
        _check_alone(gateway, record.email)
        if not no_password:
            record = msgspec.structs.replace(record, password_hash=_new_hash(name))
        try:
            gateway.store.put_user(record, new=True)
        except AlreadyThere as error:
            raise click.UsageError(taken) from error
    click.echo(f"User {name!r} was added.")


@user.command()
@click.argument("name")
@state_options
def passwd(*, name: str, config: Path | None, state_dir: Path | None) -> None:
    """Change a user's password.

    It is asked for, or read as one line from standard input. App passwords stay.
    """
    from vfs.auth.users import check_name
    from vfs.commands.opening import opened

    name = checked(check_name, name)
    with opened(config, state_dir) as gateway:
        gateway.refuse_configured(name)
        if gateway.store.user(name) is None:
            raise _nobody(name)
        gateway.store.set_password(name, _new_hash(name))
    click.echo(f"The password of {name!r} was changed.")


class Account(msgspec.Struct, frozen=True):
    """A user, as it is listed."""

    name: str
    email: str
    groups: tuple[str, ...]
    password: bool
    keys: int
    source: str
    created: dt.datetime | None


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@state_options
def list_users(*, as_json: bool, config: Path | None, state_dir: Path | None) -> None:
    """List the users, with --config those of the configuration too."""
    from vfs.commands.listing import moment, show
    from vfs.commands.opening import opened

    with opened(config, state_dir) as gateway:
        found = {
            record.name: Account(
                name=record.name,
                email=record.email,
                groups=record.groups,
                password=bool(record.password_hash),
                keys=len(record.public_keys),
                source="state",
                created=moment(record.created_at_ns),
            )
            for record in gateway.store.users()
        }
        for name, configured in gateway.configured.items():
            found[name] = Account(
                name=name,
                email=configured.email,
                groups=configured.groups,
                password=bool(configured.password_hash),
                keys=len(configured.public_keys),
                source="configuration",
                created=None,
            )
    show(Account, [found[name] for name in sorted(found)], as_json=as_json)


@user.command()
@click.argument("name")
@state_options
def remove(*, name: str, config: Path | None, state_dir: Path | None) -> None:
    """Remove a user with app passwords and shares."""
    from vfs.auth.users import check_name
    from vfs.commands.opening import opened
    from vfs.state.errors import NoSuchAccount

    name = checked(check_name, name)
    with opened(config, state_dir) as gateway:
        gateway.refuse_configured(name)
        try:
            gateway.store.remove_user(name)
        except NoSuchAccount as error:
            raise _nobody(name) from error
    click.echo(f"User {name!r} was removed.")


@user.command("hash")
def print_hash() -> None:
    """Print a password's hash for `password_hash` in the configuration.

    The password is asked for, or read as one line from standard input.
    """
    click.echo(_new_hash(""))


def checked(check: Callable[[str], T], text: str) -> T:
    """Return what `check` makes of an argument; its ValueError ends the command."""
    try:
        return check(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _nobody(name: str) -> click.UsageError:
    return click.UsageError(f"there is no user {name!r}; see: headgate user list")


def _new_hash(name: str) -> str:
    from vfs.auth.passwords import check_new_password, hash_password
    from vfs.commands.prompt import new_secret

    text = new_secret("password")
    checked(lambda text: check_new_password(text, name), text)
    return hash_password(text)


def _key(file: Path) -> str:
    from vfs.auth.keys import load_public_key

    try:
        with file.open("rb") as stream:
            text = stream.read(_KEY_MAX_BYTES).decode(errors="replace")
    except OSError as error:
        raise click.UsageError(f"--key '{file}' cannot be read: {error.strerror}") from error
    try:
        return load_public_key(text).pem
    except ValueError as error:
        raise click.UsageError(f"--key '{file}': {error}") from error


def _check_alone(gateway: "Opened", email: str) -> None:
    """Refuse an address that somebody has: it would name neither."""
    if not email:
        return
    addresses = {other.email: other.name for other in gateway.store.users()}
    addresses |= {other.email.lower(): other.name for other in gateway.configured.values()}
    if email in addresses:
        raise click.UsageError(f"--email {email} is the address of user {addresses[email]!r}")
