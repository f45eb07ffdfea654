"""A folder of 50,000 files is listed at once, and costs the server little memory."""

import re
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.wire import credentials, keep
from tests.servers import headgate
from tests.servers.daemon import Daemon
from tests.servers.target import Target
from vfs.state.base import Depth
from vfs.state.sqlite import SqliteStore

FILES = 50_000
PSS_MAX_KIB = 64 * 1024
MARKED = 1000
"""Files that have a lock and a property each."""

_BODIES = {
    "allprop": b"",
    "three": (
        b'<propfind xmlns="DAV:"><prop><getcontentlength/><getlastmodified/><getetag/></prop>'
        b"</propfind>"
    ),
    "locks": b'<propfind xmlns="DAV:"><prop><lockdiscovery/><p xmlns=""/></prop></propfind>',
}


class Listing(NamedTuple):
    """How one listing went."""

    first_seconds: float
    whole_seconds: float
    bytes: int
    responses: int


def _list(target: Target, body: bytes) -> Listing:
    with keep(target, timeout=60) as connection:
        began = time.perf_counter()
        headers = {**credentials(target), "Depth": "1"}
        connection.request("PROPFIND", target.path(), body, headers)
        response = connection.getresponse()
        assert response.status == 207
        size, responses, tail = 0, 0, b""
        block = response.read1(65536)
        first = time.perf_counter() - began
        while block:
            size += len(block)
            joined = tail + block
            responses += joined.count(b"<D:response>") - tail.count(b"<D:response>")
            tail = joined[-11:]
            block = response.read1(65536)
        return Listing(first, time.perf_counter() - began, size, responses)


def _pss_kib(daemon: Daemon) -> int:
    pid = (daemon.directory / "pid").read_text().strip()
    found = re.search(
        r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE
    )
    assert found is not None
    return int(found[1])


@pytest.mark.slow
def test_a_big_folder(tmp_path: Path) -> None:
    folder = tmp_path / "files" / "big"
    folder.mkdir(parents=True)
    for number in range(FILES):
        (folder / f"file-{number:05}.dat").touch()
    (tmp_path / "state").mkdir()
    with SqliteStore(tmp_path / "state" / "state.db") as store:
        for number in range(0, FILES, FILES // MARKED):
            path = f"/{headgate.LOCAL}/big/file-{number:05}.dat"
            store.acquire(path, principal="somebody", depth=Depth.ZERO)
            store.set_properties(path, {("", "p"): "<p>marked</p>"})
    with headgate.launch(tmp_path) as daemon:
        target = daemon.target.beneath(headgate.LOCAL).beneath("big")
        for body in _BODIES.values():
            _list(target, body)  # what is remembered of listings has its bound now
        for name, body in _BODIES.items():
            before = _pss_kib(daemon)
            listings = [_list(target, body) for _ in range(3)]
            grown = _pss_kib(daemon) - before
            worst = max(listing.first_seconds for listing in listings)
            whole = min(listing.whole_seconds for listing in listings)
            print(
                f"\n{name}: first byte {worst * 1000:.0f} ms at worst, whole {whole:.2f} s at best,"
                f" {listings[0].bytes / 1e6:.1f} MB, memory {before} -> {before + grown} KiB"
            )
            assert {listing.responses for listing in listings} == {FILES + 1}
            assert worst < 0.5
            assert grown < 8 * 1024
            assert before + grown < PSS_MAX_KIB
