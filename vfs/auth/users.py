"""Users: one view of those in the configuration and those in the state store."""

import unicodedata
from collections.abc import Iterable

import msgspec

from vfs.state.accounts import AccountStore, UserRecord

NAME_MAX_CHARACTERS = 64
# Those of federations are paths.
GROUP_MAX_CHARACTERS = 255


def check_name(text: str) -> str:
    """Return a user's name in its one spelling (NFC); ValueError, with the cause, if it is none."""
    name = unicodedata.normalize("NFC", text)
    cause = ""
    if not name:
        cause = "it is empty"
    elif len(name) > NAME_MAX_CHARACTERS:
        cause = f"it has more than {NAME_MAX_CHARACTERS} characters"
    elif name != name.strip():
        cause = "it starts or ends with a blank"
    elif ":" in name or "/" in name:
        # Basic authentication ends the name at a colon; a slash would part it in a path.
        cause = "it has a colon or a slash"
    elif not name.isprintable():
        cause = "it has a character that cannot be shown"
    if cause:
        raise ValueError(f"{text!r} cannot be the name of a user: {cause}")
    return name


def check_email(text: str) -> str:
    """Return an e-mail address in the spelling that is compared; ValueError if it is none."""
    local, at, domain = text.rpartition("@")
    if not (at and local and domain and text.isprintable()) or " " in text:
        raise ValueError(f"{text!r} is no e-mail address such as ann@example.org")
    return text.lower()


def check_group(text: str) -> str:
    """Return a group's name in its one spelling (NFC); ValueError if it is none."""
    name = unicodedata.normalize("NFC", text)
    if not 0 < len(name) <= GROUP_MAX_CHARACTERS or not name.isprintable() or name != name.strip():
        raise ValueError(
            f"{text!r} cannot be the name of a group: it has 1 to {GROUP_MAX_CHARACTERS} characters"
            " that can be shown, and no blank at its ends"
        )
    return name


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One user. `password_hash` is "" for one who has no password, `email` "" for none.

    `created_at_ns` is 0 for one of the configuration.
    """

    name: str
    password_hash: str = ""
    email: str = ""
    groups: frozenset[str] = frozenset()
    public_keys: tuple[str, ...] = ()
    created_at_ns: int = 0


class Users:
    """Finds users. A user of the configuration hides one of the store of the same name.

    All attributes are fixed; a reload makes a new one. The store is asked each time.
    """

    def __init__(self, configured: Iterable[User], store: AccountStore) -> None:
        self._configured = {unicodedata.normalize("NFC", user.name): user for user in configured}
        self._store = store

    def find(self, name: str) -> User | None:
        """Return the user of this name."""
        if not name.isprintable():
            return None
        name = unicodedata.normalize("NFC", name)
        found = self._configured.get(name)
        if found is None:
            record = self._store.user(name)
            found = None if record is None else _user(record)
        return found

    def find_by_email(self, email: str) -> User | None:
        """Return the one user with this address, in any case of its letters; None for several."""
        if not email or not email.isprintable():
            return None
        email = email.lower()
        found = [user for user in self._configured.values() if user.email.lower() == email]
        record = self._store.user_by_email(email)
        if record is not None and record.name not in self._configured:
            found.append(_user(record))
        return found[0] if len(found) == 1 else None

    def any(self) -> bool:
        """Tell whether there is any user."""
        return bool(self._configured) or self._store.any_users()

    def groups(self) -> frozenset[str]:
        """Return the names of all groups that anybody is in."""
        users = [*self._configured.values(), *map(_user, self._store.users())]
        return frozenset().union(*(user.groups for user in users))


def _user(record: UserRecord) -> User:
    return User(
        name=record.name,
        password_hash=record.password_hash,
        email=record.email,
        groups=frozenset(record.groups),
        public_keys=record.public_keys,
        created_at_ns=record.created_at_ns,
    )
