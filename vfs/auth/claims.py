"""What the claims of an issuer's token say about its bearer.

Strangers write claims: only text of a sensible length counts, and what cannot be understood gives
nothing.
"""

from typing import Any

from vfs.auth import scopes
from vfs.auth.caller import Caller
from vfs.auth.errors import Unauthenticated
from vfs.auth.settings import OidcConfig
from vfs.auth.tokens import scope_words
from vfs.auth.users import check_name

NAME_CHARACTERS_MAX = 255
GROUPS_MAX = 1000

_OTHER_TOKENS = {"ID", "Refresh", "Offline", "Logout"}
_SCITOKEN_VERSIONS = {"scitoken:1.0", "scitoken:2.0", "scitokens:1.0", "scitokens:2.0"}


def check_kind(claims: dict[str, Any]) -> None:
    """Raise Unauthenticated for what an issuer signs for other purposes than access.

    An ID token tells a program who has logged in to it; any program that got one could use it here.
    """
    typ = claims.get("typ")
    if (isinstance(typ, str) and typ in _OTHER_TOKENS) or "at_hash" in claims or "c_hash" in claims:
        raise Unauthenticated("this is no access token; send the access token of the same login")
    version = claims.get("wlcg.ver", "1.0")
    if not (isinstance(version, str) and version.startswith("1.")):
        raise Unauthenticated("the token is of a WLCG profile other than version 1")
    version = claims.get("ver")
    if isinstance(version, str) and version.startswith("scitoken"):
        if version not in _SCITOKEN_VERSIONS:
            raise Unauthenticated("the token is a SciToken of a version other than 1.0 and 2.0")
        if version.endswith(":2.0") and "aud" not in claims:
            raise Unauthenticated("a SciToken of version 2.0 needs the claim 'aud'")


def caller(claims: dict[str, Any], config: OidcConfig, expires_at: float) -> Caller:
    """Return whom verified `claims` describe. Raises Unauthenticated when they name nobody."""
    return Caller(
        name=_name(claims, config),
        groups=_groups(claims, config),
        scopes=scopes.parse(scope_words(claims), config.base_path),
        vouched=True,
        credential=f"oidc:{config.name}",
        expires_at=expires_at,
    )


def find(claims: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - JSON of a stranger
    """Return the claim `path`: of just that name, or else down its dots; None if there is none."""
    if path in claims:
        return claims[path]
    for index, letter in enumerate(path):
        inner = claims.get(path[:index]) if letter == "." else None
        if isinstance(inner, dict):
            found = find(inner, path[index + 1 :])
            if found is not None:
                return found
    return None


def _name(claims: dict[str, Any], config: OidcConfig) -> str:
    subject = find(claims, config.user_claim)
    if not isinstance(subject, str) or not _is_name(subject):
        raise Unauthenticated(
            f"the claim {config.user_claim!r} of the token names no user: it must be printable"
            f" text of at most {NAME_CHARACTERS_MAX} characters"
        )
    if not config.local_names:
        return f"{config.name}:{subject}"
    try:
        # Of several spellings of one name just one is that user's.
        if check_name(subject) == subject:
            return subject
    except ValueError:
        pass
    raise Unauthenticated(
        f"the claim {config.user_claim!r} of the token cannot be the name of a user of this gateway"
    )


def _groups(claims: dict[str, Any], config: OidcConfig) -> frozenset[str]:
    listed = find(claims, config.groups_claim)
    if not isinstance(listed, list):
        return frozenset()
    groups = [group for group in listed if isinstance(group, str) and _is_name(group)]
    if config.groups:
        groups = [config.groups[group] for group in groups if group in config.groups]
    if len(groups) > GROUPS_MAX:
        raise Unauthenticated(f"the token lists more than {GROUPS_MAX} groups")
    return frozenset(groups)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= NAME_CHARACTERS_MAX and text.isprintable() and text == text.strip()
