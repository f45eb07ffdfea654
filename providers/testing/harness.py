"""Harness: what the author of a store gives to the suite, and what its tests share."""

import threading
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from providers.base import Provider
from providers.errors import StorageError

T = TypeVar("T")


class Harness(ABC):
    """What a subclass gives. Pytest makes one instance a test, so fixtures may keep state on it.

    The raw operations BYPASS the provider: they reach the store as another program would, so that
    reads and writes are checked independently. Raw paths obey the same grammar.
    """

    refused_names: Mapping[str, str] = {}
    """Names of `naming.ODD_NAMES` that this kind of store cannot hold, each with its reason."""
    has_temporaries: bool = True
    """Whether files with reserved names can lie in the store; False where none can get there."""
    foreign_step_seconds: float = 0.05
    """How far apart two equal-size rewrites by other programs must be for versions to differ."""
    threads: int = 8
    """How many threads the races start; each may hold a reader or a writer open."""
    listing_entries: int = 100_000
    """How long the long listing is; less only where the real server itself cannot make more."""
    listing_peak_bytes: int = 4 * 1024 * 1024
    """How much memory of Python the long listing may take at its peak."""

    @pytest.fixture
    @abstractmethod
    def provider(self) -> Iterator[Provider]:
        """Yield a provider of an empty store, and close it."""

    @abstractmethod
    def put_raw(self, path: str, data: bytes) -> None:
        """Set the whole content of a file, as a well-behaved other program would."""

    @abstractmethod
    def get_raw(self, path: str) -> bytes | None:
        """Return the content of a file; None when there is no file."""

    @abstractmethod
    def mkdir_raw(self, path: str) -> None:
        """Make one folder; its parent exists."""

    def list_raw(self, path: str) -> set[str] | None:
        """Return the names in a folder, those of temporaries too; None when that is unknown."""
        return None

    def fill_raw(self, folder: str, count: int) -> None:
        """Put `count` empty files into an empty folder, named by `fill_name`."""
        for number in range(count):
            self.put_raw(f"{folder}/{fill_name(number)}", b"")

    def put_sparse_raw(self, path: str, size: int, tail: bytes) -> bool:
        """Make a file of `size` bytes, a hole but for `tail` at its end; False if impossible."""
        return False


def fill_name(number: int) -> str:
    """Return the name of a file that `fill_raw` makes."""
    return f"f{number:06d}"


def needs(provider: Provider, *capabilities: str) -> None:
    """Skip the test when the store lacks a capability; `refusing` then proves the other side."""
    for capability in capabilities:
        value = getattr(provider.capabilities, capability)
        if not value:
            pytest.skip(f"the store's capability {capability} is {value!r}")


def put(provider: Provider, path: str, data: bytes, *, expect: str | None = None) -> str:
    """Write a file through the provider; return the version of its commit."""
    with provider.create(path, expect=expect) as writer:
        writer.write(data)
        return writer.commit().version


def get(provider: Provider, path: str) -> bytes:
    """Read a file through the provider."""
    with provider.open(path) as reader:
        return reader.read_at(0, reader.entry.size)


def names(provider: Provider, folder: str = "") -> set[str]:
    """Return the names that the provider lists, each once."""
    listed = [entry.name for entry in provider.scandir(folder)]
    assert len(listed) == len(set(listed)), "a name is listed twice"
    return set(listed)


def spelling(provider: Provider, name: str) -> str:
    """Return the spelling of `name` by which two names are the same to this store."""
    if provider.capabilities.normalises_unicode:
        name = unicodedata.normalize("NFC", name)
    return name if provider.capabilities.case_sensitive else name.casefold()


def together(count: int, work: Callable[[int], T]) -> list[T | StorageError]:
    """Run `work` in `count` threads that start at once; return results and storage errors.

    Every other exception of a thread, a failed assertion too, is raised here.
    """
    barrier = threading.Barrier(count)

    def run(number: int) -> T | StorageError:
        barrier.wait(timeout=30)
        try:
            return work(number)
        except StorageError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count), timeout=100))
