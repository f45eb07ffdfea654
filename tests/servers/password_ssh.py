"""An SSH server that takes a password or answers to questions, and no key.

sshd without PAM takes only the password of a real account. So paramiko speaks SSH here, and
OpenSSH's own `sftp-server` does the work behind it.

    python -m tests.servers.password_ssh DIR PORT WAY     WAY: password | keyboard-interactive
"""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import paramiko
from paramiko.server import InteractiveQuery

from tests.servers.daemon import REPOSITORY, Daemon, free_port
from tests.servers.programs import find
from tests.servers.sshd import keygen
from tests.servers.target import Target

PASSWORD = 'pass word\'s "100 %" $HOME'
SFTP_SERVER = "/usr/lib/openssh/sftp-server"


class Door(paramiko.ServerInterface):
    """Lets in who knows the password, by one way."""

    def __init__(self, way: str) -> None:
        self._way = way

    def get_allowed_auths(self, username: str) -> str:
        return self._way

    def check_auth_password(self, username: str, password: str) -> int:
        return self._judge("password", password)

    def check_auth_interactive(self, username: str, submethods: str) -> InteractiveQuery:
        return InteractiveQuery("", "", ("Your word: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return self._judge("keyboard-interactive", *responses)

    def _judge(self, way: str, *answers: str) -> int:
        right = way == self._way and answers == (PASSWORD,)
        return paramiko.common.AUTH_SUCCESSFUL if right else paramiko.common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        if name != "sftp":
            return False
        threading.Thread(target=carry, args=(channel,), daemon=True).start()
        return True


def carry(channel: paramiko.Channel) -> None:
    """Let a real sftp-server answer on this channel."""
    with subprocess.Popen([SFTP_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        output = server.stdout

        def back() -> None:
            while data := os.read(output.fileno(), 65536):
                channel.sendall(data)

        answering = threading.Thread(target=back, daemon=True)
        answering.start()
        while data := channel.recv(65536):
            server.stdin.write(data)
            server.stdin.flush()
        server.stdin.close()
        answering.join()
    channel.close()


def serve(directory: Path, port: int, way: str) -> None:
    """Serve until the process is ended."""
    key = paramiko.Ed25519Key.from_private_key_file(str(directory / "host_key"))
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            peer, _ = listener.accept()
            transport = paramiko.Transport(peer)
            transport.add_server_key(key)
            transport.start_server(event=threading.Event(), server=Door(way))


def launch(directory: Path, way: str) -> Daemon:
    """Start the server; `directory`/known_hosts knows it."""
    find(SFTP_SERVER)
    directory.mkdir(exist_ok=True)
    keygen(directory / "host_key")
    port = free_port()
    public = (directory / "host_key.pub").read_text()
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    argv = (sys.executable, "-m", "tests.servers.password_ssh", str(directory), str(port), way)
    target = Target(url=f"sftp://127.0.0.1:{port}/", user="ann", password=PASSWORD)
    environment = {"PYTHONPATH": str(REPOSITORY)}
    return Daemon(directory, argv, target, environment=environment).start()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
