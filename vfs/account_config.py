"""The accounts in a configuration file: users, issuers, and whom the rules name."""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from providers.errors import InvalidPath
from vfs.auth.keys import load_public_key
from vfs.auth.passwords import check_hash
from vfs.auth.settings import OidcConfig, UserConfig
from vfs.auth.users import check_name
from vfs.toml_file import TomlFile, dotted, header
from vfs.toml_lines import Key
from vfs.toml_table import read_table, table_at
from vfs.tree import paths

_HASH_MAX = 1024
_KEY_MAX = 64 * 1024
_PATH_MAX = 4096

T = TypeVar("T")


def read_users(file: TomlFile) -> tuple[UserConfig, ...]:
    """Read `[users.*]`, with hashes and keys fetched from the files that are named."""
    return tuple(_user(file, ("users", name)) for name in table_at(file, ("users",)))


def read_issuers(file: TomlFile) -> tuple[OidcConfig, ...]:
    """Read `[oidc.*]`."""
    issuers: dict[str, Key] = {}
    found = []
    for name in table_at(file, ("oidc",)):
        key: Key = ("oidc", name)
        issuer = _issuer(file, key)
        url = issuer.issuer.rstrip("/")
        if url in issuers:
            raise file.error(
                (*key, "issuer"), f"{header(key)} names the issuer of {header(issuers[url])} again"
            )
        issuers[url] = key
        found.append(issuer)
    return tuple(found)


def _user(file: TomlFile, key: Key) -> UserConfig:
    name = str(key[-1])
    name = _checked(file, key, check_name, name)
    user = read_table(file, key, UserConfig, given={"name": name})
    given = user.password_hash
    if user.password_hash_file is not None:
        if given is not None:
            raise file.error(
                (*key, "password_hash_file"),
                f"{header(key)} has 'password_hash' and 'password_hash_file'; keep one of them",
            )
        given = _content(file, (*key, "password_hash_file"), user.password_hash_file, _HASH_MAX)
    if given is None and not user.public_keys:
        raise file.error(
            key,
            f"{header(key)} can never log in: give it 'password_hash', which"
            " `headgate user hash` prints, or 'public_keys'",
        )
    if given is not None:
        place = "password_hash" if user.password_hash is not None else "password_hash_file"
        _checked(file, (*key, place), check_hash, given)
    texts = tuple(_public_key(file, (*key, "public_keys"), text) for text in user.public_keys)
    return msgspec.structs.replace(user, password_hash=given, public_keys=texts)


def _issuer(file: TomlFile, key: Key) -> OidcConfig:
    _checked(file, key, check_name, str(key[-1]))
    issuer = read_table(file, key, OidcConfig, given={"name": str(key[-1])})
    if not _is_safe(issuer.issuer):
        raise file.error(
            (*key, "issuer"),
            f"{dotted((*key, 'issuer'))} must be an https URL without '?' or '#', for whoever"
            " stands between could send other keys (http only on this machine)",
        )
    try:
        base = paths.parse(issuer.base_path)
    except InvalidPath as error:
        raise file.error(
            (*key, "base_path"), f"{dotted((*key, 'base_path'))} is no path: {error.detail}"
        ) from error
    return msgspec.structs.replace(issuer, base_path=base)


def _public_key(file: TomlFile, key: Key, text: str) -> str:
    """Return the key in PEM form that `text` is, or that lies in the file it names."""
    path = file.folder / text
    if "\n" not in text and len(text) <= _PATH_MAX and path.is_file():
        text = _content(file, key, path, _KEY_MAX)
    return _checked(file, key, load_public_key, text).pem


def _content(file: TomlFile, key: Key, path: Path, limit: int) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise file.error(key, f"{dotted(key)}: '{path}' is over {limit} bytes long")
        return data.decode().strip()
    except OSError as error:
        raise file.error(
            key, f"{dotted(key)}: '{path}' cannot be read: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise file.error(key, f"{dotted(key)}: '{path}' holds no text") from error


def _checked(file: TomlFile, key: Key, check: Callable[[str], T], text: str) -> T:
    try:
        return check(text)
    except ValueError as error:
        raise file.error(key, f"{dotted(key)}: {error}") from error


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    if not parts.hostname or set(url) & set("?#@ \\"):
        return False
    if parts.scheme == "https":
        return True
    try:
        local = ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        local = parts.hostname == "localhost"
    return parts.scheme == "http" and local
