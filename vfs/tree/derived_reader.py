"""Readers of derived files and of their documents."""

from collections.abc import Callable
from functools import cached_property

import msgspec

from cache.result_file import ResultFile
from cache.variants import Variants
from providers import waiting
from providers.base import Entry, Reader
from vfs.tree.computed import ComputedReader, Encode, LateReader

Remarks = dict[str, str]
Told = tuple[int, str]
"""The size and the media type of a file."""


class MadeReader(ComputedReader):
    """Reads a derived file that is there. All is fixed but the file, which `close` closes.

    `variants` has it in other codings.
    """

    is_final = True

    def __init__(
        self, entry: Entry, remarks: Remarks, file: ResultFile, variants: Variants
    ) -> None:
        self.entry = entry
        self.remarks = remarks
        self._file = file
        self._variants = variants

    def coded(self, coding: str, encode: Encode) -> Reader | None:
        """Return it in a coding."""
        return _coded(self._variants, self._file, self.entry, coding, encode)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`."""
        return self._file.read_at(offset, size)

    def read_now(self, offset: int, size: int) -> bytearray | None:
        """Return what `read_at` would if it is in memory."""
        return self._file.read_now(offset, size)

    def fileno(self) -> int | None:
        """Return the descriptor of the result."""
        return self._file.fileno()

    def close(self) -> None:
        """Give the result back."""
        self._file.close()


class DerivedReader(LateReader):
    """Reads one derived file, which is made when its bytes are first wanted.

    `make` returns the file and what is remarked of it; `foresee` the size and media type before,
    None if only making it tells. `describe` makes an entry of them. For one thread until `prepare`
    has returned; then everything is fixed but the file, which `close` closes.
    """

    is_final = True

    def __init__(
        self,
        remarks: Remarks,
        make: Callable[[], tuple[ResultFile, Remarks]],
        foresee: Callable[[], Told | None],
        describe: Callable[[Told], Entry],
        variants: Variants,
    ) -> None:
        self.remarks = remarks
        self._variants = variants
        self._make = make
        self._foresee = foresee
        self._describe = describe
        self._file: ResultFile | None = None

    @cached_property
    def entry(self) -> Entry:  # type: ignore[override] # nobody sets it
        """The entry; what was not made until now is planned for it."""
        told = None if self._file is not None else self._foresee()
        if told is None:
            record = self._made().record
            told = record.size, record.media_type
        return self._describe(told)

    def prepare(self) -> None:
        """Make the file, if it is not there."""
        self._made()

    def coded(self, coding: str, encode: Encode) -> Reader | None:
        """Return it in a coding, once it is made."""
        if self._file is None:
            return None
        return _coded(self._variants, self._file, self.entry, coding, encode)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`."""
        return self._made().read_at(offset, size)

    def fileno(self) -> int | None:
        """Return the descriptor of the result."""
        return self._made().fileno()

    def close(self) -> None:
        """Give the result back."""
        if self._file is not None:
            self._file.close()

    def _made(self) -> ResultFile:
        if self._file is None:
            self._file, self.remarks = self._make()
        return self._file


def _coded(
    variants: Variants, file: ResultFile, entry: Entry, coding: str, encode: Encode
) -> Reader | None:
    now = waiting.is_refused()
    found = variants.get(file, coding, encode, now=now)
    if found is None:
        if now:
            waiting.begin()
        return None
    coded = msgspec.structs.replace(entry, size=found.record.size)
    return MadeReader(coded, {}, found, variants)


class TextReader(Reader):
    """Reads a document that is held in memory. Everything is fixed."""

    def __init__(self, entry: Entry, text: bytes) -> None:
        self.entry = entry
        self._text = text

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`."""
        return self._text[offset : offset + size]

    def close(self) -> None:
        """Give nothing back."""
