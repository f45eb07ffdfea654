"""Tokens of a real issuer are accepted, whatever becomes of the issuer."""

import re
import threading
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.oidc import accepting, is_accepted, unavailable, verify, wait_for
from tests.servers import oidc_issuer
from tests.servers.oidc_issuer import OidcIssuer
from vfs.auth import issuers as issuers_module
from vfs.auth import published
from vfs.auth.errors import Unauthenticated
from vfs.auth.issuers import Issuers
from vfs.auth.right import Grant, Right
from vfs.auth.settings import OidcConfig
from vfs.auth.tokens import peek

READ = frozenset({Right.LIST, Right.READ})


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let happen in tenths of a second what takes minutes."""
    monkeypatch.setattr(published, "LIFETIME_SECONDS_DEFAULT", 0.4)
    monkeypatch.setattr(published, "UNKNOWN_KEY_SECONDS", 0.1)
    monkeypatch.setattr(published, "FIRST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(published, "LONGEST_PAUSE_SECONDS", 0.2)


def test_a_token_says_who_asks(issuer: OidcIssuer) -> None:
    text = issuer.token({"scope": "openid storage.read:/a", "wlcg.groups": ["/wlcg"]})
    caller = verify(accepting(issuer), text)
    expires_at = peek(text).claims["exp"]
    assert isinstance(expires_at, int)
    assert caller.name == f"iam:{peek(text).claims['sub']}"
    assert caller.groups == {"/wlcg"}
    assert caller.scopes == (Grant("/a", READ),)
    assert caller.vouched
    assert caller.credential == "oidc:iam"
    assert caller.expires_at is not None
    assert expires_at <= caller.expires_at <= expires_at + 60


def test_one_slash_more_or_less_is_the_same_issuer(issuer: OidcIssuer) -> None:
    issuers = accepting(issuer)
    verify(issuers, issuer.token({"iss": issuer.issuer.rstrip("/")}))
    assert not issuers.knows(f"{issuer.issuer}/")
    assert not issuers.knows(issuer.issuer.upper())


def test_the_metadata_of_oauth_serves_too(tmp_path: Path) -> None:
    with oidc_issuer.launch(tmp_path, path="/realms/science") as issuer:
        issuer.behave("oauth")
        verify(accepting(issuer), issuer.token())


@pytest.mark.parametrize(
    ("claims", "cause"),
    [
        ({"typ": "ID"}, "no access token"),
        ({"aud": "https://elsewhere.example.org"}, "another service"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "no end"),
        ({"sub": None}, "'sub'"),
    ],
)
def test_a_token_that_is_signed_may_still_be_wrong(
    issuer: OidcIssuer, claims: dict[str, object], cause: str
) -> None:
    with pytest.raises(Unauthenticated, match=cause):
        verify(
            Issuers([OidcConfig(name="iam", issuer=issuer.issuer)], ("gw",)), issuer.token(claims)
        )


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        ("", 600),
        ("max-age=1", 60),
        ("public, max-age=300", 300),
        ("max-age=86400", 3600),
        ("no-store, max-age=300", 60),
        ("no-cache", 60),
    ],
)
def test_the_issuer_says_how_long_its_keys_hold(
    issuer: OidcIssuer, control: str, seconds: float
) -> None:
    issuer.behave(control)
    issuers = accepting(issuer)
    verify(issuers, issuer.token())
    (held,) = issuers.held().values()
    assert held is not None
    assert held.lifetime == seconds


def test_keys_are_fetched_once_for_many_tokens(issuer: OidcIssuer) -> None:
    issuers = accepting(issuer)
    tokens = [issuer.token() for _ in range(20)]
    threads = [threading.Thread(target=verify, args=(issuers, text)) for text in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in tokens:
        verify(issuers, text)
    assert issuer.requests().count("/jwks") == 1


@pytest.mark.usefixtures("hasty")
def test_a_new_key_is_found_when_the_first_token_shows_it(issuer: OidcIssuer) -> None:
    issuers = accepting(issuer)
    old = issuer.token()
    verify(issuers, old)
    issuer.rotate()
    time.sleep(0.15)
    verify(issuers, issuer.token())
    verify(issuers, old)


@pytest.mark.usefixtures("hasty")
def test_a_withdrawn_key_is_believed_no_longer_than_its_lifetime(issuer: OidcIssuer) -> None:
    issuers = accepting(issuer)
    old = issuer.token()
    verify(issuers, old)
    issuer.rotate(keep=False)
    verify(issuers, old)
    time.sleep(0.5)
    with pytest.raises(Unauthenticated, match="not signed with a key of the issuer 'iam'"):
        verify(issuers, old)
    verify(issuers, issuer.token())


def test_keys_are_renewed_before_they_are_too_old(
    issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes in the last quarter of their life does not wait for new ones."""
    monkeypatch.setattr(published, "LIFETIME_SECONDS_DEFAULT", 4.0)
    issuers = accepting(issuer)
    text = issuer.token()
    verify(issuers, text)
    issuer.behave("silent")
    monkeypatch.setattr(issuers_module, "FETCH_SECONDS", 2.0)
    time.sleep(3.1)
    begin = time.monotonic()
    verify(issuers, text)
    assert time.monotonic() - begin < 1
    wait_for(lambda: len(issuer.requests()) > 2)


def test_a_reload_takes_the_keys_along(issuer: OidcIssuer) -> None:
    before = accepting(issuer)
    text = issuer.token()
    verify(before, text)
    issuer.kill()
    after = accepting(issuer)
    after.take_over(before)
    verify(after, text)


def test_keys_can_be_there_before_the_first_token(issuer: OidcIssuer) -> None:
    issuers = accepting(issuer)
    issuers.prefetch()
    wait_for(lambda: "/jwks" in issuer.requests())
    verify(issuers, issuer.token())
    assert issuer.requests().count("/jwks") == 1


def test_tokens_with_made_up_keys_cost_the_issuer_one_fetch(issuer: OidcIssuer) -> None:
    issuers = accepting(issuer)
    verify(issuers, issuer.token())
    stranger = ec.generate_private_key(ec.SECP256R1())
    claims = peek(issuer.token()).claims
    for number in range(100):
        forged = jwt.encode(claims, stranger, algorithm="ES256", headers={"kid": str(number)})
        with pytest.raises(Unauthenticated):
            verify(issuers, forged)
    assert issuer.requests().count("/jwks") == 1


@pytest.mark.usefixtures("hasty")
def test_keys_that_somebody_else_fetched_are_new_too(issuer: OidcIssuer) -> None:
    (keys,) = (one.keys for one in accepting(issuer)._issuers.values())
    old = keys.current()
    time.sleep(0.15)
    new = keys.newer(old)
    assert new not in (None, old)
    assert keys.newer(old) is new
    assert issuer.requests().count("/jwks") == 2


@pytest.mark.usefixtures("hasty")
def test_a_forgery_that_names_a_known_key_makes_nobody_fetch(issuer: OidcIssuer) -> None:
    issuers = accepting(issuer)
    verify(issuers, issuer.token())
    stranger = ec.generate_private_key(ec.SECP256R1())
    headers = {"kid": issuer.kids()[-1]}
    forged = jwt.encode(peek(issuer.token()).claims, stranger, algorithm="ES256", headers=headers)
    time.sleep(0.15)
    with pytest.raises(Unauthenticated):
        verify(issuers, forged)
    assert issuer.requests().count("/jwks") == 1


@pytest.mark.parametrize("named", [True, False])
def test_the_name_of_a_key_does_not_make_it_one(issuer: OidcIssuer, *, named: bool) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    headers = {"kid": issuer.kids()[-1]} if named else None
    claims = peek(issuer.token()).claims
    with pytest.raises(Unauthenticated):
        verify(accepting(issuer), jwt.encode(claims, stranger, algorithm="ES256", headers=headers))


def test_another_issuer_is_not_accepted(issuer: OidcIssuer) -> None:
    text = issuer.token({"iss": "https://elsewhere.example.org/"})
    issuers = accepting(issuer)
    assert not issuers.knows("https://elsewhere.example.org/")
    with pytest.raises(Unauthenticated):
        issuers.verify(peek(text), text)


@pytest.mark.usefixtures("hasty")
def test_an_issuer_that_is_down_at_start_stops_nothing(issuer: OidcIssuer) -> None:
    text = issuer.token()
    issuer.kill()
    issuers = accepting(issuer)
    unavailable(issuers, text)
    issuer.start()
    wait_for(lambda: is_accepted(issuers, text))


@pytest.mark.usefixtures("hasty")
def test_an_issuer_that_goes_down_and_comes_back_is_survived(issuer: OidcIssuer) -> None:
    issuers = accepting(issuer)
    old = issuer.token()
    verify(issuers, old)
    issuer.kill()
    issuer.rotate()
    time.sleep(0.5)
    verify(issuers, old)
    unavailable(issuers, issuer.token())
    verify(issuers, old)
    issuer.start()
    wait_for(lambda: is_accepted(issuers, issuer.token()))
    verify(issuers, old)


@pytest.mark.usefixtures("hasty")
def test_the_last_keys_of_a_dead_issuer_do_not_live_for_ever(
    issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "GRACE_SECONDS", 1.0)
    issuers = accepting(issuer)
    text = issuer.token()
    verify(issuers, text)
    issuer.kill()
    time.sleep(0.5)
    verify(issuers, text)
    time.sleep(0.6)
    unavailable(issuers, text)


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("error", "status 500"),
        ("html", "no JSON object"),
        ("redirect", "redirects are not followed"),
        ("foreign", r"about the issuer 'https://elsewhere\.example\.org/'"),
        ("elsewhere", "must start with https://"),
        ("huge", "more than 262144 bytes"),
        ("silent", "timed out|in time"),
        ("dribble", "in time"),
    ],
)
def test_an_issuer_out_of_order_is_answered_503_and_told_of_in_the_log(
    issuer: OidcIssuer,
    how: str,
    cause: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(issuers_module, "FETCH_SECONDS", 1.0)
    monkeypatch.setattr(published, "FIRST_PAUSE_SECONDS", 0.1)
    issuers = accepting(issuer)
    issuer.behave(how)
    begin = time.monotonic()
    unavailable(issuers, issuer.token())
    assert time.monotonic() - begin < 3
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("keys of issuer 'iam' cannot be had: ")
    assert re.search(cause, told)
    issuer.behave("")
    wait_for(lambda: is_accepted(issuers, issuer.token()))


def test_a_silent_issuer_holds_few_threads(
    issuer: OidcIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of forty requests 24 wait for it, later four; the others are answered at once."""
    monkeypatch.setattr(published, "WAIT_SECONDS", 1.5)
    monkeypatch.setattr(published, "FIRST_PAUSE_SECONDS", 1.0)
    monkeypatch.setattr(issuers_module, "FETCH_SECONDS", 1.0)
    issuers = accepting(issuer)
    issuer.behave("silent")
    text = issuer.token()
    assert _waiting(issuers, text) == published.WAITERS_MAX
    assert _waiting(issuers, text) == 0
    time.sleep(1)
    assert _waiting(issuers, text) == published.WAITERS_AFTER_FAILURE_MAX


def _waiting(issuers: Issuers, text: str) -> int:
    """Count which of forty requests at once are not answered at once."""
    took: list[float] = []

    def ask() -> None:
        begin = time.monotonic()
        unavailable(issuers, text)
        took.append(time.monotonic() - begin)

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == 40
    return sum(seconds > 0.5 for seconds in took)
