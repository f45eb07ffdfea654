"""Request targets and Destination headers to tree paths, and tree paths to hrefs."""

import functools
import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from providers.errors import InvalidPath
from providers.names import check_path
from vfs.http.bad_request import BadRequest

# The longest path of a POSIX system is 4096 bytes, each of which may be three characters here.
MAX_TARGET_CHARACTERS = 16 * 1024

KNOWN_CHARACTERS = 256
"""Targets up to this length are remembered."""

_HREF_SAFE = "/~!$()*+,=:@"
_NEEDS_NO_QUOTING = re.compile(r"[A-Za-z0-9/._~!$()*+,=:@-]*")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f#]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SLASHES = re.compile(r"//+")
_ALIAS = re.compile(
    r"(?P<prefix>/remote\.php/(?:webdav|dav/(?P<space>files|uploads)/(?P<user>[^/]+)))"
    r"(?P<path>/.*)?",
    re.DOTALL,
)
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_USERINFO = re.compile(r"([^/]*//)?[^/]*@")
_AUTHORITY = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~-]{1,253})(?::(?P<port>[0-9]{0,5}))?"
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Target(NamedTuple):
    """Where a request points.

    `path` is the tree's: "/" or "/a/b". `is_folder` says that the client wrote a slash at the end.
    `query` is raw. `authority` is the host of an absolute target, "" if it had none.

    Clients made for Nextcloud reach the namespace below `prefix`, and hrefs for them begin with it;
    `path` is what follows. `user` is whom it names. With `is_upload` it holds uploads in parts, and
    `path` is not the tree's.
    """

    path: str
    is_folder: bool
    query: str
    authority: str
    prefix: str = ""
    user: str = ""
    is_upload: bool = False


def parse_target(raw: str) -> Target:
    """Parse the target of a request line: a path, or a whole URL as proxies get it.

    `raw` has one character per byte, or is text. Percent escapes are decoded once. BadRequest 400
    for what is no path here, 414 for one that is too long.
    """
    return _known_target(raw) if len(raw) <= KNOWN_CHARACTERS else _parsed_target(raw)


def _parsed_target(raw: str) -> Target:
    _check_length(raw)
    authority = ""
    if not raw.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(raw)
        if absolute is None or absolute[1].lower() not in _DEFAULT_PORTS:
            raise BadRequest(
                400, "The request target is neither a path that starts with / nor an http URL."
            )
        authority, raw = absolute[2].rpartition("@")[2], absolute[3]
        if _AUTHORITY.fullmatch(authority) is None:
            raise BadRequest(400, "The request target names no valid host.")
        if not raw.startswith("/"):
            raw = f"/{raw}"
    path, _, query = raw.partition("?")
    return _target(_tree_path(path), query, authority)


_known_target = functools.lru_cache(maxsize=4096)(_parsed_target)


def parse_destination(value: str, origins: Collection[str]) -> Target:
    """Parse the Destination of a COPY or MOVE: a path, or a URL of one of our own `origins`.

    `origins` are values of `origin`. BadRequest 502 for another server, 400 and 414 as for a
    request target. A password in the URL is dropped and never told.
    """
    # What may hold a password is not remembered.
    if len(value) <= KNOWN_CHARACTERS and "@" not in value:
        return _known_destination(value, tuple(origins))
    return _parsed_destination(value, origins)


def _parsed_destination(value: str, origins: Collection[str]) -> Target:
    value = value.strip(" \t")
    _check_length(value)
    authority = ""
    if not value.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(value)
        if absolute is None:
            raise BadRequest(
                400, "Destination is neither a URL nor a path that starts with /; send one."
            )
        scheme, authority, value = absolute[1], absolute[2].rpartition("@")[2], absolute[3] or "/"
        if origin(scheme, authority) not in origins:
            raise BadRequest(
                502,
                "Destination is on another server, and this one copies and moves only within"
                " itself; behind a proxy, the gateway must be told to trust the proxy.",
            )
    if "?" in value:
        raise BadRequest(400, "Destination has a query; write a ? in a name as %3F.")
    target = _target(_tree_path(value), "", authority)
    if target.is_upload:
        raise BadRequest(
            403, "Destination lies among the uploads, which take parts by PUT; name a file."
        )
    return target


