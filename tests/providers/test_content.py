"""Content that proves that it is whole."""

from providers.testing.content import is_whole, signed


def test_signed_content_proves_itself() -> None:
    """Each changed, missing or foreign byte shows."""
    data = signed(1000, 1)
    assert len(data) == 1000
    assert is_whole(data)
    assert data != signed(1000, 2)
    for wrong in (
        data[:-1],
        data + b"\0",
        data[:500] + signed(1000, 2)[500:],
        bytes([data[0] ^ 1]) + data[1:],
        b"",
    ):
        assert not is_whole(wrong)
