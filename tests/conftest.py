"""What every test stands on: real programs or a reason, no leaks, no silent errors."""

import gc
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = Path(__file__).with_name("packages.txt")

# quick: the same examples each time, so that a red run stays red. ci: other examples each time,
# and the blob that repeats them. nightly: as ci, with patience.
hypothesis.settings.register_profile(
    "quick", max_examples=50, deadline=None, derandomize=True, database=None
)
hypothesis.settings.register_profile("ci", max_examples=200, deadline=None, print_blob=True)
hypothesis.settings.register_profile("nightly", max_examples=5000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "quick")
)


def server_table() -> dict[str, tuple[str, list[str]]]:
    """Return from packages.txt: name to Debian package and what must be there."""
    lines = (line.split() for line in PACKAGES.read_text().splitlines())
    return {
        words[0]: (words[1], words[2].split(","))
        for words in lines
        if words and not words[0].startswith("#")
    }


def missing(name: str) -> str | None:
    """Return what hinders the use of the named program and the way out, or None."""
    package, needs = server_table()[name]
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
    for need in needs:
        if need.startswith("/"):
            if not Path(need).exists():
                return f"{name}: this machine has no {need}"
        elif shutil.which(need, path=path) is None:
            return f"{name}: {need} is not installed (apt-get install {package})"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose real program is not here, with the exact missing thing."""
    for marker in item.iter_markers("server"):
        for name in marker.args:
            if name not in server_table():
                message = f"{name!r} has no line in {PACKAGES.name}"
                raise pytest.UsageError(message)
            reason = missing(name)
            if reason is not None:
                pytest.skip(reason)


def pytest_collection_finish() -> None:
    """Set aside what lives for the whole run, so that a collection after each test is cheap."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _collect_garbage() -> Iterator[None]:
    """Collect after the test, so that a forgotten file or socket fails the test that forgot it."""
    yield
    gc.collect()


class LogCheck(logging.Handler):
    """Keeps the errors that a test logs, and those that it said it would log.

    Fixed: nothing. Guarded by the handler's own lock: `records`. `allowed` is the test's alone.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []
        self.allowed: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.records.append(record)

    def allow(self, pattern: str) -> None:
        """Let the test log errors in whose message `pattern` is found."""
        self.allowed.append(pattern)

    def unexpected(self) -> list[str]:
        """Return the messages that no pattern allows."""
        messages = [record.getMessage() for record in self.records]
        return [m for m in messages if not any(re.search(p, m) for p in self.allowed)]


@pytest.fixture(autouse=True)
def log_check() -> Iterator[LogCheck]:
    """Fail a test that logs an error it did not `allow`: a logged traceback is no success."""
    check = LogCheck()
    logging.getLogger().addHandler(check)
    yield check
    logging.getLogger().removeHandler(check)
    unexpected = check.unexpected()
    if unexpected:
        pytest.fail("the test logged an unexpected error: " + "; ".join(unexpected[:5]))


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the top folder of the source tree."""
    return ROOT
