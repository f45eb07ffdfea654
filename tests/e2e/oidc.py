"""What checks of tokens of an issuer share."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.oidc_issuer import OidcIssuer
from vfs.auth.caller import Caller
from vfs.auth.errors import Throttled, Unauthenticated
from vfs.auth.issuers import Issuers
from vfs.auth.settings import OidcConfig
from vfs.auth.tokens import peek


def accepting(issuer: OidcIssuer, ca_file: Path | None = None) -> Issuers:
    return Issuers([OidcConfig(name="iam", issuer=issuer.issuer, ca_file=ca_file)], ())


def verify(issuers: Issuers, text: str) -> Caller:
    peeked = peek(text)
    assert issuers.knows(str(peeked.claims["iss"]))
    return issuers.verify(peeked, text)


def unavailable(issuers: Issuers, text: str) -> Throttled:
    with pytest.raises(Throttled, match="keys of the issuer 'iam'") as caught:
        verify(issuers, text)
    assert caught.value.status == 503
    assert caught.value.retry_after_seconds >= 1
    return caught.value


def wait_for(accepted: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not accepted():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def is_accepted(issuers: Issuers, text: str) -> bool:
    try:
        verify(issuers, text)
    except (Throttled, Unauthenticated):
        return False
    return True
