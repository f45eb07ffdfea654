"""The command as users run it: in a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import planted

ROOT = Path(__file__).parents[2]
POWERLESS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-net_bind_service"]


class Command:
    """Runs `headgate` in a folder, in processes that are ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = [sys.executable, "-u", "-m", "vfs.cli"]
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            # Cheroot forgets the socket of a port that it could not get.
            "PYTHONWARNINGS": "error,ignore::ResourceWarning",
            "TMPDIR": str(folder / "tmp"),
        }
        (folder / "tmp").mkdir()
        self.processes: list[subprocess.Popen[str]] = []

    def write(self, text: str) -> Path:
        """Write the configuration and the folders `a` and `b` beside it."""
        for name in ("a", "b"):
            (self.folder / name).mkdir(exist_ok=True)
        path = self.folder / "headgate.toml"
        path.write_text(text)
        return path

    def run(
        self, *arguments: str | Path, powerless: bool = False, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with `given` as its standard input.

        `powerless` takes from root what other users do not have.
        """
        prefix = POWERLESS if powerless and os.geteuid() == 0 else []
        done = subprocess.run(
            [*prefix, *self.python, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        planted.check(done.stdout + done.stderr, f"what {arguments} printed")
        return done

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command that goes on."""
        process = subprocess.Popen(
            [*self.python, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def serve(self, *arguments: str | Path) -> tuple[subprocess.Popen[str], str]:
        """Start a gateway and return it with its URL once it serves."""
        process = self.start("serve", *arguments)
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http\S+", line)
        if found is None:
            _, errors = process.communicate(timeout=30)
            pytest.fail(f"no server: {line!r} {errors}")
        return process, found[0]

    def refused(self, *arguments: str | Path, powerless: bool = False, given: str = "") -> str:
        """Run a command that must fail as wrong input does; return its one line."""
        done = self.run(*arguments, powerless=powerless, given=given)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr.rstrip("\n")


@pytest.fixture
def headgate(tmp_path: Path) -> Iterator[Command]:
    """Give the command, run in an empty folder."""
    command = Command(tmp_path)
    yield command
    for process in command.processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        printed = process.communicate(timeout=30)
        planted.check("".join(map(str, printed)), f"what {process.args!r} printed")
