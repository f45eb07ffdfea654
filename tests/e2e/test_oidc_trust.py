"""Keys come from the issuer of the configuration, by TLS that is verified, or not at all."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.oidc import accepting, unavailable, verify
from tests.servers import oidc_issuer
from tests.servers.authority import Authority
from vfs.auth.issuers import Issuers
from vfs.auth.settings import OidcConfig


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
