"""Vault: seals what the gateway keeps for itself, and the master key that it is sealed with."""

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_FILE = "master.key"

_KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = b"\x01"
_READ_BYTES = 4096
_HOW = "make one with: (umask 077; head -c 32 /dev/urandom | base64 > FILE)"


class VaultError(Exception):
    """What was sealed cannot be opened, or there is no good master key; says the way out."""


class Vault:
    """Seals values by AES-256-GCM, each for one name. Fixed once made.

    A sealed value is a version byte, a random nonce, then the cipher text with its tag. Version
    and name are authenticated with it, so that it opens under no other name.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise VaultError(f"a master key has {_KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)

    def seal(self, name: str, plain: bytes) -> bytes:
        """Return `plain` sealed for `name`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, _bound(name))

    def open(self, name: str, sealed: bytes) -> bytes:
        """Return what was sealed for `name`; VaultError when this key did not seal it so."""
        if sealed[:1] != _VERSION:
            raise VaultError(
                f"{name!r} was sealed by another version of the gateway, or is damaged; use that"
                " version, or set it again"
            )
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, rest, _bound(name))
        except (InvalidTag, ValueError) as error:
            raise VaultError(
                f"{name!r} does not open: it was sealed with another master key, or is damaged;"
                f" put the old key back ([auth] master_key_file, or {KEY_FILE!r} in state_dir), or"
                " set it again"
            ) from error


def master_key(folder: Path, file: Path | None = None) -> bytes:
    """Return the key in `file`, else the one in the state directory, which is made at first use.

    All processes that start at once get the same key. VaultError when there is none to be had or
    when others may read it.
    """
    if file is not None:
        return _read(file)
    place = folder / KEY_FILE
    if not place.exists():
        _make(folder, place)
    return _read(place)


def _bound(name: str) -> bytes:
    return _VERSION + name.encode("utf-8", "surrogateescape")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read(_READ_BYTES)
    except OSError as error:
        raise VaultError(f"the master key '{path}' cannot be read: {error.strerror}") from error
    # A group may read it: that is how orchestrators hand secrets to a service's user.
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise VaultError(
            f"the master key '{path}' is open to others of this machine; run: chmod 600 '{path}'"
        )
    key = data if len(data) == _KEY_BYTES else _decoded(data)
    if len(key) != _KEY_BYTES:
        raise VaultError(f"'{path}' holds neither {_KEY_BYTES} bytes nor their base64; {_HOW}")
    return key


def _decoded(data: bytes) -> bytes:
    try:
        return base64.b64decode(data.strip(), validate=True)
    except binascii.Error:
        return b""


def _make(folder: Path, place: Path) -> None:
    """Make the key under a name of its own, then link it: the first of several processes wins."""
    temporary = folder / f"{KEY_FILE}.{secrets.token_hex(8)}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)) + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            place.hardlink_to(temporary)
        except FileExistsError:
            return
        finally:
            temporary.unlink()
        _sync(folder)
    except OSError as error:
        raise VaultError(
            f"no master key can be made in '{folder}': {error.strerror}; make the folder writable,"
            " or name a key with [auth] master_key_file"
        ) from error


def _sync(folder: Path) -> None:
    """Make the new name outlast a power cut, as what was sealed under it would."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
