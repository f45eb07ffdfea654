"""Issuers: the OpenID Connect issuers whose tokens are accepted."""

import ssl
import time
from collections.abc import Iterable

from vfs.auth import claims as claim
from vfs.auth.caller import Caller
from vfs.auth.download import Unavailable, check_url, download
from vfs.auth.errors import Unauthenticated
from vfs.auth.keyset import KeySet
from vfs.auth.published import Held, PublishedKeys
from vfs.auth.settings import OidcConfig
from vfs.auth.tokens import Peeked, check_claims, fits

FETCH_SECONDS = 10.0

_DISCOVERY = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


class Issuers:
    """Verifies tokens of the issuers in the configuration. Fixed; a reload makes a new one.

    Making it fetches nothing, so an issuer that is down holds up no start.
    """

    def __init__(self, configs: Iterable[OidcConfig], default_audience: tuple[str, ...]) -> None:
        """Take the tables; raise ValueError, with the name of the table, for one that is wrong."""
        self._issuers: dict[str, _Issuer] = {}
        for config in configs:
            issuer = _Issuer(config, config.audience or default_audience)
            other = self._issuers.setdefault(_bare(config.issuer), issuer)
            if other is not issuer:
                raise ValueError(
                    f"[oidc.{config.name}] has the issuer of [oidc.{other.config.name}]; keep one"
                )

    def take_over(self, before: "Issuers") -> None:
        """Start with the keys that `before` has fetched, so that a reload needs no issuer."""
        for url, held in before.held().items():
            if url in self._issuers:
                self._issuers[url].keys.hold(held)

    def held(self) -> dict[str, Held | None]:
        """Return the keys of all issuers, by their URLs."""
        return {url: issuer.keys.held() for url, issuer in self._issuers.items()}

    def prefetch(self) -> None:
        """Start to fetch the keys of all, so that the first tokens need not wait for them."""
        for issuer in self._issuers.values():
            issuer.keys.prefetch()

    def knows(self, iss: str) -> bool:
        """Tell whether `iss` is one of them, but for a slash at its end."""
        return _bare(iss) in self._issuers

    def verify(self, peeked: Peeked, text: str) -> Caller:
        """Return whom the token `text` vouches for, which `peeked` was read from.

        Raises Unauthenticated, and Throttled (503) while the keys that decide cannot be had.
        """
        iss = peeked.claims.get("iss")
        issuer = self._issuers.get(_bare(iss)) if isinstance(iss, str) else None
        if issuer is None:
            raise Unauthenticated("the token is of an issuer that is not accepted here")
        return issuer.verify(peeked, text)


class _Issuer:
    """One issuer. Fixed, but for its keys, which guard themselves."""

    def __init__(self, config: OidcConfig, audience: tuple[str, ...]) -> None:
        self.config = config
        self._audience = audience
        try:
            parts = check_url(config.issuer, plain=True)
        except ValueError as error:
            raise ValueError(f"[oidc.{config.name}] issuer: {config.issuer!r} {error}") from error
        if parts.query:
            raise ValueError(f"[oidc.{config.name}] issuer: {config.issuer!r} holds '?'")
        self._base = _bare(config.issuer)
        self._host = f"{parts.scheme}://{parts.netloc}"
        self._path = _bare(parts.path)
        self._plain = parts.scheme == "http"
        try:
            self._tls = ssl.create_default_context(cafile=config.ca_file)
        except OSError as error:
            raise ValueError(
                f"[oidc.{config.name}] ca_file: {config.ca_file} cannot be read as certificates in"
                f" PEM form: {error}"
            ) from error
        self.keys = PublishedKeys(config.name, self._fetch)

    def verify(self, peeked: Peeked, text: str) -> Caller:
        keys = self.keys.current()
        if not self._is_signed(keys, peeked, text):
            newer = None if keys.names(_kid(peeked)) else self.keys.newer(keys)
            if newer is None or not self._is_signed(newer, peeked, text):
                raise Unauthenticated(
                    f"the token is not signed with a key of the issuer {self.config.name!r};"
                    " get a new one there"
                )
        expires_at = check_claims(peeked.claims, self._audience, time.time())
        claim.check_kind(peeked.claims)
        return claim.caller(peeked.claims, self.config, expires_at)

    def _is_signed(self, keys: KeySet, peeked: Peeked, text: str) -> bool:
        fitting = keys.fitting(_kid(peeked), peeked.algorithm)
        return any(fits(text, key.public, peeked.algorithm) for key in fitting)

    def _fetch(self) -> tuple[KeySet, int | None]:
        deadline = time.monotonic() + FETCH_SECONDS
        got = download(self._jwks_uri(deadline), self._tls, plain=self._plain, deadline=deadline)
        return KeySet(got.content), got.max_age_seconds

    def _jwks_uri(self, deadline: float) -> str:
        """Return where the keys are, from the first place that describes the issuer."""
        openid, oauth = _DISCOVERY
        # RFC 8414 puts its name before the path of the issuer, OpenID Connect behind it.
        places = (f"{self._base}{openid}", f"{self._host}{oauth}{self._path}")
        failures = []
        for place in places:
            try:
                found = download(place, self._tls, plain=self._plain, deadline=deadline).content
            except Unavailable as error:
                failures.append(str(error))
                continue
            issuer, uri = found.get("issuer"), found.get("jwks_uri")
            if not isinstance(issuer, str) or _bare(issuer) != self._base:
                raise Unavailable(
                    f"{place}: it is about the issuer {issuer!r:.200}; write that into"
                    f" [oidc.{self.config.name}] if it is the right one"
                )
            if not isinstance(uri, str):
                raise Unavailable(f"{place}: it holds no jwks_uri")
            return uri
        raise Unavailable("; ".join(failures))


def _kid(peeked: Peeked) -> str | None:
    kid = peeked.header.get("kid")
    return kid if isinstance(kid, str) else None


def _bare(url: str) -> str:
    return url.removesuffix("/")
