"""`headgate site`: doors to accounts elsewhere, each with a key of its own."""

import datetime as dt
import re
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from vfs.commands.opening import Opened, opened, state_options

if TYPE_CHECKING:
    from providers.ssh.host_keys import HostKey
    from providers.ssh.session import SftpSession
    from vfs.site import Site, SiteFolder

_PATH = click.Path(path_type=Path, readable=False)
_ACCOUNT = re.compile(
    r"(?P<user>[^@\s]+)@(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^@:\s\[\]-][^@:\s\[\]]*))"
    r"(?::(?P<port>\d{1,5}))?"
)


@click.group()
def site() -> None:
    """Open doors to accounts on SSH servers, for mounts to use."""


@site.command()
@click.argument("name")
@click.argument("account", metavar="USER@HOST[:PORT]")
@click.option("--config", metavar="FILE", type=_PATH, required=True, help="Configuration.")
@click.option("--path", default="", metavar="REMOTE", help="The folder there; default: the home.")
@click.option("--mount", metavar="PATH", help="Where it is mounted; default: /NAME.")
@click.option("--fingerprint", metavar="SHA256:...", help="The host key's; else it is asked for.")
@click.option("--key", metavar="FILE", type=_PATH, help="Log in by this key, not by a password.")
@click.option("--agent", is_flag=True, help="Log in by the keys of the ssh-agent.")
@click.option(
    "--authorized-keys",
    default=".ssh/authorized_keys",
    show_default=True,
    metavar="REMOTE",
    help="The file of keys there.",
)
def add(
    *,
    name: str,
    account: str,
    config: Path,
    path: str,
    mount: str | None,
    fingerprint: str | None,
    key: Path | None,
    agent: bool,
    authorized_keys: str,
) -> None:
    """Mount a folder of an account under NAME.

    Logs in once, by a password that is asked for (or by --key, --agent), leaves a fresh key there
    that opens SFTP alone, forgets the password, and adds the mount to the configuration.
    """
    from providers.errors import StorageError
    from vfs.authorized_keys import AuthorizedKeys
    from vfs.commands.prompt import known_secret
    from vfs.site import Site, SiteFolder

    user, host, port = _account(account)
    target = _mount(name, mount)
    with opened(config, None) as gateway:
        _require_free(gateway, name, target)
        folder = SiteFolder(gateway.folder.absolute(), name)
        try:
            host_key = _confirmed(host, port, fingerprint)
            folder.make(host, port, host_key)
            word = "" if key or agent else known_secret(f"password of {user}@{host}")
            with closing(_first(folder, (user, host, port), word, key, agent=agent)) as session:
                del word
                line = folder.make_key(name, dt.datetime.now(dt.UTC).date())
                new = Site(
                    name=name,
                    user=user,
                    host=host,
                    port=port,
                    path=path,
                    mount=target,
                    authorized_keys=authorized_keys,
                    line=line,
                    added=dt.datetime.now(dt.UTC).replace(microsecond=0),
                )
                keys = AuthorizedKeys(session, authorized_keys)
                keys.add(line)
                try:
                    _verify(folder, new)
                except BaseException:
                    keys.remove(line)
                    raise
            folder.keep(new)
        except StorageError as error:
            folder.remove()
            raise click.ClickException(f"{account}: {error.detail or error.text}") from error
        except BaseException:
            folder.remove()
            raise
        gateway.note("site added", name=name, account=f"{user}@{host}:{port}", mount=target)
        click.echo(f"A key that opens SFTP alone was left at {user}@{host}; the login works.")
        _write_mount(config, folder.table(new), target)


class Listed(msgspec.Struct, frozen=True):
    """A site, as it is listed."""

    name: str
    account: str
    path: str
    mount: str
    added: dt.datetime


@site.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@state_options
def list_(*, as_json: bool, config: Path | None, state_dir: Path | None) -> None:
    """Show the sites that were added."""
    from vfs.commands.listing import show
    from vfs.site import sites

    with opened(config, state_dir) as gateway:
        rows = [
            Listed(one.name, f"{one.user}@{one.host}:{one.port}", one.path, one.mount, one.added)
            for one in sites(gateway.folder)
        ]
    show(Listed, rows, as_json=as_json)


@site.command()
@click.argument("name")
@click.option("--forget", is_flag=True, help="Even if the server cannot be reached.")
@state_options
def revoke(name: str, *, forget: bool, config: Path | None, state_dir: Path | None) -> None:
    """Remove the key of NAME from the account there, and forget it here."""
    from providers.errors import BadCredentials, StorageError
    from providers.secret import is_name
    from providers.sftp_options import connect
    from vfs.authorized_keys import AuthorizedKeys
    from vfs.site import SiteFolder

    with opened(config, state_dir) as gateway:
        folder = SiteFolder(gateway.folder.absolute(), name)
        old = folder.read() if is_name(name) else None
        if old is None:
            raise click.UsageError(f"there is no site {name!r}; `headgate site list` shows all")
        options = folder.options(old)
        try:
            with closing(connect(options)) as session:
                there = AuthorizedKeys(session, old.authorized_keys).remove(old.line)
            click.echo(
                f"The key was removed from {old.user}@{old.host}."
                if there
                else f"{old.authorized_keys} of {old.user}@{old.host} has no such line any more."
            )
            _require_shut(old, folder)
        except BadCredentials:
            click.echo(f"{old.user}@{old.host} lets this key in no more.")
        except StorageError as error:
            if not forget:
                raise click.ClickException(
                    f"{old.user}@{old.host}: {error.detail or error.text}; the key may still open "
                    "it. Try again, or use --forget and remove this line there: " + old.line
                ) from error
            click.echo(f"The key may still open {old.user}@{old.host}; remove there: {old.line}")
        folder.shut()
        gateway.note("site revoked", name=name, account=f"{old.user}@{old.host}:{old.port}")
    click.echo(
        f"{name} is forgotten. Remove the table of the mount {old.mount} from the configuration,"
        " then run: headgate reload"
    )


