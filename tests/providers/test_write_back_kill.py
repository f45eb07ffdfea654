"""Kill -9 while it accepts and uploads: what was acknowledged arrives, and nothing else shows."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cache.journal import Journal
from providers.errors import NotFound
from providers.local import LocalOptions, LocalProvider
from providers.testing.harness import get
from providers.write_back import WriteBackProvider
from tests.providers.accepting import NAMES, content, number_of

_KILLS = 50
_ROOT = Path(__file__).resolve().parents[2]


def _start(root: Path, journal: Path, seed: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.providers.accepting", str(root), str(journal), str(seed)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def _at_origin(root: Path) -> dict[str, int]:
    """Return the number of each file of the origin, after a look that each is whole."""
    found = {}
    for name in NAMES:
        file = root / name
        if file.exists():
            data = file.read_bytes()
            found[name] = number_of(data)
            assert data == content(name, found[name])
    return found


def _told(output: str) -> tuple[dict[str, int], dict[str, int]]:
    acknowledged: dict[str, int] = {}
    tried: dict[str, int] = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) == 3:
            (tried if words[0] == "try" else acknowledged)[words[1]] = int(words[2])
    return acknowledged, tried


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_fifty_kills(tmp_path: Path) -> None:
    """Each name's content only ever grows newer, and is never older than acknowledged."""
    root, journal = tmp_path / "root", tmp_path / "journal"
    (root / "folder").mkdir(parents=True)
    chance = random.Random(5)
    shown: dict[str, int] = {}
    arrived: dict[str, int] = {}
    acknowledged = 0
    for seed in range(1, _KILLS + 1):
        process = _start(root, journal, seed)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.3))
        process.kill()
        output = first + process.stdout.read()
        process.wait()
        process.stdout.close()
        acks, tries = _told(output)
        acknowledged += output.count("ack")
        now = _at_origin(root)
        assert all(now[name] >= number for name, number in arrived.items())
        arrived = now
        with_journal = WriteBackProvider(LocalProvider(LocalOptions(root=root)), Journal(journal))
        for name in NAMES:
            least = max(acks.get(name, 0), shown.get(name, 0))
            try:
                data = get(with_journal, name)
            except NotFound:
                assert not least
                continue
            number = number_of(data)
            assert data == content(name, number)
            assert number == least or number == tries.get(name)
            assert number >= least
            shown[name] = number
        with_journal.close()
    store = WriteBackProvider(LocalProvider(LocalOptions(root=root)), Journal(journal))
    assert store.flush(seconds=30)
    assert store.journal.conflicts() == []
    store.journal.sweep()
    store.close()
    assert list((journal / "data").iterdir()) == []
    assert _at_origin(root) == shown
    assert {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()} - set(NAMES) <= {
        str(p.relative_to(root)) for p in root.rglob(".headgate-*")
    }
    assert acknowledged > _KILLS


@pytest.mark.slow
def test_two_processes_share_a_journal(tmp_path: Path) -> None:
    """Both accept, one uploads; when that one dies the other goes on."""
    root, journal = tmp_path / "root", tmp_path / "journal"
    (root / "folder").mkdir(parents=True)
    one = _start(root, journal, 1)
    assert one.stdout is not None
    one.stdout.readline()
    two = _start(root, journal, 2)
    assert two.stdout is not None
    two.stdout.readline()
    time.sleep(1.0)
    one.kill()
    told = [one.stdout.read()]
    one.wait()
    one.stdout.close()
    time.sleep(1.0)
    before = _at_origin(root)
    time.sleep(1.0)
    assert _at_origin(root) != before, "nobody uploads"
    two.kill()
    told.append(two.stdout.read())
    two.wait()
    two.stdout.close()
    store = WriteBackProvider(LocalProvider(LocalOptions(root=root)), Journal(journal))
    assert store.flush(seconds=30)
    assert store.journal.conflicts() == []
    store.close()
    acks, tries = _told(told[1])
    at_origin = _at_origin(root)
    assert all(at_origin[name] in (number, tries[name]) for name, number in acks.items())
    assert all("ack" in text for text in told)
