"""Computed: what the tree asks of a mount whose files are made when they are read.

Such a mount reads files of other mounts for its clients. It knows no callers, so it says which
paths a request touches, and the tree checks the caller's rights there.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator

import msgspec

from providers.base import Entry, Provider, Reader
from providers.errors import StorageError

READ_ONLY = "files here are computed when they are read; change the files they are made from"

NO_SOURCE = "what it is made from does not exist, or is not yours to read"
"""Said of a source that is absent, and of one that is forbidden: nobody can tell which it is."""

Sees = Callable[[str], bool]
"""Tells whether the caller may see that there is something at a path of the tree."""


class Touch(msgspec.Struct, frozen=True):
    """A path of the tree that a request is about. `is_read` says that its bytes are used."""

    path: str
    is_read: bool


Encode = Callable[[Iterable[bytes]], Iterator[bytes]]
"""Puts bytes into a content coding."""


class ComputedReader(Reader):
    """A reader of what was computed."""

    @abstractmethod
    def coded(self, coding: str, encode: Encode) -> Reader | None:
        """Return a reader of all of it in a content coding that is kept beside it, or None.

        It is made with `encode` where it is not there.
        """


class LateReader(ComputedReader):
    """A reader of what may not be made yet: its entry, and making it, may still be refused."""


class ComputedProvider(Provider):
    """A provider whose files are made from others. Paths are as for every provider."""

    @abstractmethod
    def touches(self, path: str) -> tuple[Touch, ...]:
        """Return what a request for `path` touches, without asking any store."""

    @abstractmethod
    def prompt_source(self, path: str) -> str | None:
        """Return the source of a file that may be there already, if that is known at once.

        None where more than this source has to be asked, or where what is made lies on a disk that
        has to be waited for.
        """

    @abstractmethod
    def stat_for(self, path: str, who: str) -> Entry:
        """Return the entry; it may have to make the file, for `who`, to know its size."""

    @abstractmethod
    def known(self, path: str) -> Entry:
        """Return the entry without making anything; a size that is not known is 0."""

    @abstractmethod
    def members_for(self, path: str, sees: Sees) -> Iterator[Entry]:
        """Yield the members of a folder that come from what the caller sees."""

    @abstractmethod
    def open_for(self, path: str, who: str) -> Reader:
        """Return a reader of the file, made for `who` if need be."""

    @abstractmethod
    def renew(self, path: str, who: str, *, remake: bool) -> None:
        """Ask the stores anew; with `remake`, also make the file once more, for `who`."""

    @abstractmethod
    def check(self, path: str) -> None:
        """Raise what hinders `path` to be read, as far as can be told without making anything."""

    @abstractmethod
    def examples(self, error: StorageError) -> tuple[str, ...]:
        """Return paths that may be shown to whoever got `error`, the nearest first."""

    @abstractmethod
    def purge(self, path: str) -> None:
        """Forget the file at `path`, or every file beneath it. What was not made is no error."""
