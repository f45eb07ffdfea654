"""The workloads: what a client does, and what comes out of it as numbers."""

import json
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from tests.bench.http import fixtures
from tests.bench.http.client import Answer, Client, WrongAnswer, must
from tests.bench.http.fixtures import MIB, Sizes
from tests.bench.http.meter import Meter
from tests.e2e.wire import credentials
from tests.servers.daemon import Daemon
from tests.servers.programs import find

GIB = 1 << 30
RANGE_BYTES = 65_536
PROPERTIES = (
    b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/>'
    b"<D:getcontentlength/><D:getlastmodified/><D:getetag/><D:displayname/></D:prop></D:propfind>"
)
_LOCK = (
    b'<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype><D:owner>bench</D:owner></D:lockinfo>"
)
_RESPONSE = re.compile(rb"<(?:\w+:)?response[ >]")
_XML = {"Content-Type": "application/xml"}
# wrk's share of connections that fail before a number counts as wrong.
_ERRORS_MAX = 0.01

# Both scripts send requests that are made once, so that wrk itself costs little.
_LUA = """
local login = "{login}"
local headers = {{}}
if login ~= "" then headers["Authorization"] = login end
{requests}
done = function(summary, latency)
  io.write(string.format('JSON {{"n":%d,"us":%d,"p50":%d,"p99":%d,"bytes":%d,"errors":%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    summary.bytes, summary.errors.status + summary.errors.connect + summary.errors.read
    + summary.errors.write + summary.errors.timeout))
end
"""
_LUA_SMALL = """
local made, at = {{}}, 0
init = function()
  for number = 0, {count} - 1 do
    made[number] = wrk.format("GET", "/" .. string.format("{name}", number), headers)
  end
end
request = function() at = (at + 1) % {count}; return made[at] end
"""
_LUA_RANGE = """
math.randomseed(os.time())
request = function()
  local from = math.random(0, {size} - {length})
  headers["Range"] = string.format("bytes=%d-%d", from, from + {length} - 1)
  return wrk.format("GET", "/{name}", headers)
end
"""

Numbers = dict[str, float]
Workload = Callable[[Daemon, "Place"], Iterator[tuple[str, Numbers]]]


class Place:
    """What the workloads stand on: the sizes, and a file that is uploaded."""

    def __init__(self, sizes: Sizes, upload: IO[bytes]) -> None:
        self.sizes = sizes
        self.upload = upload
        block = os.urandom(MIB)
        for _ in range(sizes.put // MIB):
            upload.write(block)
        upload.flush()


def scratch(daemon: Daemon) -> str:
    """Return the folder that a server alone writes to."""
    return f"w-{daemon.directory.name}"


def check(daemon: Daemon, sizes: Sizes, root: Path) -> None:
    """Raise WrongAnswer unless a server gives what it is measured by."""
    with Client(daemon.target) as client:
        name = fixtures.small(7)
        if must(client.ask("GET", name), 200).body != (root / name).read_bytes():
            raise WrongAnswer("GET gives other bytes")
        first = sizes.big // 2 + 3
        asked = {"Range": f"bytes={first}-{first + RANGE_BYTES - 1}"}
        with (root / fixtures.BIG).open("rb") as file:
            file.seek(first)
            wanted = file.read(RANGE_BYTES)
        if must(client.ask("GET", fixtures.BIG, asked), 206).body != wanted:
            raise WrongAnswer("GET of a range gives other bytes")
        _listed(client, sizes.folders[0])
        must(client.ask("MKCOL", f"{scratch(daemon)}/"), 201, 405)


def get(streams: int, daemon: Daemon, place: Place) -> Iterator[tuple[str, Numbers]]:
    """Download the large file by so many connections at once."""
    faults: list[Exception] = []
    sizes: list[int] = []

    def one() -> None:
        try:
            with Client(daemon.target) as client:
                sizes.append(must(client.ask("GET", fixtures.BIG, drop=True), 200).size)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=one) for _ in range(streams)]
    with Meter(daemon.pid) as meter:
        seconds = _timed(lambda: _run(threads))
    if faults:
        raise faults[0]
    size = streams * place.sizes.big
    yield (
        f"GET {size_of(place.sizes.big)}, {_number(streams, 'stream')}",
        _moved(size, seconds, meter),
    )


