"""Several processes on one state: one winner for each lock, nothing acknowledged is lost."""

import sqlite3
import time
from typing import Any

from vfs.state.base import Depth

ROUNDS = 200

_RACER = """
from vfs.state.base import Depth
from vfs.state.errors import LockConflict
path, depth = {path!r}, Depth({depth!r})
print("ready", flush=True)
for line in sys.stdin:
    try:
        print(store.acquire(line.strip() + path, depth=depth, principal="p").token, flush=True)
    except LockConflict:
        print("", flush=True)
store.close()
"""


def test_of_four_processes_one_gets_the_lock(backend: Any) -> None:
    """In every round of overlapping exclusive requests exactly one is granted."""
    requests = [("", Depth.INFINITY), ("/a", Depth.INFINITY), ("/a/b", Depth.ZERO)]
    requests.append(requests[0])
    racers = [
        backend.start(_RACER.format(path=path, depth=depth.value)) for path, depth in requests
    ]
    winners = [0] * len(racers)
    with backend.open() as store:
        store.health()
        for racer in racers:
            assert racer.stdout.readline() == "ready\n"
        for number in range(ROUNDS):
            for racer in racers:
                racer.stdin.write(f"/{number}\n")
                racer.stdin.flush()
            tokens = [racer.stdout.readline().strip() for racer in racers]
            assert len([token for token in tokens if token]) == 1, tokens
            held = store.locks_beneath(f"/{number}")
            assert [lock.token for lock in held] == [token for token in tokens if token]
            winners[tokens.index(held[0].token)] += 1
        assert len(store.locks_beneath("/")) == ROUNDS
    assert sum(winners) == ROUNDS


_WRITER = """
number = 0
while True:
    number += 1
    sets = {{("n", "value"): str(number), ("n", "again"): str(number)}}
    store.set_properties(f"/{name}/{{number % 500}}", sets)
    print(number, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_acknowledged(backend: Any) -> None:
    """Three writers die by kill -9, four times: what they printed is there, whole."""
    acknowledged: dict[str, str] = {}
    for attempt in range(4):
        names = [f"{attempt}-{number}" for number in range(3)]
        writers = [(name, backend.start(_WRITER.format(name=name))) for name in names]
        for _, writer in writers:
            assert writer.stdout.readline() == "1\n"
        time.sleep(0.2 + attempt * 0.05)
        for _, writer in writers:
            writer.kill()
        for name, writer in writers:
            whole = [line for line in writer.stdout if line.endswith("\n")]
            for line in whole:
                acknowledged[f"/{name}/{int(line) % 500}"] = line.strip()
    assert len(acknowledged) > 100
    with backend.open() as store:
        for path, number in acknowledged.items():
            kept = store.properties(path)
            assert int(kept["n", "value"]) >= int(number)
            assert kept["n", "value"] == kept["n", "again"]
    connection = sqlite3.connect(backend.file)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
