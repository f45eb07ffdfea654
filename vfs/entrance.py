"""Entrance: what a configuration says about accounts, put together."""

from collections.abc import Callable, Mapping
from pathlib import Path

from vfs.auth.audit import AUDIT_FILE, Audit, AuditRecord, Outcome
from vfs.auth.authenticator import Authenticator
from vfs.auth.basic import Basic
from vfs.auth.caller import Caller
from vfs.auth.gateway_key import GatewayKey
from vfs.auth.gateway_tokens import ISSUER, GatewayTokens
from vfs.auth.issuers import Issuers
from vfs.auth.key_tokens import KeyTokens
from vfs.auth.passwords import Passwords
from vfs.auth.quota import RATES_FILE, Quota
from vfs.auth.remembered import Remembered
from vfs.auth.settings import LimitsConfig, UserConfig
from vfs.auth.throttle import THROTTLE_FILE, Throttle
from vfs.auth.tokens import check_revoked, peek
from vfs.auth.users import User, Users
from vfs.auth.vault import Vault
from vfs.config import Config, check_groups
from vfs.http.visit import Visit
from vfs.state.accounts import AccountStore
from vfs.toml_file import ConfigError, TomlFile

# They hold a thread each, but after a change of the accounts all log in anew at one moment.
_ALL = 1_000_000
_REFUSED = range(400, 500)
_FAILED = 500
_RELOCATIONS = ("COPY", "MOVE")


class Entrance:
    """Lets callers in, bounds them, and writes down what they did.

    The counts of failed logins are fixed, so that nobody gains by a reload. What follows the
    configuration is replaced by what `prepare` returns, each attribute in one atomic step.
    `_is_open` turns False once.
    """

    def __init__(
        self,
        config: Config,
        *,
        folder: Path,
        store: AccountStore,
        vault: Vault,
        close: Callable[[], None],
    ) -> None:
        self._store = store
        self._key = GatewayKey(store, vault)
        self._close = close
        self._folder = folder
        self._throttle = Throttle(folder / THROTTLE_FILE)
        self._passwords = Passwords()
        self._known_passwords = Passwords(waiting=_ALL)
        self._audit: Audit | None = None
        self._is_open = True
        self._quota = Quota(LimitsConfig())
        self._issuers = Issuers((), ())
        self.prepare(config)()

    def prepare(self, config: Config) -> Callable[[], None]:
        """Return what puts a configuration in force; raise ConfigError when a part cannot be."""
        users = Users(map(_user, config.users), self._store)
        check_groups(config, users.groups())
        issuers = _issuers(config)
        issuers.take_over(self._issuers)
        keys = KeyTokens(users, self._store, config.audience)
        own = GatewayTokens(self._store, self._key, users, config.audience)

        def token(text: str) -> Caller:
            peeked = peek(text)
            issuer = peeked.claims.get("iss")
            if issuer == ISSUER:
                return own.verify(peeked, text)
            if isinstance(issuer, str) and issuers.knows(issuer):
                caller = issuers.verify(peeked, text)
                check_revoked(peeked, self._store)
                return caller
            return keys.verify(peeked, text)

        authenticator = Authenticator(
            memory=Remembered(config.auth.remember_seconds, self._store.generation),
            brake=self._throttle,
            password=Basic(users, self._passwords, self._store, known=self._known_passwords).verify,
            token=token,
            has_accounts=lambda: bool(config.oidc) or users.any(),
            close=self._shut,
        )
        audit = self._opened_audit(config)

        def follow() -> None:
            self.users, self.tokens = users, own
            self._issuers = issuers
            issuers.prefetch()
            self._authenticator = authenticator
            before, self._quota = self._quota, Quota(config.limits, self._folder / RATES_FILE)
            before.close()
            old, self._audit = self._audit, audit
            if old is not None and old is not audit:
                old.close()

        return follow

    @property
    def is_open(self) -> bool:
        """Tell whether there was no account yet."""
        return self._is_open

    def authenticate(self, headers: Mapping[str, str], address: str) -> Caller:
        """Return who asks; see Authenticator."""
        return self._authenticator.caller(headers, address)

    def challenges(self) -> tuple[str, ...]:
        """Return what a client may log in with."""
        return self._authenticator.challenges()

    def quota(self) -> Quota:
        """Return what bounds callers now; a request leaves the one that it entered."""
        return self._quota

    def ended(self, visit: Visit) -> None:
        """Write a request that is over into the audit log."""
        audit = self._audit
        if audit is None:
            return
        caller = visit.caller
        audit.write(
            AuditRecord(
                time=visit.began,
                request=visit.id,
                user=caller.name if caller.name is not None else visit.claimed or None,
                credential=caller.credential,
                address=visit.address,
                method=visit.method,
                path=visit.path,
                destination=visit.destination if visit.method in _RELOCATIONS else None,
                status=visit.status,
                outcome=_outcome(visit),
                received=visit.received,
                sent=visit.sent,
                ms=visit.seconds * 1000,
            )
        )

    def note(self, action: str, **fields: str | float | None) -> None:
        """Write an event into the audit log."""
        if self._audit is not None:
            self._audit.note(action, **fields)

    def close(self) -> None:
        """Close the audit log, and what is shared with other processes."""
        self._throttle.close()
        self._quota.close()
        if self._audit is not None:
            self._audit.close()

    def _shut(self) -> None:
        self._is_open = False
        self._close()

    def _opened_audit(self, config: Config) -> Audit | None:
        """Return the audit log that the configuration names; without a file there is none."""
        if not config.audit.enabled or config.file is None:
            return None
        path = config.audit.file or self._folder / AUDIT_FILE
        audit = self._audit
        if audit is None or audit.path != path:
            audit = Audit(path)
        try:
            audit.open()
        except OSError as error:
            text = f"audit.file: '{path}' cannot be written: {error.strerror}"
            raise _error(config, ("audit", "file"), text) from error
        return audit


def _issuers(config: Config) -> Issuers:
    try:
        return Issuers(config.oidc, config.audience)
    except ValueError as error:
        raise _error(config, ("oidc",), str(error)) from error


def _error(config: Config, key: tuple[str, ...], text: str) -> ConfigError:
    assert config.file is not None
    return TomlFile(config.file).error(key, text)


def _user(config: UserConfig) -> User:
    return User(
        name=config.name,
        password_hash=config.password_hash or "",
        email=config.email,
        groups=frozenset(config.groups),
        public_keys=config.public_keys,
    )


def _outcome(visit: Visit) -> Outcome:
    if visit.status >= _FAILED:
        return "failed"
    if visit.status in _REFUSED:
        return "refused"
    return "ok" if visit.whole else "cut"
