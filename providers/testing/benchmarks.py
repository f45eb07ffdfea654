"""ProviderBenchmarks: prints the rates of one store. Figures to compare, with nothing asserted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from providers.base import Provider
from providers.testing.content import signed
from providers.testing.harness import Harness, needs, put

_MIB = 1024 * 1024
_LARGE_MIB = 64


class ProviderBenchmarks(Harness):
    """Measures what users wait for: lookups, listings, large and small files."""

    @pytest.mark.bench
    def test_rate_of_stat(self, provider: Provider) -> None:
        """Lookups of one file."""
        self.put_raw("file", b"x")
        with _rate(provider, "stat", 2000, "calls"):
            for _ in range(2000):
                provider.stat("file")

    @pytest.mark.bench
    def test_rate_of_scandir(self, provider: Provider) -> None:
        """One listing of 10,000 files."""
        self.mkdir_raw("folder")
        self.fill_raw("folder", 10_000)
        with _rate(provider, "scandir of 10,000", 10_000, "entries"):
            count = sum(1 for _ in provider.scandir("folder"))
        assert count == 10_000

    @pytest.mark.bench
    def test_rate_of_read(self, provider: Provider) -> None:
        """A file of 64 MiB, a MiB at a time."""
        self.put_raw("file", signed(_LARGE_MIB * _MIB))
        with _rate(provider, "read of 64 MiB", _LARGE_MIB, "MiB"), provider.open("file") as reader:
            for number in range(_LARGE_MIB):
                reader.read_at(number * _MIB, _MIB)

    @pytest.mark.bench
    def test_rate_of_write(self, provider: Provider) -> None:
        """A file of 64 MiB, a MiB at a time."""
        needs(provider, "create")
        block = signed(_MIB)
        with _rate(provider, "write of 64 MiB", _LARGE_MIB, "MiB"), provider.create("f") as writer:
            for _ in range(_LARGE_MIB):
                writer.write(block)
            writer.commit()

    @pytest.mark.bench
    def test_rate_of_small_files(self, provider: Provider) -> None:
        """500 files of 4 KiB, written and read back."""
        needs(provider, "create")
        block = signed(4096)
        with _rate(provider, "write of 4 KiB", 500, "files"):
            for number in range(500):
                put(provider, f"{number}", block)
        with _rate(provider, "read of 4 KiB", 500, "files"):
            for number in range(500):
                with provider.open(f"{number}") as reader:
                    reader.read_at(0, 4096)


@contextmanager
def _rate(provider: Provider, what: str, count: int, unit: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds = time.perf_counter() - begin
    print(f"\n{provider.name}: {what}: {count / seconds:,.0f} {unit}/s")
