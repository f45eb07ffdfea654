"""What every test stands on: real programs or a reason, no leaks, no silent errors."""

import gc
import logging
import os
import re
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import planted
from tests.servers.programs import Missing, find

ROOT = Path(__file__).resolve().parent.parent

# Where the environment forbids to keep bytecode, each gateway and each command that a test starts
# compiles the whole product anew, which takes longer than the rest of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Below nohup every program that a test starts would be deaf to the signal that some tests send.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# quick and ci: the same examples each time, so that a red run stays red and a change is judged by
# what it changes. nightly: other examples each time, with patience, and the blob that repeats them.
hypothesis.settings.register_profile(
    "quick", max_examples=50, deadline=None, derandomize=True, database=None
)
hypothesis.settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, database=None
)
hypothesis.settings.register_profile("nightly", max_examples=5000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "quick")
)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose real program is not here, with the exact missing thing."""
    for marker in item.iter_markers("server"):
        for program in marker.args:
            try:
                find(program)
            except Missing as missing:
                pytest.skip(str(missing))
            except ValueError as unlisted:
                raise pytest.UsageError(str(unlisted)) from None


def pytest_collection_finish() -> None:
    """Set aside what lives for the whole run, so that a collection after each test is cheap."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _set_survivors_aside() -> Iterator[None]:
    """Set aside what a module left for good: a collection costs what the tests of one have made."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _collect_garbage(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect after the test, so that a forgotten file or socket fails the test that forgot it."""
    yield
    # Pytest keeps the instance, and with it the store of a suite, until the run ends.
    if request.instance is not None:
        vars(request.instance).clear()
    request.node.funcargs.clear()
    gc.collect()


class ErrorLog(logging.Handler):
    """Keeps the errors that are logged. The handler's own lock guards `records`."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.records.append(record)


@pytest.fixture(autouse=True)
def _errors_are_expected(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that logs an error it does not declare: a logged traceback is no success."""
    log = ErrorLog()
    logging.getLogger().addHandler(log)
    yield
    logging.getLogger().removeHandler(log)
    allowed = [pattern for marker in request.node.iter_markers("logs") for pattern in marker.args]
    messages = [record.getMessage() for record in log.records]
    unexpected = [m for m in messages if not any(re.search(pattern, m) for pattern in allowed)]
    if unexpected:
        pytest.fail("the test logged an unexpected error: " + "; ".join(unexpected[:5]))


@pytest.fixture(autouse=True)
def _no_secret_is_logged(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that logs a planted secret at any level. A benchmark logs as in real life."""
    if request.node.get_closest_marker("bench"):
        yield
        return
    log, top = planted.LeakLog(), logging.getLogger()
    level = top.level
    top.addHandler(log)
    top.setLevel(logging.DEBUG)
    yield
    stayed = log in top.handlers
    top.removeHandler(log)
    top.setLevel(level)
    if log.found:
        _remember_leak(request.config)
        pytest.fail("the test logged a secret: " + "; ".join(log.found[:5]))
    assert stayed, "the test took the handler away that searches the log for secrets"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that prints a planted secret, also by processes that it started."""
    report = yield
    titles = [title for title, text in report.sections if planted.leaks(text)]
    if titles and report.passed:
        _remember_leak(item.config)
        report.outcome = "failed"
        report.longrepr = f"the test printed a secret: {', '.join(titles)}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _no_secret_is_left_in_a_log(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Search the log and audit files of the whole run when it ends."""
    yield
    try:
        planted.check_logs(tmp_path_factory.getbasetemp())
    except planted.Leaked:
        _remember_leak(request.config)
        raise


def _remember_leak(config: pytest.Config) -> None:
    """Leave a mark for `tests/run`: a leak is no matter of chance, and is never tried again."""
    cache = getattr(config, "cache", None)  # the plugin can be switched off
    if cache is not None:
        cache.set("headgate/leaked", True)


@pytest.fixture
def secret() -> str:
    """Return a new secret that is searched for wherever none may be."""
    return planted.plant()


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the top folder of the source tree."""
    return ROOT
