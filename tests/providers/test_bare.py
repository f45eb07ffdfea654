"""A store with no capability at all keeps the contract: the false side throughout."""

from collections.abc import Iterator

from providers.base import Capabilities, Entry, Options, Provider, Reader
from providers.testing import ProviderSuite
from providers.testing.memory import MemoryHarness


class BareProvider(Provider):
    """Has what every store must have, and leaves the rest as the base class has it."""

    name = "bare"
    options = Options
    capabilities = Capabilities()

    def __init__(self, inner: Provider) -> None:
        self.inner = inner

    def stat(self, path: str) -> Entry:
        return self.inner.stat(path)

    def scandir(self, path: str) -> Iterator[Entry]:
        return self.inner.scandir(path)

    def open(self, path: str) -> Reader:
        return self.inner.open(path)

    def health(self) -> None:
        self.inner.health()

    def close(self) -> None:
        self.inner.close()


class TestBare(MemoryHarness, ProviderSuite):
    """The false side of every capability, over an honest store."""

    def make_provider(self) -> Provider:
        return BareProvider(super().make_provider())