_known_destination = functools.lru_cache(maxsize=1024)(_parsed_destination)


def without_secrets(url: str) -> str:
    """Return a URL for the audit log: without user, password and query, where a token may stand."""
    place, mark, _ = url.partition("?")
    found = _USERINFO.match(place)
    return (place if found is None else (found[1] or "") + place[found.end() :]) + mark


def origin(scheme: str, authority: str) -> str:
    """Return scheme and host in the one form that can be compared, "" if they are none."""
    found = _AUTHORITY.fullmatch(authority)
    scheme = scheme.lower()
    if found is None or scheme not in _DEFAULT_PORTS:
        return ""
    port = (found["port"] or "").lstrip("0")
    host = found["host"].lower()
    if port and port != _DEFAULT_PORTS[scheme]:
        return f"{scheme}://{host}:{port}"
    return f"{scheme}://{host}"


def quote(path: str) -> str:
    """Return a path, or one name, as it stands in a URL and, unescaped, in XML and HTML."""
    if _NEEDS_NO_QUOTING.fullmatch(path) is not None:
        return path
    return quote_from_bytes(path.encode("utf-8", "surrogateescape"), safe=_HREF_SAFE)


def quote_all(names: list[str]) -> list[str]:
    """Return `quote` of each of many names, at the price of one where none needs it."""
    is_plain = _NEEDS_NO_QUOTING.fullmatch("".join(names)) is not None
    return names if is_plain else list(map(quote, names))


def _target(place: tuple[str, bool], query: str, authority: str) -> Target:
    path, is_folder = place
    alias = _ALIAS.fullmatch(path) if path.startswith("/remote.php/") else None
    if alias is None:
        return Target(path, is_folder, query, authority)
    return Target(
        alias["path"] or "/",
        is_folder,
        query,
        authority,
        alias["prefix"],
        alias["user"] or "",
        alias["space"] == "uploads",
    )


def _check_length(raw: str) -> None:
    if len(raw) > MAX_TARGET_CHARACTERS:
        raise BadRequest(
            414, f"The path is longer than {MAX_TARGET_CHARACTERS} characters; use shorter names."
        )


def _tree_path(raw: str) -> tuple[str, bool]:
    """Return the tree path of a raw path, and whether it ended in a slash."""
    if _FORBIDDEN.search(raw) is not None:
        raise BadRequest(
            400, "The path holds a space, a control character or a #; write it as a percent escape."
        )
    if "%" in raw:
        if _BAD_ESCAPE.search(raw) is not None:
            raise BadRequest(
                400,
                "The path holds a % without two hexadecimal digits; write a percent sign as %25.",
            )
        if "%2f" in raw or "%2F" in raw:
            raise BadRequest(
                400, "The path holds an encoded slash (%2F); no name may hold a slash."
            )
        path = unquote_to_bytes(_encode(raw)).decode("utf-8", "surrogateescape")
    elif raw.isascii():
        path = raw
    else:
        path = _encode(raw).decode("utf-8", "surrogateescape")
    if "//" in path:
        # Grid clients write //; a name is never empty, so this can only mean one slash.
        path = _SLASHES.sub("/", path)
    is_folder = path.endswith("/")
    path = path.strip("/")
    try:
        check_path(path)
    except InvalidPath as error:
        raise BadRequest(400, f"The path cannot be used: {error.detail}.") from None
    return f"/{path}", is_folder


def _encode(raw: str) -> bytes:
    """Return the bytes of a raw path: one per character, or UTF-8 where that cannot be."""
    try:
        return raw.encode("latin-1")
    except UnicodeEncodeError:
        return raw.encode("utf-8", "surrogatepass")
