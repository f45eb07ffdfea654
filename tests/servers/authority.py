"""A private certificate authority for tests, made with the openssl command."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """The files of an authority and of one server certificate for localhost and 127.0.0.1.

    `folder` holds the certificate under its hashed name too, as OpenSSL and gfal look it up.
    """

    ca: Path
    certificate: Path
    key: Path
    folder: Path


def make_authority(directory: Path) -> Authority:
    """Make a fresh authority in `directory`."""
    folder = directory / "ca"
    folder.mkdir(parents=True)
    ca, ca_key = folder / "ca.pem", directory / "ca.key"
    certificate, key, request = (directory / f"server.{end}" for end in ("pem", "key", "csr"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl(
        *("req", "-x509", *curve, "-days", "2", "-subj", "/O=Headgate tests/CN=Test CA"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", str(ca_key), "-out", str(ca)),
    )
    _openssl(
        *("req", *curve, "-subj", "/O=Headgate tests/CN=localhost"),
        *("-keyout", str(key), "-out", str(request)),
    )
    extensions = directory / "extensions"
    extensions.write_text(
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"
        "extendedKeyUsage=serverAuth\n"
    )
    _openssl(
        *("x509", "-req", "-days", "2", "-in", str(request), "-CAcreateserial"),
        *("-CA", str(ca), "-CAkey", str(ca_key)),
        *("-extfile", str(extensions), "-out", str(certificate)),
    )
    _openssl("rehash", str(folder))
    return Authority(ca, certificate, key, folder)


def _openssl(*arguments: str) -> None:
    subprocess.run(("openssl", *arguments), check=True, capture_output=True, timeout=30)
