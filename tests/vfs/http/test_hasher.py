import hashlib
import zlib

from hypothesis import given
from hypothesis import strategies as st

from vfs.http.hasher import DIGEST_BYTES, Hasher


@given(st.lists(st.binary()))
def test_every_algorithm_in_one_pass(blocks: list[bytes]) -> None:
    whole = b"".join(blocks)
    hasher = Hasher(DIGEST_BYTES)
    for block in blocks:
        hasher.update(memoryview(block))
    assert hasher.algorithms == set(DIGEST_BYTES)
    for algorithm, size in DIGEST_BYTES.items():
        digest = hasher.digest(algorithm)
        assert len(digest) == size
        if algorithm == "adler32":
            assert int.from_bytes(digest, "big") == zlib.adler32(whole)
        else:
            assert digest == hashlib.new(algorithm, whole).digest()
