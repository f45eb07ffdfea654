"""The safety nets of the test run catch what they are there for."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, root: Path) -> Run:
    """Return what runs pytest on a test file's text, with this project's own settings."""

    def run_pytest(text: str, *args: str) -> subprocess.CompletedProcess[str]:
        shutil.copy(root / "tests" / "conftest.py", tmp_path)
        (tmp_path / "test_sample.py").write_text(text)
        settings = ["-c", str(root / "pyproject.toml"), "--rootdir", str(tmp_path)]
        command = [sys.executable, "-m", "pytest", *settings, "-p", "no:cacheprovider", *args]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        environment["PYTHONPATH"] = str(root)
        return subprocess.run(
            [*command, str(tmp_path)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run_pytest


def test_hang_dumps_every_thread_and_fails(run: Run) -> None:
    done = run(
        "import threading, time\n"
        "def other():\n    time.sleep(50)\n"
        "def test_hangs():\n"
        "    threading.Thread(target=other, daemon=True).start()\n"
        "    threading.Event().wait(50)\n",
        "--timeout=1",
    )
    assert done.returncode != 0
    assert "in other" in done.stdout + done.stderr
    assert "threading.Event().wait(50)" in done.stdout
    assert "1 failed" in done.stdout


def test_hang_in_a_worker_process_fails_the_run(run: Run) -> None:
    done = run(
        "import time\ndef test_hangs():\n    time.sleep(50)\ndef test_other():\n    pass\n",
        "--timeout=1",
        "-n1",
    )
    assert done.returncode != 0
    assert "test_hangs" in done.stdout
    assert "1 failed, 1 passed" in done.stdout


def test_leak_fails_the_test_that_leaked(run: Run) -> None:
    done = run(
        "import socket\n"
        "def test_leaks():\n    s = [socket.socket()]\n    s.append(s)\n"
        "def test_after():\n    pass\n"
    )
    assert done.returncode == 1
    assert "test_sample.py::test_leaks" in done.stdout
    assert "test_sample.py::test_after" not in done.stdout
    assert "ResourceWarning" in done.stdout


def test_logged_error_fails_unless_allowed(run: Run) -> None:
    done = run(
        "import logging, pytest\n"
        "def test_logs():\n    logging.getLogger('x').error('the disk burns')\n"
        "@pytest.mark.logs('disk')\n"
        "def test_allows():\n"
        "    logging.getLogger('x').error('the disk burns')\n"
    )
    assert done.returncode == 1
    assert "unexpected error: the disk burns" in done.stdout
    assert "2 passed, 1 error" in done.stdout
    assert "ERROR test_sample.py::test_logs" in done.stdout


def test_missing_program_skips_with_its_package(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("litmus", path="/usr/local/sbin:/usr/sbin:/sbin"):
        pytest.skip("litmus stands in a folder that is always searched")
    monkeypatch.setenv("PATH", "/nonexistent")
    done = run("import pytest\n@pytest.mark.server('litmus')\ndef test_it():\n    assert False\n")
    assert "litmus: not on this machine (apt-get install litmus)" in done.stdout
    assert "1 skipped" in done.stdout


def test_present_program_is_not_skipped(run: Run) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl: not on this machine (apt-get install curl)")
    done = run("import pytest\n@pytest.mark.server('curl')\ndef test_it():\n    pass\n")
    assert "1 passed" in done.stdout


def test_unlisted_program_is_an_error(run: Run) -> None:
    """A test cannot ask for what tests/run would never install."""
    done = run("import pytest\n@pytest.mark.server('nothing')\ndef test_it():\n    pass\n")
    assert done.returncode != 0
    assert "no line of packages.txt brings 'nothing'" in done.stdout + done.stderr
