"""litmus 0.13 passes whole on every provider, by http and https."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.servers.programs import find
from tests.servers.target import Target

# What each suite counts. Over TLS litmus leaves out expect100 from its suite "http".
_SUITES = {"basic": 16, "copymove": 13, "props": 30, "locks": 41, "http": 4}
_SUMMARY = re.compile(r"summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed")


@pytest.mark.server("litmus")
@pytest.mark.timeout(60)
def test_litmus(gateway: Target, tmp_path: Path) -> None:
    _passes(gateway, tmp_path)


@pytest.mark.server("litmus")
@pytest.mark.server("sshd")
@pytest.mark.xdist_group("site")
@pytest.mark.timeout(60)
def test_litmus_at_an_sftp_site(at_site: Target, tmp_path: Path) -> None:
    """Read through, cached, and with writes put off."""
    _passes(at_site, tmp_path)


def _passes(target: Target, directory: Path) -> None:
    passed = _run(target, directory)
    wanted = {**_SUITES, "http": 3} if target.secure else _SUITES
    assert passed == {name: (count, 0) for name, count in wanted.items()}


@pytest.mark.server("litmus")
def test_litmus_can_fail(plain: Target, tmp_path: Path) -> None:
    """A folder that is not there fails the first suite."""
    assert _run(plain.beneath("none"), tmp_path)["basic"][1] > 0


def _run(target: Target, directory: Path) -> dict[str, tuple[int, int]]:
    """Return passed and failed tests by suite; shows the whole output when a test fails."""
    argv = [find("litmus"), "-k", target.url]
    if target.user:
        argv += [target.user, target.password]
    run = subprocess.run(
        argv,
        cwd=directory,  # litmus writes its debug log where it stands
        capture_output=True,
        timeout=50,
        check=False,
    )
    output = run.stdout.decode(errors="replace")
    print(output)
    return {name: (int(ok), int(bad)) for name, _, ok, bad in _SUMMARY.findall(output)}
