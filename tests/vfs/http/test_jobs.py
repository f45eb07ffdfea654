"""Derived files that take long: jobs, and what becomes of the work when its client leaves."""

import contextlib
import json
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cache.budget import Limits as Room
from cache.results import Results
from processors.base import Limits
from processors.grammar.catalogue import Catalogue
from processors.grammar.compiling import compile_template
from processors.grammar.template import TemplateText
from processors.making.maker import Maker
from processors.work.pool import Pool, PoolSettings
from providers.memory import MemoryOptions, MemoryProvider
from tests.processors.conftest import until
from tests.processors.tiny import find
from tests.vfs.http.asking import ask
from tests.vfs.http.conftest import Serve
from tests.vfs.tree.derived_site import rule
from vfs.auth.caller import ANONYMOUS, Caller
from vfs.auth.right import Right
from vfs.auth.rights import Rights
from vfs.dav.door import handlers
from vfs.dav.parts import Parts
from vfs.http.gate import Gate
from vfs.http.job_page import JOBS_NAME, JobPage
from vfs.jobs import Jobs
from vfs.provenance_log import ProvenanceLog
from vfs.state.derived import JobState
from vfs.state.errors import Unavailable
from vfs.state.sqlite import SqliteStore
from vfs.tree.derived import DerivedProvider
from vfs.tree.mounts import Mount, MountTable, Replica
from vfs.tree.steps import Steps
from vfs.tree.tree import Tree

DATA = bytes(range(256)) * 100
ASYNC = {"Prefer": "respond-async, wait=0"}
RULES = (
    rule("/", "authenticated", Right.LIST, Right.READ),
    rule("/", "user:root", *Right),
)


