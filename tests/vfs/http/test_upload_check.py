import hashlib
import zlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.http.bad_request import BadRequest
from vfs.http.upload_check import UploadCheck

DATA = b"The quick brown fox jumps over the lazy dog"
ADLER = f"{zlib.adler32(DATA):08x}"


def b64(algorithm: str, data: bytes = DATA) -> str:
    return b64encode(hashlib.new(algorithm, data).digest()).decode()


def hexadecimal(algorithm: str, data: bytes = DATA) -> str:
    return hashlib.new(algorithm, data).hexdigest()


CLAIMS = {
    "adler32": {"digest": f"adler32={ADLER}"},
    "adler32-upper": {"digest": f"ADLER32={ADLER.upper()}"},
    "md5": {"digest": f"md5={b64('md5')}"},
    "md5-hex": {"digest": f"md5={hexadecimal('md5')}"},
    "sha": {"digest": f"SHA={b64('sha1')}"},
    "sha-256": {"digest": f"sha-256={b64('sha256')}"},
    "sha-512": {"digest": f"sha-512={b64('sha512')}"},
    "two": {"digest": f"adler32={ADLER}, sha-256={b64('sha256')}"},
    "unknown beside": {"digest": f"unixsum=30637,md5={b64('md5')}"},
    "repr": {"repr-digest": f"sha-256=:{b64('sha256')}:"},
    "repr two": {"repr-digest": f"md5=:{b64('md5')}:, sha-512=:{b64('sha512')}:;x"},
    "content": {"content-digest": f"sha-256=:{b64('sha256')}:"},
    "content-md5": {"content-md5": b64("md5")},
    "oc sha1": {"oc-checksum": f"SHA1:{hexadecimal('sha1')}"},
    "oc md5": {"oc-checksum": f"MD5:{hexadecimal('md5')}"},
    "oc adler": {"oc-checksum": f"ADLER32:{ADLER}"},
    "oc sha256": {"oc-checksum": f"SHA256:{hexadecimal('sha256')}"},
    "oc several": {"oc-checksum": f"SHA1:{hexadecimal('sha1')} MD5:{hexadecimal('md5')}"},
    "fields": {"digest": f"adler32={ADLER}", "content-md5": b64("md5")},
}


@pytest.mark.parametrize("name", CLAIMS)
def test_the_right_bytes_pass_and_one_flipped_bit_does_not(name: str) -> None:
    check = UploadCheck.from_headers(CLAIMS[name])
    assert check is not None
    check.update(DATA[:7])
    check.update(memoryview(DATA)[7:])
    check.verify()
    check = UploadCheck.from_headers(CLAIMS[name])
    assert check is not None
    check.update(bytes([DATA[0] ^ 1]) + DATA[1:])
    with pytest.raises(BadRequest, match="does not match") as caught:
        check.verify()
    assert caught.value.status == 400


def test_the_refusal_names_algorithm_expected_and_got() -> None:
    check = UploadCheck.from_headers({"oc-checksum": f"MD5:{hexadecimal('md5')}"})
    assert check is not None
    check.update(b"x")
    with pytest.raises(BadRequest) as caught:
        check.verify()
    for part in ("OC-Checksum", "md5", hexadecimal("md5"), hexadecimal("md5", b"x")):
        assert part in caught.value.detail


def test_one_wrong_claim_among_right_ones_is_found() -> None:
    headers = {"digest": f"md5={b64('md5')}", "content-md5": b64("md5", b"other")}
    check = UploadCheck.from_headers(headers)
    assert check is not None
    check.update(DATA)
    with pytest.raises(BadRequest, match="Content-MD5"):
        check.verify()


def test_adler32_may_lack_leading_zeros() -> None:
    check = UploadCheck.from_headers({"digest": "adler32=1"})
    assert check is not None
    check.verify()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"digest": "unixsum=30637"},
        {"digest": "crc32c=AAAAAA=="},
        {"repr-digest": "crc32c=:AAAAAA==:"},
        {"oc-checksum": "SHA3-256:abcdef"},
        {"want-digest": "md5"},
    ],
)
def test_without_a_known_claim_there_is_no_check(headers: dict[str, str]) -> None:
    assert UploadCheck.from_headers(headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"digest": "md5"},
        {"digest": "md5="},
        {"digest": "nonsense"},
        {"digest": "md5=%%%%"},
        {"digest": f"md5={b64('sha1')}"},
        {"digest": "adler32=123456789"},
        {"digest": "adler32=xyz"},
        {"digest": f"sha-256={'ä' * 44}"},
        {"repr-digest": f"sha-256={b64('sha256')}"},
        {"repr-digest": "sha-256=:AAAA:"},
        {"repr-digest": f"sha-256=:{hexadecimal('sha256')}:"},
        {"repr-digest": "sha-256"},
        {"content-digest": "("},
        {"content-md5": "hello"},
        {"content-md5": ""},
        {"oc-checksum": "SHA1"},
        {"oc-checksum": "SHA1:"},
        {"oc-checksum": "SHA1:zz"},
    ],
)
def test_a_digest_that_is_none_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match="cannot be read") as caught:
        UploadCheck.from_headers(headers)
    assert caught.value.status == 400


def test_a_part_is_checked_by_what_speaks_of_the_part() -> None:
    headers = {"content-md5": b64("md5"), "content-digest": f"sha-256=:{b64('sha256')}:"}
    check = UploadCheck.from_headers(headers, partial=True)
    assert check is not None
    check.update(DATA)
    check.verify()


@pytest.mark.parametrize("name", ["adler32", "repr", "oc sha1"])
def test_a_claim_about_the_whole_file_is_refused_for_a_part(name: str) -> None:
    with pytest.raises(BadRequest, match="send Content-Digest"):
        UploadCheck.from_headers(CLAIMS[name], partial=True)


@given(
    st.dictionaries(
        st.sampled_from(["digest", "repr-digest", "content-digest", "content-md5", "oc-checksum"]),
        st.one_of(st.text(), st.text("sha-256md5:=AB, ;", max_size=40)),
    )
)
def test_any_header_is_a_check_or_a_bad_request(headers: dict[str, str]) -> None:
    try:
        check = UploadCheck.from_headers(headers)
        if check is not None:
            check.verify()
    except BadRequest as error:
        assert error.status == 400
