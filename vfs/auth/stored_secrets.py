"""StoredSecrets: the secrets of back ends that the gateway keeps itself, sealed."""

import logging

from providers.errors import BadCredentials
from providers.secret import NAME_RULE, SECRET_MAX_BYTES, is_name
from vfs.auth.vault import Vault, VaultError
from vfs.state.accounts import AccountStore
from vfs.state.errors import Invalid, StateError, TooLarge

_log = logging.getLogger(__name__)


class StoredSecrets:
    """Seals secrets into the state store and opens them for the stores that need them. Fixed."""

    def __init__(self, store: AccountStore, vault: Vault) -> None:
        self._store = store
        self._vault = vault

    def put(self, name: str, value: str) -> None:
        """Keep `value` under `name`, over the one before; Invalid, TooLarge."""
        if not is_name(name):
            raise Invalid(NAME_RULE)
        plain = value.encode()
        if not plain:
            raise Invalid("a secret is not empty")
        if len(plain) > SECRET_MAX_BYTES:
            raise TooLarge(f"a secret has at most {SECRET_MAX_BYTES} bytes")
        self._store.put_secret(name, self._vault.seal(_place(name), plain))

    def reveal(self, name: str) -> str:
        """Return the value of this name; BadCredentials, and the cause in the log."""
        try:
            record = self._store.secret(name)
            if record is not None:
                return self._vault.open(_place(name), record.sealed).decode()
            cause = f"there is none; set it with: headgate secret set {name}"
        except (StateError, VaultError) as error:
            cause = str(error)
        _log.error("the stored secret %r cannot be read: %s", name, cause)
        raise BadCredentials(detail="a secret of this store cannot be read; the log says why")

    def changed_at_ns(self, name: str) -> int | None:
        """Return when it was last set, None when there is no such name."""
        record = self._store.secret(name)
        return None if record is None else record.changed_at_ns


def _place(name: str) -> str:
    """Return what a secret is sealed for, so that nothing else the vault seals opens as one."""
    return f"secret:{name}"
