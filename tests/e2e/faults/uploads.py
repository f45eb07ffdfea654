"""A cut or false upload changes nothing."""

import base64
import email.utils
import hashlib
import socket
import xml.etree.ElementTree as ET
import zlib

from tests.e2e.faults.catalogue import Catalogue
from tests.e2e.wire import (
    DAV,
    Fault,
    ask,
    dial,
    expect,
    head,
    lock,
    members,
    mkcol,
    prop,
    put,
    receive,
    steadily,
)
from tests.servers.target import Target

CHECKS = Catalogue()

_OLD = b"the old content\n"
_BODY = b"headgate" * 1000
_20_MB = 20_000_000


def _cut(target: Target, headers: dict[str, str], sent: bytes, end: str) -> None:
    """Send the start of an upload and go away, in one of two ways."""
    with dial(target) as connection:
        connection.sendall(head(target, "PUT", "f", headers) + sent)
        if end == "half-close" and not target.secure:
            connection.shutdown(socket.SHUT_WR)
            answer = receive(connection, "PUT")
            expect(answer is None or not answer.ok, "a cut upload is answered with success")


def _is_missing(target: Target) -> None:
    expect(ask(target, "GET", "f").status == 404, "a cut upload became a file")
    expect(members(target) == set(), "a cut upload left a name in the listing")


def _is_old(target: Target) -> None:
    answer = ask(target, "GET", "f")
    expect(answer.body == _OLD, f"the old content is gone: {answer.status} {answer.body[:40]!r}")
    expect(members(target) == {"f"}, "a cut upload left a name in the listing")


_ENDS = ("half-close", "close")


@CHECKS.check(*_ENDS, plain="a cut upload")
def cut_upload_with_length_makes_no_file(target: Target, end: str) -> None:
    _cut(target, {"Content-Length": "1000"}, b"12345", end)
    steadily(lambda: _is_missing(target))


@CHECKS.check(*_ENDS, plain={"half-close": "a cut upload", "close": "old content is gone"})
def cut_upload_with_length_keeps_the_old_file(target: Target, end: str) -> None:
    put(target, "f", _OLD)
    _cut(target, {"Content-Length": "1000"}, b"12345", end)
    steadily(lambda: _is_old(target))


@CHECKS.check(*_ENDS, plain="a cut upload")
def cut_chunked_upload_makes_no_file(target: Target, end: str) -> None:
    _cut(target, {"Transfer-Encoding": "chunked"}, b"5\r\n12345\r\n3e8\r\nabc", end)
    steadily(lambda: _is_missing(target))


@CHECKS.check(*_ENDS, plain="old content is gone")
def cut_chunked_upload_keeps_the_old_file(target: Target, end: str) -> None:
    put(target, "f", _OLD)
    _cut(target, {"Transfer-Encoding": "chunked"}, b"5\r\n12345\r\n3e8\r\nabc", end)
    steadily(lambda: _is_old(target))


@CHECKS.check(*_ENDS, plain="a cut upload")
def chunked_upload_without_last_chunk_makes_no_file(target: Target, end: str) -> None:
    """All data chunks are whole; only the zero chunk that says so is missing."""
    _cut(target, {"Transfer-Encoding": "chunked"}, b"5\r\n12345\r\n", end)
    steadily(lambda: _is_missing(target))


_REFUSALS = {
    "missing-parent": {},
    "if-match": {"If-Match": '"no-such-version"'},
    "if-none-match": {"If-None-Match": "*"},
    "locked": {},
    "on-a-folder": {},
}


@CHECKS.check(*_REFUSALS, plain="asks for the body")
def refused_upload_is_not_asked_for(target: Target, why: str) -> None:
    """A client that waits for 100 Continue gets the refusal instead and sends nothing."""
    name = {"missing-parent": "none/f", "on-a-folder": "folder"}.get(why, "f")
    if why != "missing-parent":
        put(target, "f", _OLD)
        mkcol(target, "folder")
    if why == "locked":
        lock(target, "f")
    headers = {"Content-Length": str(_20_MB), "Expect": "100-continue", **_REFUSALS[why]}
    with dial(target, timeout=10) as connection:
        connection.sendall(head(target, "PUT", name, headers))
        start = connection.recv(12)
        expect(not start.startswith(b"HTTP/1.1 100"), "the server asks for the body it refuses")
        expect(start.startswith(b"HTTP/1.1 4"), f"a refused upload is answered {start!r}")


@CHECKS.check()
def expected_upload_is_asked_for(target: Target) -> None:
    headers = {"Content-Length": str(len(_BODY)), "Expect": "100-continue"}
    with dial(target) as connection:
        connection.sendall(head(target, "PUT", "f", headers))
        connection.settimeout(10)
        start = connection.recv(100)
        expect(start.startswith(b"HTTP/1.1 100 "), f"instead of 100 Continue came {start!r}")
        connection.sendall(_BODY)
        answer = receive(connection, "PUT")
        expect(answer and answer.status == 201, f"the upload is answered {answer}")
    expect(ask(target, "GET", "f").body == _BODY, "the upload is not what was sent")


