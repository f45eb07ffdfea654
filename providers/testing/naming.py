"""Naming: every name that may exist works, and every path that may not is refused."""

import unicodedata
from collections.abc import Callable

import pytest

from providers.base import Provider
from providers.errors import InvalidPath, NotFound
from providers.names import RESERVED_PREFIX
from providers.testing.harness import Harness, get, names, needs, put, spelling

ODD_NAMES = {
    "space": "two words",
    "trailing-space": "trailing ",
    "leading-space": " leading",
    "percent-slash": "a%2Fb",
    "percent": "100%",
    "hash": "a#b",
    "question": "a?b=c&d",
    "newline": "line\nbreak",
    "carriage-return": "a\rb",
    "tab": "a\tb",
    "control": "\x01\x1f\x7f",
    "backslash": "a\\b",
    "colon": "C:file",
    "quotes": "'\"`$(x);|<>*",
    "hidden": ".hidden",
    "three-dots": "...",
    "trailing-dot": "end.",
    "tilde": "~",
    "dash": "-rf",
    "plus": "a+b",
    "emoji": "\U0001f52c\U0001f9ea",
    "right-to-left": "\u05d0\u05d1 \u202e",
    "zero-width": "a\u200bb",
    "noncharacter": "\uffff",
    "no-utf8": "caf\udce9",
    "255-bytes": "n" * 255,
    "255-bytes-wide": "\u20ac" * 85,
}

REFUSED_PATHS = (
    "..",
    "../outside",
    "folder/../../outside",
    "folder/..",
    ".",
    "folder/./file",
    "/file",
    "/",
    "folder/",
    "folder//file",
    "a\x00b",
    "a\ud800b",
    f"{RESERVED_PREFIX}x",
    f"folder/{RESERVED_PREFIX}x",
    f"{RESERVED_PREFIX}x/file",
)

_odd = pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())

# Every operation that takes a path, each with the capability that it needs.
_OPERATIONS: dict[str, tuple[str, Callable[[Provider, str], object]]] = {
    "stat": ("", lambda provider, path: provider.stat(path)),
    "look": ("", lambda provider, path: provider.look(path)),
    "scandir": ("", lambda provider, path: next(provider.scandir(path), None)),
    "open": ("", lambda provider, path: provider.open(path)),
    "create": ("create", lambda provider, path: provider.create(path)),
    "modify": ("modify", lambda provider, path: provider.modify(path)),
    "mkdir": ("mkdir", lambda provider, path: provider.mkdir(path)),
    "remove": ("remove", lambda provider, path: provider.remove(path)),
    "rmdir": ("mkdir", lambda provider, path: provider.rmdir(path)),
    "rename-from": ("rename", lambda provider, path: provider.rename(path, "target")),
    "rename-to": ("rename", lambda provider, path: provider.rename("file", path)),
    "copy-from": ("copy", lambda provider, path: provider.copy(path, "target")),
    "copy-to": ("copy", lambda provider, path: provider.copy("file", path)),
    "set_mtime": ("set_mtime", lambda provider, path: provider.set_mtime(path, 0)),
    "usage": ("usage", lambda provider, path: provider.usage(path)),
    "xattrs": ("xattrs", lambda provider, path: provider.xattrs(path)),
    "set_xattrs": ("xattrs", lambda provider, path: provider.set_xattrs(path, {"a": b"b"})),
}
_CREATORS = ("create", "mkdir", "rename-to", "copy-to")