def get_tls(daemon: Daemon, place: Place) -> Iterator[tuple[str, Numbers]]:
    """Download the large file with curl."""
    target = daemon.target
    argv = [find("curl"), "-sf", "-o", "/dev/null", "--cacert", str(target.ca), "-K", "-"]
    argv.append(target.url + fixtures.BIG)
    config = f'user = "{target.user}:{target.password}"\n' if target.user else ""
    with Meter(daemon.pid) as meter:
        seconds = _timed(lambda: subprocess.run(argv, input=config.encode(), check=True))
    yield f"TLS GET {size_of(place.sizes.big)}", _moved(place.sizes.big, seconds, meter)


class Load(NamedTuple):
    """A load by wrk, of which each answer has at least `least` bytes."""

    what: str
    script: str
    connections: int
    least: int


def wrk(load: Load, daemon: Daemon, place: Place) -> Iterator[tuple[str, Numbers]]:
    """Load a server with keep-alive connections, as fast as it answers."""
    target = daemon.target
    login = credentials(target).get("Authorization", "")
    filled = load.script.format(
        count=fixtures.SMALL_FILES,
        name=f"{fixtures.SMALL}/f%04d.txt" if load.script is _LUA_SMALL else fixtures.BIG,
        size=place.sizes.big,
        length=RANGE_BYTES,
    )
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(_LUA.format(login=login, requests=filled))
        file.flush()
        argv = [find("wrk"), "-t1", f"-c{load.connections}", f"-d{place.sizes.seconds}s"]
        argv += ["-s", file.name, target.url]
        with Meter(daemon.pid) as meter:
            done = subprocess.run(argv, capture_output=True, text=True, check=True)
    found = re.search(r"JSON (\{.*\})", done.stdout)
    if found is None:
        raise WrongAnswer(done.stdout + done.stderr)
    told = json.loads(found[1])
    count = told["n"]
    if not count or told["bytes"] / count < load.least or told["errors"] > count * _ERRORS_MAX:
        raise WrongAnswer(f"wrk: {told}")
    numbers = {
        "req/s": count / told["us"] * 1e6,
        "CPU us": meter.cpu / count * 1e6,
        "p50 ms": told["p50"] / 1e3,
        "p99 ms": told["p99"] / 1e3,
    }
    yield f"{load.what}, {load.connections} conn", {**numbers, **_memory(meter)}


