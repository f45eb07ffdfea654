"""Attributes: modification times and extended attributes."""

import pytest

from providers.base import Provider
from providers.errors import NotFound, StorageError
from providers.testing.harness import Harness, needs

_SECOND_NS = 1_000_000_000


class Attributes(Harness):
    """Proves `set_mtime`, `xattrs` and `set_xattrs`."""

    @pytest.mark.parametrize(
        "mtime_ns",
        [0, 1, 1_543_449_600_123_456_789, 2**31 * _SECOND_NS, 2**32 * _SECOND_NS + 5],
        ids=["epoch", "one", "usual", "after-2038", "after-2106"],
    )
    def test_set_mtime(self, provider: Provider, mtime_ns: int) -> None:
        """A time comes back to the resolution of the store, or is refused; bytes stay."""
        needs(provider, "set_mtime")
        self.put_raw("file", b"data")
        try:
            entry = provider.set_mtime("file", mtime_ns)
        except StorageError:
            assert mtime_ns > 2**31 * _SECOND_NS - 1, "a usual time was refused"
            return
        assert entry == provider.stat("file")
        assert abs(entry.mtime_ns - mtime_ns) < provider.capabilities.mtime_resolution_ns
        assert self.get_raw("file") == b"data"

    def test_a_time_before_1970(self, provider: Provider) -> None:
        """An early time comes back, or is refused and nothing changes; it is never made late."""
        needs(provider, "set_mtime")
        self.put_raw("file", b"data")
        before = provider.stat("file").mtime_ns
        try:
            provider.set_mtime("file", -86_400 * _SECOND_NS)
        except StorageError:
            assert provider.stat("file").mtime_ns == before
            return
        off = abs(provider.stat("file").mtime_ns + 86_400 * _SECOND_NS)
        assert off < provider.capabilities.mtime_resolution_ns

    def test_set_mtime_of_nothing(self, provider: Provider) -> None:
        """A missing file raises NotFound and is not made."""
        needs(provider, "set_mtime")
        with pytest.raises(NotFound):
            provider.set_mtime("missing", 0)
        assert list(provider.scandir("")) == []

    def test_xattrs(self, provider: Provider) -> None:
        """Text, binary, empty and long values come back; None removes; others stay."""
        needs(provider, "xattrs")
        self.put_raw("file", b"data")
        assert dict(provider.xattrs("file")) == {}
        values = {"text": b"value", "binary": bytes(range(256)), "empty": b"", "long": b"v" * 2000}
        provider.set_xattrs("file", values)
        assert dict(provider.xattrs("file")) == values
        provider.set_xattrs("file", {"text": b"other", "binary": None})
        del values["binary"]
        assert dict(provider.xattrs("file")) == {**values, "text": b"other"}
        assert self.get_raw("file") == b"data"

    def test_xattr_names(self, provider: Provider) -> None:
        """A name may hold dots, colons and letters of any script."""
        needs(provider, "xattrs")
        self.put_raw("file", b"data")
        values = {"org.example.key": b"1", "a:b": b"2", "\u00e4\u6f22": b"3", "user.x": b"4"}
        provider.set_xattrs("file", values)
        assert dict(provider.xattrs("file")) == values

    def test_xattrs_of_nothing(self, provider: Provider) -> None:
        """A missing file raises NotFound."""
        needs(provider, "xattrs")
        with pytest.raises(NotFound):
            provider.xattrs("missing")
        with pytest.raises(NotFound):
            provider.set_xattrs("missing", {"key": b"value"})
