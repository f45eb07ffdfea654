"""One way to start, watch and stop a real server.

    python -m tests.servers.NAME start DIR     prints KEY=VALUE lines when the server answers
    python -m tests.servers.NAME status DIR    exit code 0 while it runs, 3 when it does not
    python -m tests.servers.NAME stop DIR

DIR holds all there is of one server: configuration, served files, log, process id.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from tests import planted
from tests.servers.target import Target

REPOSITORY = Path(__file__).resolve().parents[2]


class StartFailed(RuntimeError):
    """The server ended or stayed silent; the message holds the end of its log."""


def free_port() -> int:
    """Return a loopback port that nobody listens on now.

    It is none of those that the kernel gives to whoever connects, or to who listens on any: between
    this call and its use, or while a server starts again, it would be taken.
    """
    while True:
        port = 10_240 + secrets.randbelow(32_768 - 10_240)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Daemon:
    """One server process in a session of its own.

    Everything but `_process` is fixed. Used from one thread.
    """

    def __init__(
        self,
        directory: Path,
        argv: Sequence[str],
        target: Target,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.argv = list(argv)
        self.target = target
        self.log = directory / "log"
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, within_seconds: float = 20) -> Self:
        """Start the process and return when its port takes connections."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv,
                cwd=REPOSITORY,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        (self.directory / "pid").write_text(f"{self._process.pid}\n")
        end = time.monotonic() + within_seconds
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                tail = self.log.read_text(errors="replace")[-2000:]
                raise StartFailed(f"{' '.join(self.argv)} did not start:\n{tail}")
            time.sleep(0.05)
        return self

    @property
    def pid(self) -> int:
        """The process id; only while it runs."""
        assert self._process is not None
        return self._process.pid

    def wait(self, within_seconds: float = 20) -> int:
        """Wait until the process has ended by itself; return its exit code."""
        assert self._process is not None
        code = self._process.wait(within_seconds)
        self._process = None
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        os.kill(self.pid, number)

    def _listens(self) -> bool:
        address = (self.target.host, self.target.port)
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
            return True
        return False

    def stop(self, within_seconds: float = 15) -> None:
        """End the process in its own way; kill it when it takes too long.

        Raises Leaked when a secret stands in its log.
        """
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None
        planted.check_file(self.log)

    def kill(self) -> None:
        """Kill the process and its children with SIGKILL, as a power cut would."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def _running(directory: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        pid = int((directory / "pid").read_text())
        # A zombie has an empty command line; a number used again has one without our directory.
        if str(directory) in Path(f"/proc/{pid}/cmdline").read_text():
            return pid
    return None


def _stop(directory: Path) -> None:
    pid = _running(directory)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 10
    while _running(directory) is not None:
        if time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)
            return
        time.sleep(0.05)


def main(launch: Callable[[Path], Daemon]) -> None:
    """Run the command line that every server module shares."""
    match sys.argv[1:]:
        case ["start", name]:
            directory = Path(name).resolve()
            directory.mkdir(parents=True, exist_ok=True)
            print(launch(directory).target.lines())
        case ["status", name]:
            running = _running(Path(name).resolve())
            print("stopped" if running is None else f"PID={running}")
            sys.exit(3 if running is None else 0)
        case ["stop", name]:
            _stop(Path(name).resolve())
        case _:
            sys.exit("use: start DIR | status DIR | stop DIR")
