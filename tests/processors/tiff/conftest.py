"""The corpus, written once for each process that tests."""

from pathlib import Path

import pytest

from tests.processors.tiff import corpus as files


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the files of the corpus by name."""
    return files.write(tmp_path_factory.mktemp("corpus"))
