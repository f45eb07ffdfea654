"""The README's line that runs Headgate does so, in a fresh copy of the tree."""

import os
import re
import selectors
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

WAIT_SECONDS = 600


def read_until(process: subprocess.Popen[bytes], pattern: str) -> re.Match[str]:
    """Return the first match in what the process prints."""
    assert process.stdout is not None
    text = ""
    until = time.monotonic() + WAIT_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < until:
            if selector.select(timeout=1):
                block = os.read(process.stdout.fileno(), 65536)
                text += block.decode()
                found = re.search(pattern, text)
                if found:
                    return found
                assert block, f"it ended without {pattern!r}:\n{text}"
    raise TimeoutError(text)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("wheel")
@pytest.mark.usefixtures("package_index")
def test_the_line_of_the_readme_runs_the_demo(clone: Path, tmp_path: Path) -> None:
    """It makes the environment, installs, serves, and on Ctrl-C ends and leaves nothing."""
    (line,) = re.findall(
        r"^python3 -m venv .+/headgate demo$",
        (clone / "README.md").read_text(),
        re.MULTILINE,
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        ["bash", "-c", f"{line} --port 0"],
        cwd=clone,
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            address = read_until(process, r"http://127\.0\.0\.1:\d+")[0]
            try:
                with urllib.request.urlopen(f"{address}/", timeout=30) as answer:
                    status = answer.status
            except urllib.error.HTTPError as error:
                status = error.code
                error.close()
            assert status in (200, 401)
            # Ctrl-C reaches the whole foreground group, as in a terminal.
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0
    assert not any(temporary.glob("headgate*"))
