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
        gateway.note("user added", user=name)
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
        gateway.note("password changed", user=name)
    click.echo(f"The password of {name!r} was changed.")


@user.command()
@click.argument("name")
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="In this group, instead.")
@click.option("--no-groups", is_flag=True, help="In no group.")
@click.option("--email", metavar="ADDRESS", help="Second name in tokens; '' for none.")
@click.option(
    "--key", "keys", metavar="FILE", type=_PATH, multiple=True, help="Public key, instead."
)
@click.option("--no-keys", is_flag=True, help="Without any key.")
@state_options
def change(
    *,
    name: str,
    groups: tuple[str, ...],
    no_groups: bool,
    email: str | None,
    keys: tuple[Path, ...],
    no_keys: bool,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Change a user's groups, e-mail address or keys.

    The groups that are given replace all that there were, and so do the keys. What is not given
    stays, as do password, app passwords and shares. Running gateways know it within seconds.
    """
    from vfs.auth.users import check_email, check_group, check_name
    from vfs.commands.opening import opened
    from vfs.state.errors import NoSuchAccount

    name = checked(check_name, name)
    for option, given, none in (("group", groups, no_groups), ("key", keys, no_keys)):
        if given and none:
            raise click.UsageError(f"--{option} and --no-{option}s contradict each other; keep one")
    if not (groups or no_groups or keys or no_keys) and email is None:
        raise click.UsageError("nothing is to be changed; give --group, --email or --key")
    listed = tuple(dict.fromkeys(checked(check_group, group) for group in groups))
    address = checked(check_email, email) if email else email
    public = tuple(map(_key, keys))
    with opened(config, state_dir) as gateway:
        gateway.refuse_configured(name)
        _check_alone(gateway, address or "", but=name)
        try:
            gateway.store.change_user(
                name,
                email=address,
                groups=listed if groups or no_groups else None,
                public_keys=public if keys or no_keys else None,
            )
        except NoSuchAccount as error:
            raise _nobody(name) from error
        gateway.note("user changed", user=name)
    click.echo(f"User {name!r} was changed.")


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
        gateway.note("user removed", user=name)
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


def _check_alone(gateway: "Opened", email: str, *, but: str = "") -> None:
    """Refuse an address that somebody, `but` one, has: it would name neither."""
    if not email:
        return
    others = [other for other in gateway.store.users() if other.name != but]
    addresses = {other.email: other.name for other in others}
    addresses |= {other.email.lower(): other.name for other in gateway.configured.values()}
    if email in addresses:
        raise click.UsageError(f"--email {email} is the address of user {addresses[email]!r}")
