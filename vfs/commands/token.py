"""`headgate token`: tokens for programs, signed by a user's own key or by the gateway."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vfs.commands.duration import DURATION
from vfs.commands.opening import opened, state_options

if TYPE_CHECKING:
    from vfs.auth.gateway_tokens import GatewayTokens
    from vfs.auth.tokens import Peeked
    from vfs.auth.users import Users
    from vfs.commands.opening import Opened

_PATH = click.Path(path_type=Path, readable=False)
_KEY_MAX_BYTES = 64 * 1024
_TIMES = {"iat": "issued", "nbf": "good from", "exp": "good until"}
_WHERE = "[FILE|-]"


@click.group()
def token() -> None:
    """Make, read and revoke tokens for programs."""


@token.command()
@click.option("--user", metavar="NAME", required=True, help="Whom it lets its bearer be.")
@click.option("--key", metavar="FILE", type=_PATH, help="Sign with this private key of the user's.")
@click.option("--passphrase-file", metavar="FILE", type=_PATH, help="Passphrase of the key.")
@click.option(
    "--scope", "words", metavar="SCOPE", multiple=True, help="Bound it, as storage.read:/PATH."
)
@click.option(
    "--expires", metavar="TIME", type=DURATION, default="1h", help="When it ends; default 1h."
)
@click.option("--audience", metavar="URL", help="The only service that it is for.")
@state_options
def issue(
    *,
    user: str,
    key: Path | None,
    passphrase_file: Path | None,
    words: tuple[str, ...],
    expires: float,
    audience: str | None,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Print a new token.

    With --key it is signed with a private key whose public half the gateway knows; no gateway is
    needed for it. Otherwise the gateway signs it. The token alone goes to standard output.
    """
    from vfs.auth import scopes
    from vfs.auth.errors import Unauthenticated
    from vfs.auth.tokens import moment, peek

    scope = tuple(word for text in words for word in text.split(" ") if word)
    for word in scope:
        try:
            scopes.check(word)
        except ValueError as error:
            raise click.UsageError(f"--scope {error}") from error
    if key is not None:
        if config or state_dir:
            raise click.UsageError("sign either with --key or by the gateway; leave one out")
        claims: dict[str, object] = {"sub": user, "exp": int(expires)}
        if scope:
            claims["scope"] = " ".join(scope)
        if audience is not None:
            claims["aud"] = audience
        text = _signed(key, passphrase_file, claims)
    else:
        if passphrase_file:
            raise click.UsageError("--passphrase-file goes with --key FILE")
        with opened(config, state_dir) as gateway:
            text = _issued(gateway, user, scope, expires, audience)
    try:
        made = peek(text)
    except Unauthenticated as error:
        raise click.UsageError(f"{error.detail}; give it fewer or shorter scopes") from error
    click.echo(f"for {user!r}, good until {moment(expires)}, id {made.id}", err=True)
    click.echo(text)


@token.command()
@click.argument("source", metavar=_WHERE, default="-")
@click.option("--config", metavar="FILE", type=_PATH, help="Configuration, to verify it.")
@click.option("--state-dir", metavar="DIR", type=_PATH, help="Its state_dir.")
def inspect(*, source: str, config: Path | None, state_dir: Path | None) -> None:
    """Show what a token says, and with --config whether the gateway would take it.

    The token is read from a file or from standard input.
    """
    text, peeked = _read(source)
    click.echo(f"id: {peeked.id}")
    click.echo(f"header: {json.dumps(peeked.header, indent=2)}")
    click.echo(f"claims: {json.dumps(peeked.claims, indent=2)}")
    _show_times(peeked)
    _show_scopes(peeked)
    if config is None and state_dir is None:
        click.echo("signature: not checked; name the gateway with --config FILE")
        return
    with opened(config, state_dir) as gateway:
        _show_verdict(gateway, text, peeked)


@token.command()
@click.argument("source", metavar=_WHERE, default="-")
@click.option("--id", "token_id", metavar="ID", help="The token's id, instead of the token.")
@state_options
def revoke(
    *, source: str, token_id: str | None, config: Path | None, state_dir: Path | None
) -> None:
    """Make a token worthless before its end.

    It is read from a file or from standard input. Running gateways refuse it within seconds.
    """
    from vfs.auth.errors import Unauthenticated
    from vfs.auth.tokens import ID, LATEST_SECONDS, LEEWAY_SECONDS, good_until

    if token_id is None:
        _, peeked = _read(source)
        try:
            ends = good_until(peeked.claims)
        except Unauthenticated as error:
            raise click.UsageError(error.detail) from error
        token_id = peeked.id
        if ends < time.time():
            click.echo(f"Token {token_id} is over already; nothing was to be done.")
            return
    else:
        if source != "-":
            raise click.UsageError("give either --id or a token, not both")
        if ID.fullmatch(token_id) is None:
            raise click.UsageError(
                "--id is no id of a token; `headgate token issue` and `inspect` show it"
            )
        ends = LATEST_SECONDS
    with opened(config, state_dir) as gateway:
        # For longer than the token is good: other processes may have other clocks.
        gateway.store.revoke_token(
            token_id, expires_at_ns=int(ends + LEEWAY_SECONDS) * 1_000_000_000
        )
    click.echo(f"Token {token_id} was revoked.")