def propfind(daemon: Daemon, place: Place) -> Iterator[tuple[str, Numbers]]:
    """List folders of several sizes with five properties."""
    with Client(daemon.target) as client:
        for count in place.sizes.folders:
            repeats = max(2, min(20, 6000 // count))
            with Meter(daemon.pid) as meter:
                times = [_timed(partial(_listed, client, count)) for _ in range(repeats)]
            seconds = statistics.median(times)
            numbers = {"req/s": 1 / seconds, "CPU us": meter.cpu / repeats * 1e6}
            yield f"PROPFIND 1, {count:,} entries", {**numbers, **_memory(meter)}


def put(daemon: Daemon, place: Place) -> Iterator[tuple[str, Numbers]]:
    """Upload a large file, with its length and in chunks."""
    path, size = f"{scratch(daemon)}/put.bin", place.sizes.put
    with Client(daemon.target) as client:
        for chunked in (False, True):
            upload = partial(client.upload, path, place.upload.fileno(), size, chunked=chunked)
            answers: list[Answer] = []
            with Meter(daemon.pid) as meter:
                seconds = _timed(lambda u=upload, a=answers: a.append(u()))  # type: ignore[misc]
            must(answers[0], 200, 201, 204)
            arrived = must(client.ask("HEAD", path), 200).headers.get("content-length")
            if arrived != str(size):
                raise WrongAnswer(f"of {size} bytes {arrived} arrived")
            must(client.ask("DELETE", path), 200, 204)
            framing = "chunked" if chunked else "length"
            yield f"PUT {size_of(size)}, {framing}", _moved(size, seconds, meter)


def operations(daemon: Daemon, place: Place) -> Iterator[tuple[str, Numbers]]:
    """Do each small thing many times on one connection."""
    count, body = place.sizes.small_operations, os.urandom(fixtures.SMALL_BYTES)
    folder = f"{scratch(daemon)}/ops"
    with Client(daemon.target) as client:
        must(client.ask("MKCOL", f"{folder}/"), 201)

        def path(kind: str, number: int) -> str:
            return f"{folder}/{kind}{number}"

        def to(kind: str, number: int) -> dict[str, str]:
            return {"Destination": daemon.target.url + path(kind, number)}

        def locked(number: int) -> Answer:
            asked = {"Timeout": "Second-600", "Depth": "0", **_XML}
            held = must(client.ask("LOCK", path("f", number), asked, _LOCK), 200)
            token = {"Lock-Token": held.headers.get("lock-token", "")}
            return client.ask("UNLOCK", path("f", number), token)

        def sent(number: int) -> Answer:
            return client.ask("PUT", path("f", number), None, body)

        once = {"Depth": "0", **_XML}
        steps: Mapping[str, tuple[Callable[[int], Answer], tuple[int, ...]]] = {
            "PUT 4 KiB, new": (sent, (201,)),
            "PUT 4 KiB, over": (sent, (200, 201, 204)),
            "PROPFIND 0": (
                lambda n: client.ask("PROPFIND", path("f", n), once, PROPERTIES),
                (207,),
            ),
            "COPY 4 KiB": (lambda n: client.ask("COPY", path("f", n), to("c", n)), (201, 204)),
            "MOVE": (lambda n: client.ask("MOVE", path("c", n), to("m", n)), (201, 204)),
            "DELETE file": (lambda n: client.ask("DELETE", path("m", n)), (200, 204)),
            "MKCOL": (lambda n: client.ask("MKCOL", path("k", n) + "/"), (201,)),
            "DELETE folder": (lambda n: client.ask("DELETE", path("k", n) + "/"), (200, 204)),
            "LOCK+UNLOCK": (locked, (200, 204)),
        }
        try:
            for name, (step, statuses) in steps.items():

                def all_of_them(
                    step: Callable[[int], Answer] = step, statuses: tuple[int, ...] = statuses
                ) -> None:
                    for number in range(count):
                        must(step(number), *statuses)

                with Meter(daemon.pid) as meter:
                    seconds = _timed(all_of_them)
                numbers = {"req/s": count / seconds, "CPU us": meter.cpu / count * 1e6}
                yield name, {**numbers, **_memory(meter)}
        finally:
            client.close()
            client.ask("DELETE", f"{folder}/")


WORKLOADS: Mapping[str, Workload] = {
    "get1": partial(get, 1),
    "get4": partial(get, 4),
    "range": partial(wrk, Load("range 64 KiB", _LUA_RANGE, 8, RANGE_BYTES)),
    "small1": partial(wrk, Load("GET 4 KiB", _LUA_SMALL, 1, fixtures.SMALL_BYTES)),
    "small16": partial(wrk, Load("GET 4 KiB", _LUA_SMALL, 16, fixtures.SMALL_BYTES)),
    "propfind": propfind,
    "put": put,
    "operations": operations,
}
TLS_WORKLOADS: Mapping[str, Workload] = {"tls": get_tls}


def size_of(size: int) -> str:
    """Return a size as people say it."""
    return f"{size // GIB} GiB" if size % GIB == 0 else f"{size // MIB} MiB"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _listed(client: Client, count: int) -> None:
    answer = client.ask(
        "PROPFIND", f"{fixtures.folder(count)}/", {"Depth": "1", **_XML}, PROPERTIES
    )
    found = len(_RESPONSE.findall(must(answer, 207).body))
    if found != count + 1:
        raise WrongAnswer(f"PROPFIND gives {found} of {count + 1} entries")


def _moved(size: int, seconds: float, meter: Meter) -> Numbers:
    numbers = {"MB/s": size / seconds / 1e6, "CPU s/GiB": meter.cpu * GIB / size}
    return {**numbers, **_memory(meter)}


def _memory(meter: Meter) -> Numbers:
    return {"PSS MiB": meter.memory, "PSS MiB of one": meter.largest}


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin
