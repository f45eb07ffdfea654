import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.http.digests import (
    dictionary,
    digest_field,
    oc_checksum,
    repr_digest_field,
    wanted_digests,
    wanted_repr_digests,
)
from vfs.http.hasher import DIGEST_BYTES

FIELD_TEXT = st.one_of(st.text(), st.text('adlershmd5-0123q=;:,"\\ ?*.'))


@pytest.mark.parametrize(
    ("value", "algorithms"),
    [
        ("adler32", ("adler32",)),
        ("ADLER32", ("adler32",)),
        ("adler32;q=0.5, md5", ("md5", "adler32")),
        ("md5, sha-256", ("md5", "sha256")),
        ("sha;q=0.1, SHA-512;q=0.2", ("sha512", "sha1")),
        ("unixsum, adler32;q=0.3, crc32c", ("adler32",)),
        ("adler32;q=0", ()),
        ("adler32, adler32;q=0.2", ("adler32",)),
        ("", ()),
        (";;;q=,,", ()),
    ],
)
def test_what_want_digest_asks_for(value: str, algorithms: tuple[str, ...]) -> None:
    assert wanted_digests(value) == algorithms


@pytest.mark.parametrize(
    ("value", "algorithms"),
    [
        ("sha-256=1", ("sha256",)),
        ("sha-256=3, adler=10, md5=0", ("adler32", "sha256")),
        ("sha-512=1;x=y, sha=1", ("sha512", "sha1")),
        ("crc32c=5", ()),
        ("sha-256=-1", ()),
        ("sha-256=x", ()),
        ("sha-256", ()),
        ("sha-256=(1", ()),
        ("", ()),
    ],
)
def test_what_want_repr_digest_asks_for(value: str, algorithms: tuple[str, ...]) -> None:
    assert wanted_repr_digests(value) == algorithms


def test_the_forms_that_clients_expect() -> None:
    adler = zlib.adler32(b"Wikipedia").to_bytes(4, "big")
    assert digest_field("adler32", adler) == "adler32=11e60398"
    assert digest_field("adler32", b"\0\0\0\1") == "adler32=00000001"
    md5 = hashlib.md5(b"").digest()
    assert digest_field("md5", md5) == "md5=1B2M2Y8AsgTpgAmY7PhCfg=="
    assert digest_field("sha1", bytes(20)).startswith("sha=")
    sha256 = hashlib.sha256(b'{"hello": "world"}\n').digest()
    assert (
        repr_digest_field("sha256", sha256)
        == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
    )
    assert repr_digest_field("adler32", adler) == "adler=:EeYDmA==:"
    assert oc_checksum("sha1", bytes(20)) == "SHA1:" + "00" * 20


@given(FIELD_TEXT)
def test_wishes_are_never_an_error(value: str) -> None:
    assert set(wanted_digests(value)) <= set(DIGEST_BYTES)
    assert set(wanted_repr_digests(value)) <= set(DIGEST_BYTES)


@pytest.mark.parametrize(
    ("value", "members"),
    [
        ("a=:YQ==:", [("a", "YQ==", None)]),
        ('a=:YQ==:;p=1;q="x,y", b=2', [("a", "YQ==", None), ("b", None, "2")]),
        ('a, b=?1, c=tok, d="x\\"y"', None),
    ],
)
def test_dictionaries(value: str, members: list[tuple[str, str | None, str | None]] | None) -> None:
    found = dictionary(value)
    if members is None:
        assert found is not None
        assert [key for key, _, _ in found] == ["a", "b", "c", "d"]
    else:
        assert found == members


@pytest.mark.parametrize("value", ["A=1", "a=:YQ", "a=(1 2)", "a b", "a=1;", "=1", "a=1 2", "\x00"])
def test_what_is_no_dictionary(value: str) -> None:
    assert dictionary(value) is None


@pytest.mark.parametrize("unit", ["a", "a=", " ", ";", "a;", 'a="', "a;a=b ", "\\", "a=:", "a=1,"])
@pytest.mark.timeout(5)
def test_long_values_take_linear_time(unit: str) -> None:
    value = unit * 100_000
    for head in ("", "a=", 'a="', "a;", "a=1;b=c"):
        dictionary(f"{head}{value}\x00")
        wanted_digests(f"{head}{value}\x00")
