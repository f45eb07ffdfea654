"""A gateway whose mounts lie at an SFTP site behind a network that can be cut."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self, TypeVar

from tests.servers import headgate, sshd
from tests.servers.daemon import Daemon, StartFailed
from tests.servers.sshd import Sshd
from tests.servers.target import Target

T = TypeVar("T")

RAW = "raw"
CACHED = "cached"
WRITE = "write"
MOUNTS: Mapping[str, dict[str, object]] = {
    RAW: {"cache": "off"},
    CACHED: {"cache": "read"},
    WRITE: {"cache": "write"},
}


class Network:
    """A proxy on a port of its own. `flowing` is cleared while nothing passes.

    `_sockets`, `_threads` and `_closed` are changed by the thread that accepts, and when it ended.
    """

    def __init__(self, port: int) -> None:
        self.flowing = threading.Event()
        self.flowing.set()
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def cut(self) -> None:
        """End all connections; new ones are made as before."""
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all."""
        self._closed = True
        self.flowing.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
        self._accepting.join()
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            if self._closed:
                near.close()
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._sockets += [near, far]
            for ends in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._carry, args=ends))
                self._threads[-1].start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.flowing.wait()
                target.sendall(data)
        with contextlib.suppress(OSError):
            self.flowing.wait()
            target.shutdown(socket.SHUT_WR)


class Site:
    """One sshd, the way to it, and a gateway with the mounts MOUNTS there and "local" here.

    All is fixed.
    """

    def __init__(
        self, folder: Path, *, transport: str = "openssh", user: str = "", more: str = ""
    ) -> None:
        self.folder = folder
        self.server: Sshd = sshd.launch(folder / "sshd")
        self.network = Network(self.server.target.port)
        self.known_hosts = folder / "known_hosts"
        self.trust()
        mounts: dict[str, dict[str, object]] = {
            "local": {"provider": "local", "root": str(folder / "files")}
        }
        for name, keys in MOUNTS.items():
            self.root(name).mkdir(mode=0o777, exist_ok=True)
            self.root(name).chmod(0o777)
            mounts[name] = {
                "provider": "sftp",
                "host": "127.0.0.1",
                "port": self.network.port,
                "user": user or self.server.target.user,
                "root": str(self.root(name)),
                "known_hosts": str(self.known_hosts),
                "key_file": str(self.server.key),
                "transport": transport,
                "connect_seconds": 2.0,
                "answer_seconds": 2.0,
                **keys,
            }
        try:
            self.gateway: Daemon = _again(lambda: headgate.launch(folder, mounts=mounts, more=more))
        except BaseException:
            self._close_site()
            raise

    def root(self, mount: str) -> Path:
        """Return the folder at the site behind a mount."""
        return self.server.directory / "files" / mount

    def target(self, mount: str) -> Target:
        """Return a mount at the gateway."""
        return self.gateway.target.beneath(mount)

    def kill_gateway(self) -> float:
        """Kill the gateway and start it again; return how many seconds the start took."""
        self.gateway.kill()

        def start() -> float:
            began = time.monotonic()
            self.gateway.start()
            return time.monotonic() - began

        return _again(start)

    def trust(self) -> None:
        """Take the host key that the server has for the right one."""
        self.known_hosts.write_text(f"[127.0.0.1]:{self.network.port} {self.server.host_key}\n")

    def close(self) -> None:
        """End all."""
        try:
            self.gateway.stop()
        finally:
            self._close_site()

    def _close_site(self) -> None:
        self.network.close()
        self.server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _again(start: Callable[[], T]) -> T:
    """Start a gateway; try again when a connection of another test has its port for a moment."""
    for _ in range(20):
        try:
            return start()
        except StartFailed as error:
            if "the port is in use" not in str(error):
                raise
            time.sleep(0.5)
    return start()
