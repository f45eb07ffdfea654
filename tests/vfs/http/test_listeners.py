"""Several processes listen on one port, also right after a gateway that was alone there."""

import contextlib
import socket

import pytest

from tests.servers.daemon import free_port
from vfs.http.listeners import listeners


@pytest.mark.parametrize("count", [1, 2])
def test_what_a_gateway_before_leaves_is_in_nobodys_way(count: int) -> None:
    """It closed a connection first, so that this fades away for a minute."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as alone:
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = alone.accept()
        accepted.close()
        assert client.recv(1) == b""
        client.close()
    with contextlib.ExitStack() as stack:
        for listener in listeners("127.0.0.1", port, count):
            stack.enter_context(listener).listen()


def test_a_gateway_that_is_there_keeps_its_port() -> None:
    port = free_port()
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(OSError, match="in use"),
    ):
        listeners("127.0.0.1", port, 2)
