"""What a request shows to say who sends it."""

import base64
import binascii
import re
from collections.abc import Mapping

import msgspec

from vfs.auth.errors import Ambiguous, Unauthenticated

# Three parts, the first of which begins as every JSON object does: a token, not a password.
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")
_SECRET = re.compile(r"eyJ[A-Za-z0-9_-]*\.|hga_[a-z2-7]{8}", re.IGNORECASE)

HEADER_MAX_BYTES = 16 * 1024
"""The longest credential that is looked at."""


class Credential(msgspec.Struct, frozen=True):
    """A name with a password, or a token; `name` is "" for a token."""

    name: str
    secret: str
    is_token: bool


def raw(headers: Mapping[str, str]) -> str | None:
    """Return the header that holds the credential, as it came; None when there is none.

    Raises Ambiguous when two headers hold two.
    """
    shown = headers.get("authorization")
    other = headers.get("x-access-token")
    if other is None:
        return shown
    if shown is not None and _bare(shown) != other:
        raise Ambiguous("Authorization and X-Access-Token hold two credentials; send one of them")
    return f"Bearer {other}"


def parse(shown: str) -> Credential:
    """Return the credential in a header; raise Unauthenticated when it is none.

    A token is also taken bare, and in the place of a Basic password, since many programs that
    mount a drive know no other way to send one.
    """
    if len(shown) > HEADER_MAX_BYTES:
        raise Unauthenticated("the credential is too long")
    scheme, _, rest = shown.partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "basic":
            return _basic(rest)
        case "bearer" if rest:
            return Credential("", rest, is_token=True)
    if _TOKEN.fullmatch(shown):
        return Credential("", shown, is_token=True)
    raise Unauthenticated("the Authorization header is neither Basic nor Bearer")


def claimed(name: str) -> str:
    """Return a name that was refused, for the audit log, or a word for a secret in its place.

    Programs with one field send a token as the name.
    """
    return "(a secret)" if _SECRET.search(name) else name


def _basic(text: str) -> Credential:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unauthenticated("the Basic credential is not base64") from error
    try:
        pair = data.decode()
    except UnicodeDecodeError:
        # Programs older than RFC 7617 send Latin-1.
        pair = data.decode("latin-1")
    name, colon, password = pair.partition(":")
    if not colon:
        raise Unauthenticated("the Basic credential has no colon between name and password")
    if _TOKEN.fullmatch(password):
        return Credential("", password, is_token=True)
    return Credential(name, password, is_token=False)


def _bare(shown: str) -> str:
    scheme, _, rest = shown.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else shown