class Site:
    """A gate over `/archive/a.bin` and templates of tiny processors. Everything is fixed."""

    def __init__(self, folder: Path, *, rules: Any = (), seconds: float = 30) -> None:
        params = {name: f"headgate-{secrets.token_hex(8)}.{name}" for name in ("log", "gate")}
        self.log, self.gate_file = (Path(tempfile.gettempdir(), params[name]) for name in params)
        store = MemoryProvider(MemoryOptions())
        mounts = [Mount("/archive", [store])]
        with Tree(MountTable(mounts)).create(ANONYMOUS, "/archive/a.bin") as writer:
            writer.write(DATA)
            writer.commit()
        self.results = Results(folder / "cache", Room(free_bytes=0))
        self.state = SqliteStore(folder / "state.db")
        self.provenance = ProvenanceLog(self.state, most=1000)
        limits = Limits(seconds=seconds)
        self.maker = Maker(
            self.results,
            Pool(PoolSettings(find="tests.processors.tiny:find", workers=1)),
            limits=limits,
            record=self.provenance.record,
            recall=self.provenance.find,
        )
        catalogue = Catalogue(
            {
                name: compile_template(
                    name,
                    TemplateText(
                        path="{name:id}", source="/archive/{name}.bin", run=(name,), params=params
                    ),
                    find,
                )
                for name in ("gated", "copy", "loop", "refuse", "kill")
            }
        )
        provider = DerivedProvider(
            catalogue, self.maker, Steps(MountTable(mounts)), mount="/dispel", limits=limits
        )
        derived = Mount("/dispel", [Replica(provider, is_guarded=True)])
        self.tree = Tree(MountTable([*mounts, derived]), Rights(rules))
        self.jobs = Jobs(self.tree, self.state)
        self.gate = Gate(
            handlers(self.tree, self.state, Parts(self.state, folder / "uploads"), self.jobs),
            pages={JOBS_NAME: JobPage(self.jobs).handle},
            authenticate=lambda headers, _: Caller(name=headers.get("x-user")),
        )

    def ask(self, method: str, target: str, user: str = "", **headers: str) -> Any:
        """Send one request as a user."""
        named = {"X-User": user} if user else {}
        return ask(self.gate, method, target, headers={**named, **headers})

    def job(self, place: str, user: str = "") -> dict[str, Any]:
        """Return what is told of a job."""
        told: dict[str, Any] = json.loads(self.ask("GET", place, user).body)
        return told

    def runs(self) -> list[int]:
        """Return the worker of each run."""
        return list(map(int, self.log.read_text().split())) if self.log.exists() else []

    def close(self) -> None:
        """End everything."""
        self.jobs.close()
        self.maker.close()
        self.provenance.close()
        self.results.close()
        self.state.close()
        for file in (self.log, self.gate_file):
            file.unlink(missing_ok=True)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Return a function that makes a site."""
    with contextlib.ExitStack() as stack:

        def build(**options: Any) -> Site:
            site = Site(tmp_path, **options)
            stack.callback(site.close)
            return site

        yield build


def test_a_job_is_followed_until_its_file_is_there(make: Callable[..., Site]) -> None:
    site = make()
    begun = site.ask("GET", "/dispel/gated/a", **ASYNC)
    assert begun.status == 202
    assert begun.headers["preference-applied"] == "respond-async"
    place = begun.headers["location"]
    assert json.loads(begun.body)["state"] == "running"
    until(lambda: site.job(place)["percent"] == 50)
    site.gate_file.touch()
    until(lambda: site.job(place)["state"] == "done")
    told = site.job(place)
    assert told["file"] == "/dispel/gated/a"
    got = site.ask("GET", told["file"])
    assert (got.status, got.body) == (200, DATA)
    assert len(site.runs()) == 1


def test_what_is_there_needs_no_job(make: Callable[..., Site]) -> None:
    site = make()
    assert site.ask("GET", "/dispel/copy/a").body == DATA
    again = site.ask("GET", "/dispel/copy/a", Prefer="respond-async, wait=20")
    assert (again.status, again.body) == (200, DATA)
    assert site.state.jobs("") == []


def test_what_fails_soon_needs_no_job(make: Callable[..., Site]) -> None:
    site = make()
    refused = site.ask("GET", "/dispel/refuse/a", Prefer="wait=20, respond-async")
    assert refused.status == 400
    assert b"no such layer" in refused.body
    assert site.ask("GET", "/dispel/copy/none", Prefer="wait=20, respond-async").status == 404
    assert site.ask("GET", "/dispel/copy/", Prefer="wait=20, respond-async").status == 200


def test_a_job_that_fails_says_why(make: Callable[..., Site]) -> None:
    site = make()
    begun = site.ask("GET", "/dispel/kill/a", **ASYNC)
    assert begun.status == 202
    place = begun.headers["location"]
    until(lambda: site.job(place)["state"] == "failed")
    told = site.job(place)
    assert told["status"] == 503
    assert "failed twice" in told["detail"]


def test_a_job_is_its_owners(make: Callable[..., Site]) -> None:
    site = make(rules=RULES)
    place = site.ask("GET", "/dispel/gated/a", "ann", **ASYNC).headers["location"]
    assert site.job(place, "ann")["state"] == "running"
    for user in ("bob", ""):
        assert site.ask("GET", place, user).status == 404
        assert site.ask("DELETE", place, user).status == 404
    assert site.job(place, "root")["state"] == "running"

    def listed(user: str) -> list[Any]:
        jobs: list[Any] = json.loads(site.ask("GET", f"/{JOBS_NAME}/", user).body)["jobs"]
        return jobs

    assert [job["job"] for job in listed("ann")] == [place]
    assert listed("bob") == listed("root") == listed("") == []
    assert site.ask("POST", place, "ann").status == 405


def test_who_may_not_read_gets_no_job(make: Callable[..., Site]) -> None:
    site = make(rules=RULES)
    assert site.ask("GET", "/dispel/gated/a", Prefer="respond-async, wait=20").status == 403
    assert not site.runs()


def test_a_job_is_cancelled(make: Callable[..., Site]) -> None:
    site = make()
    place = site.ask("GET", "/dispel/loop/a", **ASYNC).headers["location"]
    until(site.runs)
    assert site.ask("DELETE", place).status == 204
    assert site.job(place)["state"] == "cancelled"
    until(lambda: not Path(f"/proc/{site.runs()[0]}").exists())
    assert site.ask("DELETE", place).status == 204
    assert site.ask("DELETE", f"/{JOBS_NAME}/none").status == 404


def test_a_job_is_cancelled_through_another_process(make: Callable[..., Site]) -> None:
    site = make()
    place = site.ask("GET", "/dispel/loop/a", **ASYNC).headers["location"]
    until(site.runs)
    with SqliteStore(site.state._lend._file) as other:
        assert other.end_job(place.rpartition("/")[2], JobState.CANCELLED)
    until(lambda: not Path(f"/proc/{site.runs()[0]}").exists())


def test_a_job_may_take_longer_than_a_request(make: Callable[..., Site]) -> None:
    site = make(seconds=0.5)
    place = site.ask("GET", "/dispel/gated/a", **ASYNC).headers["location"]
    until(site.runs)
    time.sleep(1.5)
    assert site.job(place)["state"] == "running"
    site.gate_file.touch()
    until(lambda: site.job(place)["state"] == "done")


def test_jobs_keep_no_request_from_being_answered(make: Callable[..., Site]) -> None:
    """One worker is configured, and one computes in the background."""
    site = make()
    site.ask("GET", "/dispel/loop/a", **ASYNC)
    until(site.runs)
    assert site.ask("GET", "/dispel/copy/a").body == DATA


def test_the_work_ends_when_the_client_hangs_up(make: Callable[..., Site], serve: Serve) -> None:
    site = make()
    wire = serve(site.gate).dial()
    wire.send(b"GET /dispel/loop/a HTTP/1.1\r\nHost: h\r\n\r\n")
    until(site.runs)
    wire.close()
    until(lambda: not Path(f"/proc/{site.runs()[0]}").exists())


def test_a_hundred_clients_share_one_computation(make: Callable[..., Site], serve: Serve) -> None:
    """And while they wait, others are served."""
    site = make()
    served = serve(site.gate)
    request = b"GET /dispel/gated/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    with ThreadPoolExecutor(100) as threads:
        replies = [threads.submit(served.ask, request) for _ in range(100)]
        until(lambda: sum(map(len, site.maker._interest._waiting.values())) == 100)
        other = request.replace(b"/dispel/gated/a", b"/archive/a.bin")
        assert served.ask(other).body == DATA
        site.gate_file.touch()
        assert {reply.result(30).body for reply in replies} == {DATA}
    assert len(site.runs()) == 1


def test_provenance_is_kept_and_outlives_the_file(make: Callable[..., Site]) -> None:
    site = make(rules=RULES)
    assert site.ask("GET", "/dispel/copy/a", "ann").status == 200
    told = json.loads(site.ask("GET", "/dispel/copy/a.prov.json", "ann").body)
    until(lambda: site.state.provenance_from("/archive/a.bin"))
    (kept,) = site.state.provenance_from("/archive/a.bin")
    assert (kept.who, kept.size) == ("ann", len(DATA))
    assert kept.id in json.dumps(told)
    site.results.purge(kept.key)
    again = json.loads(site.ask("GET", "/dispel/copy/a.prov.json", "ann").body)
    assert again == told


def test_provenance_that_cannot_be_kept_hinders_nobody(
    make: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make()
    ended = threading.Event()

    def fails(_records: object) -> None:
        ended.set()
        raise Unavailable("gone")

    monkeypatch.setattr(site.state, "add_provenance", fails)
    monkeypatch.setattr("vfs.provenance_log._log.error", lambda *words: None)
    assert site.ask("GET", "/dispel/copy/a").status == 200
    assert ended.wait(10)
