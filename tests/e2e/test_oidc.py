"""Tokens of a real issuer are accepted, whatever becomes of the issuer."""

import datetime as dt
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.servers import oidc_issuer
from tests.servers.authority import Authority
from tests.servers.oidc_issuer import OidcIssuer
from vfs.auth import issuers as issuers_module
from vfs.auth import published
from vfs.auth.caller import Caller
from vfs.auth.errors import Throttled, Unauthenticated
from vfs.auth.issuers import Issuers
from vfs.auth.right import Grant, Right
from vfs.auth.settings import OidcConfig
from vfs.auth.tokens import peek

READ = frozenset({Right.LIST, Right.READ})


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[OidcIssuer]:
    with oidc_issuer.launch(tmp_path) as running:
        yield running


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
    monkeypatch.setattr(issuers_module, "FETCH_SECONDS", 0.5)
    time.sleep(3.1)
    begin = time.monotonic()
    verify(issuers, text)
    assert time.monotonic() - begin < 0.2
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


def test_https_is_accepted_with_its_authority(tmp_path: Path, authority: Authority) -> None:
    with oidc_issuer.launch(tmp_path, authority=authority) as issuer:
        verify(accepting(issuer, authority.ca), issuer.token())


def test_https_of_an_unknown_authority_is_not(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    with oidc_issuer.launch(tmp_path, authority=authority) as issuer:
        unavailable(accepting(issuer), issuer.token())
    assert "certificate verify failed" in caplog.text


def test_https_with_an_expired_certificate_is_not(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    with oidc_issuer.launch(tmp_path, authority=_expired(authority, tmp_path)) as issuer:
        unavailable(accepting(issuer, authority.ca), issuer.token())
    assert "certificate has expired" in caplog.text


def _expired(authority: Authority, folder: Path) -> Authority:
    """Issue a certificate of the same authority that ended yesterday."""
    ca_key = serialization.load_pem_private_key(
        (authority.folder.parent / "ca.key").read_bytes(), None
    )
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    good = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(good.subject)
        .issuer_name(good.issuer)
        .public_key(good.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=3))
        .not_valid_after(now - dt.timedelta(days=1))
    )
    for extension in good.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    certificate = folder / "expired.pem"
    certificate.write_bytes(
        builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    return Authority(authority.ca, certificate, authority.key, authority.folder)


@pytest.mark.parametrize(
    ("issuer_url", "cause"),
    [
        ("http://iam.example.org/", "must start with https://"),
        ("iam.example.org", "needs a host"),
        ("https://me@iam.example.org/", "login"),
        ("https://iam.example.org/?x=1", r"holds '\?'"),
        ("https://iam.example.org/#x", "'#'"),
        ("https://iam.example.org:99999/", "[Pp]ort"),
    ],
)
def test_a_wrong_issuer_is_refused_at_start(issuer_url: str, cause: str) -> None:
    with pytest.raises(ValueError, match=rf"^\[oidc\.iam\] issuer: .*{cause}"):
        Issuers([OidcConfig(name="iam", issuer=issuer_url)], ())


def test_a_missing_authority_is_refused_at_start(tmp_path: Path) -> None:
    config = OidcConfig(name="iam", issuer="https://iam.example.org/", ca_file=tmp_path / "none")
    with pytest.raises(ValueError, match=r"^\[oidc\.iam\] ca_file: .*none"):
        Issuers([config], ())


def test_one_issuer_under_two_names_is_refused_at_start() -> None:
    configs = [
        OidcConfig(name="a", issuer="https://iam.example.org/"),
        OidcConfig(name="b", issuer="https://iam.example.org"),
    ]
    with pytest.raises(ValueError, match=r"^\[oidc\.b\] has the issuer of \[oidc\.a\]"):
        Issuers(configs, ())
