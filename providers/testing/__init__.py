"""The conformance suite for stores, and their shared benchmarks; needs the `dev` extra (pytest).

The author of a store subclasses `ProviderSuite` in a test file, gives it the `provider` fixture
and the raw operations of `Harness`, and inherits every test of the contract:

    class TestMine(ProviderSuite):
        @pytest.fixture
        def provider(self, tmp_path): ...
        def put_raw(self, path, data): ...
        def get_raw(self, path): ...
        def mkdir_raw(self, path): ...

    harness      what a subclass gives, and what the tests share
    memory       a harness to learn from, and for tests of wrappers
    content      bytes that prove that they are whole
    reading      stat, open, read_at, checksum, usage, health
    naming       odd names work, impossible ones are refused
    folders      scandir, mkdir, rmdir, remove
    listing      100,000 entries lazily and in constant memory
    writing      create, commit, abort
    modifying    random write, truncation, files over 4 GiB
    moving       rename and copy
    attributes   modification times and extended attributes
    races        many threads at once
    refusing     what a false capability names raises Unsupported
    benchmarks   rates of one store
"""

import pkgutil

import pytest

# Without this a failed assertion of the suite would not show its values.
for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    pytest.register_assert_rewrite(_module.name)

from providers.testing.attributes import Attributes
from providers.testing.benchmarks import ProviderBenchmarks
from providers.testing.folders import Folders
from providers.testing.harness import Harness
from providers.testing.listing import Listing
from providers.testing.modifying import Modifying
from providers.testing.moving import Moving
from providers.testing.naming import Naming
from providers.testing.races import Races
from providers.testing.reading import Reading
from providers.testing.refusing import Refusing
from providers.testing.writing import Writing

__all__ = ["Harness", "ProviderBenchmarks", "ProviderSuite"]


class ProviderSuite(
    Reading,
    Naming,
    Folders,
    Listing,
    Writing,
    Modifying,
    Moving,
    Attributes,
    Races,
    Refusing,
):
    """Proves that a store keeps the contract of `providers.base`."""
