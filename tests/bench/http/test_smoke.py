"""The benchmark runs, on little data: it says nothing about speed, but that it can be measured."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from tests.bench.http import __main__ as bench
from tests.bench.http import fixtures, peers, table
from tests.bench.http.fixtures import MIB, Sizes

pytestmark = pytest.mark.bench
SIZES = Sizes(big=16 * MIB, put=4 * MIB, folders=(100,), small_operations=20, seconds=1)


@pytest.mark.timeout(120)
@pytest.mark.server("wrk")
@pytest.mark.parametrize("mode", bench.MODES)
def test_every_workload_gives_numbers(tmp_path: Path, mode: str) -> None:
    """Of ours; and of every peer that is on this machine."""
    root = tmp_path / "root"
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # some peers give up root's rights
    fixtures.make(root, SIZES)
    names = list(peers.LAUNCH)
    with Progress(console=Console(quiet=True), disable=True) as progress:
        samples, notes = bench.measure(
            mode, servers=names, only=[], rounds=1, sizes=SIZES, root=root, progress=progress
        )
    print("\n".join(["", *table.tables(samples, names, peers.OURS), *notes]))
    assert not [note for note in notes if "not on this machine" not in note]
    for workload, by_server in samples.items():
        assert {peers.OURS, "headgate-1"} <= set(by_server), workload
        assert all(number >= 0 for found in by_server.values() for number in found)
    told = json.loads(table.document({mode: samples}, 1))
    assert len(told["results"]) == len(samples) > 0


def test_ratios_are_above_one_where_we_are_better() -> None:
    medians = {"headgate": 10.0, "peer": 5.0, "none": 0.0}
    assert table.ratio(medians, "peer", "headgate", "req/s") == 2
    assert table.ratio(medians, "peer", "headgate", "CPU us") == 0.5
    assert table.ratio(medians, "none", "headgate", "req/s") is None
    assert table.ratio(medians, "absent", "headgate", "req/s") is None