def _base64(algorithm: str, body: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm, body).digest()).decode()


def _checksum_header(shape: str, body: bytes) -> dict[str, str]:
    adler = f"{zlib.adler32(body):08x}"
    return {
        "content-md5": {"Content_MD5": _base64("md5", body)},
        "digest-adler32": {"Digest": f"adler32={adler}"},
        "digest-md5": {"Digest": f"md5={_base64('md5', body)}"},
        "digest-sha-256": {"Digest": f"SHA-256={_base64('sha256', body)}"},
        "repr-digest": {"Repr_Digest": f"sha-256=:{_base64('sha256', body)}:"},
        "oc-checksum-sha1": {"OC_Checksum": f"SHA1:{hashlib.sha1(body).hexdigest()}"},
        "oc-checksum-md5": {"OC_Checksum": f"MD5:{hashlib.md5(body).hexdigest()}"},
        "oc-checksum-adler32": {"OC_Checksum": f"ADLER32:{adler}"},
    }[shape]


_CHECKSUMS = (
    "content-md5",
    "digest-adler32",
    "digest-md5",
    "digest-sha-256",
    "repr-digest",
    "oc-checksum-sha1",
    "oc-checksum-md5",
    "oc-checksum-adler32",
)


@CHECKS.check(*_CHECKSUMS, plain="false checksum")
def upload_with_a_false_checksum_is_refused(target: Target, shape: str) -> None:
    put(target, "f", _OLD)
    false = _checksum_header(shape, b"something else")
    for name in ("f", "new"):
        answer = ask(target, "PUT", name, _BODY, **false)
        expect(not answer.ok, f"{name} with a false checksum is answered {answer.status}")
        expect(answer.refused, f"a false checksum is answered {answer.status}")
    _is_old(target)


@CHECKS.check(*_CHECKSUMS)
def upload_with_a_true_checksum_is_kept(target: Target, shape: str) -> None:
    put(target, "f", _BODY, **_checksum_header(shape, _BODY))
    expect(ask(target, "GET", "f").body == _BODY, "the upload is not what was sent")


@CHECKS.check("adler32", "md5", "sha-256", plain="no Digest")
def wanted_digest_is_answered(target: Target, algorithm: str) -> None:
    put(target, "f", _BODY)
    value = {
        "adler32": f"{zlib.adler32(_BODY):08x}",
        "md5": _base64("md5", _BODY),
        "sha-256": _base64("sha256", _BODY),
    }[algorithm]
    for method in ("HEAD", "GET"):
        found = ask(target, method, "f", Want_Digest=algorithm).header("Digest")
        expect(found, f"{method} with Want-Digest has no Digest")
        name, _, digest = found.partition("=")
        expect((name.lower(), digest) == (algorithm, value), f"Digest is {found}, not {value}")


@CHECKS.check(plain="no Repr-Digest")
def wanted_repr_digest_is_answered(target: Target) -> None:
    put(target, "f", _BODY)
    found = ask(target, "HEAD", "f", Want_Repr_Digest="sha-256=10").header("Repr-Digest")
    expect(found, "HEAD with Want-Repr-Digest has no Repr-Digest")
    expect(f"sha-256=:{_base64('sha256', _BODY)}:" in found, f"Repr-Digest is {found}")


@CHECKS.check(plain="is not accepted")
def time_of_an_upload_is_kept(target: Target) -> None:
    answer = put(target, "f", _BODY, X_OC_Mtime="1500000000")
    expect(answer.header("X-OC-MTime") == "accepted", "X-OC-Mtime is not accepted")
    element = prop(target, "f", DAV + "getlastmodified")
    if element is None:
        raise Fault("there is no getlastmodified")
    when = email.utils.parsedate_to_datetime(element.text or "").timestamp()
    expect(when == 1_500_000_000, f"getlastmodified is {ET.tostring(element)!r}")


@CHECKS.check("text", "html", plain="not compressed")
def compressible_file_is_compressed_on_request(target: Target, kind: str) -> None:
    """The compressed form has an ETag of its own, and ranges count the bytes of the file."""
    name = {"text": "f.txt", "html": "f.html"}[kind]
    put(target, name, _BODY * 10)
    plain = ask(target, "GET", name)
    packed = ask(target, "GET", name, Accept_Encoding="gzip")
    expect(packed.header("Content-Encoding") == "gzip", "a text is not compressed")
    expect(zlib.decompress(packed.body, 31) == _BODY * 10, "the compressed text is another")
    expect(packed.header("ETag") != plain.header("ETag"), "two encodings share one ETag")
    expect("accept-encoding" in packed.header("Vary").lower(), "no Vary: Accept-Encoding")
    expect("accept-encoding" in plain.header("Vary").lower(), "no Vary: Accept-Encoding on plain")
    part = ask(target, "GET", name, Accept_Encoding="gzip", Range="bytes=8-15")
    expect((part.status, part.body) == (206, b"headgate"), "a range of a compressed form is sent")