class Naming(Harness):
    """Proves which names exist, and that each stands for one file."""

    @_odd
    def test_an_odd_name_is_read(self, provider: Provider, name: str) -> None:
        """A file that another program named oddly is listed, found and read."""
        self._skip_refused(provider, name)
        self.mkdir_raw("folder")
        self.put_raw(f"folder/{name}", b"bytes")
        assert names(provider, "folder") == {name}
        assert provider.stat(f"folder/{name}").name == name
        assert get(provider, f"folder/{name}") == b"bytes"

    @_odd
    def test_an_odd_name_is_written(self, provider: Provider, name: str) -> None:
        """A file is written under just its name, or refused with InvalidPath if so declared."""
        needs(provider, "create")
        if self._is_refused(provider, name):
            with pytest.raises(InvalidPath):
                put(provider, name, b"bytes")
            assert names(provider) == set()
            return
        put(provider, name, b"bytes")
        assert self.get_raw(name) == b"bytes"
        assert names(provider) == {name}
        assert provider.stat(name).name == name

    @_odd
    def test_an_odd_folder_is_made(self, provider: Provider, name: str) -> None:
        """A folder may have every name that a file may have."""
        needs(provider, "mkdir", "create")
        self._skip_refused(provider, name)
        assert provider.mkdir(name).name == name
        put(provider, f"{name}/file", b"bytes")
        assert self.get_raw(f"{name}/file") == b"bytes"
        assert names(provider, name) == {"file"}

    def test_all_odd_names_stand_side_by_side(self, provider: Provider) -> None:
        """No name is taken for another one."""
        kept = [name for name in ODD_NAMES.values() if not self._is_refused(provider, name)]
        for name in kept:
            self.put_raw(name, name.encode(errors="surrogateescape"))
        assert names(provider) == set(kept)
        for name in kept:
            assert get(provider, name) == name.encode(errors="surrogateescape")

    @pytest.mark.parametrize("operation", _CREATORS)
    @pytest.mark.parametrize("letter", ["n", "\u20ac"], ids=["narrow", "wide"])
    def test_a_name_one_byte_too_long(
        self, provider: Provider, operation: str, letter: str
    ) -> None:
        """A name over `name_max_bytes` is refused with InvalidPath, and nothing is made."""
        needs(provider, _OPERATIONS[operation][0])
        limit = provider.capabilities.name_max_bytes
        count, rest = divmod(limit + 1, len(letter.encode()))
        self.put_raw("file", b"x")
        with pytest.raises(InvalidPath):
            _do(provider, operation, letter * count + "n" * rest)
        assert names(provider) == {"file"}

    def test_a_name_of_full_length(self, provider: Provider) -> None:
        """A name of just `name_max_bytes` works."""
        name = "m" * provider.capabilities.name_max_bytes
        self.put_raw(name, b"x")
        assert names(provider) == {name}
        assert get(provider, name) == b"x"

    def test_a_name_too_long_is_not_there(self, provider: Provider) -> None:
        """Asking for an impossible name is a clean refusal, never a crash."""
        name = "n" * (provider.capabilities.name_max_bytes + 1)
        for operation in ("stat", "scandir", "open"):
            with pytest.raises((InvalidPath, NotFound)):
                _do(provider, operation, name)

    @pytest.mark.parametrize("operation", _OPERATIONS)
    def test_a_path_that_may_not_exist(self, provider: Provider, operation: str) -> None:
        """What is not normalised, leaves the root or is reserved raises InvalidPath anywhere."""
        if capability := _OPERATIONS[operation][0]:
            needs(provider, capability)
        self.put_raw("file", b"x")
        self.mkdir_raw("folder")
        for path in REFUSED_PATHS:
            with pytest.raises(InvalidPath):
                _do(provider, operation, path)
        assert names(provider) == {"file", "folder"}
        assert self.get_raw("file") == b"x"

    def test_reserved_names_are_hidden(self, provider: Provider) -> None:
        """A temporary that lies in the store is not listed."""
        if not self.has_temporaries:
            pytest.skip("no reserved name can get into the store")
        self.put_raw(f"{RESERVED_PREFIX}left", b"half")
        self.put_raw("seen", b"x")
        assert names(provider) == {"seen"}

    def test_unicode_forms(self, provider: Provider) -> None:
        """NFC and NFD spellings are two files, or one, as `normalises_unicode` says."""
        composed = unicodedata.normalize("NFC", "\u00fc\u00e9")
        decomposed = unicodedata.normalize("NFD", composed)
        self._check_pair(provider, composed, decomposed)

    def test_letter_case(self, provider: Provider) -> None:
        """Upper and lower case are two files, or one, as `case_sensitive` says."""
        self._check_pair(provider, "Name", "nAME")

    def _check_pair(self, provider: Provider, first: str, second: str) -> None:
        self.put_raw(first, b"first")
        if spelling(provider, first) == spelling(provider, second):
            assert get(provider, second) == b"first"
            return
        with pytest.raises(NotFound):
            provider.stat(second)
        self.put_raw(second, b"second")
        assert names(provider) == {first, second}
        assert (get(provider, first), get(provider, second)) == (b"first", b"second")

    def _is_refused(self, provider: Provider, name: str) -> bool:
        size = len(name.encode(errors="surrogateescape"))
        return name in self.refused_names or size > provider.capabilities.name_max_bytes

    def _skip_refused(self, provider: Provider, name: str) -> None:
        if self._is_refused(provider, name):
            pytest.skip(self.refused_names.get(name, "longer than name_max_bytes"))


def _do(provider: Provider, operation: str, path: str) -> None:
    _OPERATIONS[operation][1](provider, path)
