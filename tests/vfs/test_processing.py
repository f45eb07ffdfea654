"""Processing: how the workers are shared among the processes that serve."""

from contextlib import closing
from pathlib import Path

import pytest

from vfs import config
from vfs.processing import Processing
from vfs.state.sqlite import SqliteStore

CONFIG = """
[server]
state_dir = "{folder}"
cache_dir = "{folder}/cache"

[processing]
workers = {workers}

[mounts."/a"]
provider = "local"
root = "{folder}"
"""


@pytest.mark.parametrize(
    ("workers", "processes", "each"), [(8, 1, 8), (8, 4, 2), (8, 3, 2), (2, 4, 1)]
)
def test_each_process_has_its_part(workers: int, processes: int, each: int, tmp_path: Path) -> None:
    file = tmp_path / "headgate.toml"
    file.write_text(CONFIG.format(folder=tmp_path, workers=workers))
    with SqliteStore(tmp_path / "state.db") as state:
        processing = Processing(config.load(file), state, processes=processes)
        with closing(processing):
            assert processing.pool.settings.workers == each