def _account(text: str) -> tuple[str, str, int]:
    from providers.ssh.host_keys import DEFAULT_PORT

    found = _ACCOUNT.fullmatch(text)
    port = int(found["port"] or DEFAULT_PORT) if found else 0
    if found is None or not 0 < port < 1 << 16 or found["user"].startswith("-"):
        raise click.UsageError(f"{text!r} is no account; write USER@HOST or USER@HOST:PORT")
    return found["user"], found["v6"] or found["host"], port


def _mount(name: str, mount: str | None) -> str:
    from providers.errors import InvalidPath
    from providers.secret import NAME_RULE, is_name
    from vfs.tree import paths

    if not is_name(name):
        raise click.UsageError(f"{name!r} cannot be the name of a site: {NAME_RULE}")
    try:
        return paths.parse(mount if mount is not None else f"/{name}")
    except InvalidPath as error:
        raise click.UsageError(f"{mount!r} is no path to mount at: {error.detail}") from error


def _require_free(gateway: Opened, name: str, mount: str) -> None:
    from vfs.site import SiteFolder

    assert gateway.config is not None
    if any(one.path == mount for one in gateway.config.mounts):
        raise click.UsageError(
            f"'{gateway.config.file}' has a mount {mount} already; name another with --mount"
        )
    folder = SiteFolder(gateway.folder, name)
    if folder.read() is not None:
        raise click.UsageError(
            f"there is a site {name!r} already; take another name, or run:"
            f" headgate site revoke {name}"
        )
    folder.remove()  # what an interrupted command left


def _confirmed(host: str, port: int, fingerprint: str | None) -> "HostKey":
    """Return the key that somebody says is the server's."""
    from providers.ssh.host_keys import place, scan

    keys = scan(host, port)
    shown = ", ".join(f"{one.label} {one.fingerprint}" for one in keys)
    if fingerprint is not None:
        for one in keys:
            if one.fingerprint == fingerprint:
                return one
        raise click.ClickException(
            f"{place(host, port)} shows {shown}, and not {fingerprint}: either that is wrong, or"
            " somebody stands between; ask its administrator"
        )
    first = keys[0]
    click.echo(f"{place(host, port)} shows the {first.label} key {first.fingerprint}", err=True)
    if not sys.stdin.isatty():
        raise click.UsageError(
            "nobody is here to confirm it: compare it with what its administrator says, then use"
            f" --fingerprint {first.fingerprint}"
        )
    click.confirm("Is that what its administrator says?", abort=True, err=True)
    return first


def _first(
    folder: "SiteFolder", account: tuple[str, str, int], word: str, key: Path | None, *, agent: bool
) -> "SftpSession":
    """Log in as the user does, not by the new key."""
    from providers.sftp_options import SftpOptions, open_session, transport_of

    user, host, port = account
    options = SftpOptions(
        host=host,
        user=user,
        port=port,
        known_hosts=folder.known_hosts,
        key_file=key.absolute() if key else None,
        agent=agent,
    )
    return open_session(options, transport_of(options), (lambda: word) if word else None)


def _verify(folder: "SiteFolder", new: "Site") -> None:
    """Log in by the new key alone, and look at the folder that is to be served."""
    from providers.errors import BadCredentials
    from providers.sftp import SftpProvider

    try:
        with closing(SftpProvider(folder.options(new))) as provider:
            provider.health()
    except BadCredentials as error:
        raise BadCredentials(
            detail=f"the key was left in {new.authorized_keys}, but the server does not take it;"
            " is that the file it reads? name another with --authorized-keys"
        ) from error


def _require_shut(old: "Site", folder: "SiteFolder") -> None:
    """Raise BadCredentials, as it should be, when the key opens nothing any more."""
    from providers.errors import Denied
    from providers.sftp_options import connect

    connect(folder.options(old)).close()
    raise Denied(detail="the server still takes the key; it stands in another file too")


def _write_mount(config: Path, table: str, mount: str) -> None:
    """Append the table to the configuration, or print it where that cannot be."""
    import contextlib
    import os
    import secrets

    from vfs.config import load
    from vfs.toml_file import ConfigError

    file = config.resolve()
    text = file.read_bytes()
    gap = b"\n" if text.endswith(b"\n") else b"\n\n"
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        status = file.stat()
        if not os.access(file, os.W_OK):
            raise PermissionError
        try:
            beside.write_bytes(text + gap + table.encode())
            beside.chmod(status.st_mode & 0o777)
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(beside, status.st_uid, status.st_gid)
            load(beside)
            beside.replace(file)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()
    except (OSError, ConfigError):
        click.echo(f"'{config}' cannot be changed from here. Add this table to it:\n\n{table}")
        return
    click.echo(f"The mount {mount} was added to '{config}'. Now run: headgate reload")
