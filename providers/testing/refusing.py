"""Refusing: what a false capability names raises Unsupported, and does nothing."""

from collections.abc import Callable

import pytest

from providers.base import Provider
from providers.errors import Unsupported
from providers.testing.harness import Harness, names

_OPERATIONS: dict[str, tuple[str, Callable[[Provider], object]]] = {
    "create": ("create", lambda provider: provider.create("new")),
    "create-over": ("create", lambda provider: provider.create("file")),
    "modify": ("modify", lambda provider: provider.modify("file")),
    "mkdir": ("mkdir", lambda provider: provider.mkdir("new")),
    "remove": ("remove", lambda provider: provider.remove("file")),
    "rmdir": ("mkdir", lambda provider: provider.rmdir("empty")),
    "rmdir-keeping": ("remove", lambda provider: provider.rmdir("empty")),
    "rename": ("rename", lambda provider: provider.rename("file", "new")),
    "copy": ("copy", lambda provider: provider.copy("file", "new")),
    "set_mtime": ("set_mtime", lambda provider: provider.set_mtime("file", 0)),
    "checksum": ("checksums", lambda provider: provider.checksum("file", "sha256")),
    "usage": ("usage", lambda provider: provider.usage("")),
    "xattrs": ("xattrs", lambda provider: provider.xattrs("file")),
    "set_xattrs": ("xattrs", lambda provider: provider.set_xattrs("file", {"key": b"value"})),
}


class Refusing(Harness):
    """Proves the false side of every capability that names a method."""

    @pytest.mark.parametrize("operation", _OPERATIONS)
    def test_a_false_capability_is_unsupported(self, provider: Provider, operation: str) -> None:
        """The method raises Unsupported, says why, and the store stays as it is."""
        capability, call = _OPERATIONS[operation]
        if getattr(provider.capabilities, capability):
            pytest.skip(f"the store's capability {capability} is true")
        self.put_raw("file", b"data")
        self.mkdir_raw("empty")
        before = provider.stat("file")
        with pytest.raises(Unsupported) as caught:
            call(provider)
        assert caught.value.detail
        assert names(provider) == {"file", "empty"}
        assert provider.stat("file") == before
        assert self.get_raw("file") == b"data"
