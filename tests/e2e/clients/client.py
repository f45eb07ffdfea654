"""What every real client is asked to do, and how one is run."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

from tests.servers.target import Target

STEP_SECONDS = 15


class Client(Protocol):
    """A real WebDAV client on one folder of a server.

    Names are plain text, relative to the folder; folders are named without a slash at the end.
    Making a client raises Missing when its program is not here. A step raises when it fails.
    """

    def __init__(self, target: Target, work: Path) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def mkcol(self, name: str) -> None: ...
    def put(self, local: Path, name: str) -> None: ...
    def names(self, folder: str) -> set[str]: ...
    def move(self, source: str, destination: str) -> None: ...
    def get(self, name: str, local: Path) -> None: ...
    def delete(self, name: str) -> None: ...


def run(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
    accept: frozenset[int] = frozenset({0}),
    cwd: Path | None = None,
) -> str:
    """Run one program and return what it prints; raises with its words when it fails."""
    finished = subprocess.run(
        [str(word) for word in argv],
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
        input=(given or "").encode(),
        capture_output=True,
        timeout=STEP_SECONDS,
        check=False,
        cwd=cwd,
    )
    output = finished.stdout.decode()
    if finished.returncode not in accept:
        errors = finished.stderr.decode(errors="replace")
        raise RuntimeError(f"{argv} ended with {finished.returncode}:\n{output}{errors}")
    return output


class Driver:
    """A client library in a process of its own: one JSON line asks, one answers.

    `_process` is fixed. Used from one thread.
    """

    def __init__(self, argv: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [str(word) for word in argv],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def ask(self, verb: str, *arguments: str) -> list[str]:
        """Have one step done; raises with the library's own error when it fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([verb, *arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the client ended during {verb} {arguments}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{verb} {arguments}: {answer['error']}")
        return [str(name) for name in answer["names"]]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Stateless:
    """A client that holds nothing between two steps."""

    def __init__(self, target: Target, work: Path) -> None:
        self.target = target
        self.work = work

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class Library:
    """A client library, spoken to through its driver."""

    def __init__(self, argv: Sequence[str | Path], target: Target) -> None:
        environment = {
            "DAV_URL": target.url,
            "DAV_USER": target.user,
            "DAV_PASSWORD": target.password,
        }
        if target.ca:
            environment |= {
                "NODE_EXTRA_CA_CERTS": str(target.ca),
                "REQUESTS_CA_BUNDLE": str(target.ca),
                "SSL_CERT_FILE": str(target.ca),
            }
        self._driver = Driver(argv, environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._driver.close()

    def mkcol(self, name: str) -> None:
        self._driver.ask("mkcol", name)

    def put(self, local: Path, name: str) -> None:
        self._driver.ask("put", str(local), name)

    def names(self, folder: str) -> set[str]:
        return set(self._driver.ask("names", folder))

    def move(self, source: str, destination: str) -> None:
        self._driver.ask("move", source, destination)

    def get(self, name: str, local: Path) -> None:
        self._driver.ask("get", name, str(local))

    def delete(self, name: str) -> None:
        self._driver.ask("delete", name)