def _signed(key: Path, passphrase_file: Path | None, claims: dict[str, object]) -> str:
    import jwt

    from vfs.auth.gateway_tokens import new_id
    from vfs.auth.keys import load_private_key, public_key
    from vfs.commands.prompt import known_secret

    def passphrase() -> str:
        if passphrase_file is None:
            return known_secret("passphrase of the key")
        return _content(passphrase_file).removesuffix("\n").removesuffix("\r")

    try:
        private = load_private_key(_content(key).encode(), passphrase)
    except ValueError as error:
        raise click.UsageError(f"--key '{key}': {error}") from error
    claims |= {"jti": new_id(), "iat": int(time.time())}
    public = public_key(private.public_key())
    return jwt.encode(claims, private, public.algorithms[0], headers={"kid": public.id})


def _issued(
    gateway: "Opened", user: str, scope: tuple[str, ...], expires: float, audience: str | None
) -> str:
    from vfs.auth.vault import VaultError

    users = _users(gateway)
    if users.find(user) is None:
        raise click.UsageError(f"there is no user {user!r}; see: headgate user list")
    known = gateway.config.audience if gateway.config else ()
    if audience is not None and known and audience not in known:
        raise click.UsageError(
            f"--audience {audience!r} is not this gateway, which would refuse the token; it is"
            f" {known[0]!r}"
        )
    try:
        return _gateway_tokens(gateway, users).issue(
            user, expires_at=expires, scope=scope, audience=audience
        )
    except VaultError as error:
        raise click.ClickException(str(error)) from error


def _users(gateway: "Opened") -> "Users":
    from vfs.auth.users import User, Users

    configured = gateway.config.users if gateway.config else ()
    return Users(
        (
            User(
                name=user.name,
                email=user.email,
                groups=frozenset(user.groups),
                public_keys=user.public_keys,
            )
            for user in configured
        ),
        gateway.store,
    )


def _gateway_tokens(gateway: "Opened", users: "Users") -> "GatewayTokens":
    from vfs.auth.gateway_key import GatewayKey
    from vfs.auth.gateway_tokens import GatewayTokens
    from vfs.binding import vault_of

    config = gateway.config
    vault = vault_of(config, gateway.folder)
    audience = config.audience if config else ()
    return GatewayTokens(gateway.store, GatewayKey(gateway.store, vault), users, audience)


def _read(source: str) -> "tuple[str, Peeked]":
    from vfs.auth.errors import Unauthenticated
    from vfs.auth.tokens import peek
    from vfs.commands.prompt import known_secret

    if source == "-":
        text = known_secret("token")
    elif source.startswith("eyJ") and source.count(".") > 1:
        raise click.UsageError(
            "a token is no argument, for others of this machine can see it and it stays in the"
            " shell's history; pipe it in or name a file"
        )
    else:
        text = _content(Path(source))
    text = text.strip()
    try:
        return text, peek(text)
    except Unauthenticated as error:
        raise click.UsageError(error.detail) from error


def _content(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_KEY_MAX_BYTES).decode(errors="replace")
    except OSError as error:
        raise click.UsageError(f"'{path}' cannot be read: {error.strerror}") from error


def _show_times(peeked: "Peeked") -> None:
    from vfs.auth.errors import Unauthenticated
    from vfs.auth.tokens import moment, time_of

    for claim, what in _TIMES.items():
        try:
            seconds = time_of(peeked.claims, claim)
        except Unauthenticated:
            click.echo(f"{what}: not readable")
            continue
        if seconds is not None:
            over = " (over)" if claim == "exp" and seconds < time.time() else ""
            click.echo(f"{what}: {moment(seconds)}{over}")


def _show_scopes(peeked: "Peeked") -> None:
    from vfs.auth import scopes
    from vfs.auth.errors import Unauthenticated
    from vfs.auth.right import Right
    from vfs.auth.tokens import scope_words

    try:
        grants = scopes.parse(scope_words(peeked.claims))
    except Unauthenticated:
        grants = ()
    if grants is None:
        click.echo("bounds: none; it is good for all that its user may do")
    elif not grants:
        click.echo("bounds: it is good for nothing")
    else:
        for grant in grants:
            named = ", ".join(right for right in Right if right in grant.rights)
            click.echo(f"bounds: {named} at {json.dumps(grant.path)}")


def _show_verdict(gateway: "Opened", text: str, peeked: "Peeked") -> None:
    from vfs.auth.errors import Unauthenticated
    from vfs.auth.gateway_tokens import ISSUER
    from vfs.auth.key_tokens import KeyTokens
    from vfs.auth.vault import VaultError

    config = gateway.config
    issuer = peeked.claims.get("iss")
    if config and any(issuer == known.issuer for known in config.oidc):
        click.echo("signature: that of an issuer, which is not asked here")
        return
    users = _users(gateway)
    tokens: KeyTokens | GatewayTokens
    try:
        if issuer == ISSUER:
            tokens = _gateway_tokens(gateway, users)
            fits = tokens.is_signed(peeked, text)
        else:
            tokens = KeyTokens(users, gateway.store, config.audience if config else ())
            fits = tokens.signer(peeked, text) is not None
        click.echo(f"signature: {'fits' if fits else 'does not fit'}")
        caller = tokens.verify(peeked, text)
    except VaultError as error:
        raise click.ClickException(str(error)) from error
    except Unauthenticated as error:
        click.echo(f"verdict: {error.detail}")
    else:
        click.echo(f"verdict: the token is accepted, as {caller.credential} of {caller.name!r}")
