"""A stop lets running requests end, takes no new ones, and comes to an end itself."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.servers.authority import Authority
from tests.vfs.http.conftest import Serve
from vfs.http import pool as pools
from vfs.http import server as servers
from vfs.http.pool import THREADS

Environ = dict[str, Any]
Start = Callable[..., Any]
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
BIG = 20_000_000


def application(environ: Environ, start: Start) -> Iterable[bytes]:
    """Answer "ok", what was sent, or much."""
    if environ["PATH_INFO"] == "/big":
        start("200 OK", [("Content-Length", str(BIG))])
        return (b"x" * 100_000 for _ in range(BIG // 100_000))
    data = environ["wsgi.input"].read() or b"ok"
    start("200 OK", [("Content-Length", str(len(data)))])
    return [data]


def test_a_running_transfer_ends_before_the_server(serve: Serve) -> None:
    served = serve(application)
    idle, running = served.dial(), served.dial(receive_bytes=65536)
    idle.send(GET)
    assert idle.reply().body == b"ok"
    running.send(GET.replace(b"/ ", b"/big "))
    upload = served.dial()
    upload.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx")
    time.sleep(0.2)
    stopper = threading.Thread(target=served.stop)
    stopper.start()
    assert idle.is_at_end()
    with pytest.raises(OSError, match=r"refused|reset"):
        served.dial()
    upload.send(b"y" * 8)
    reply = upload.reply()
    assert (reply.body, reply.headers["Connection"]) == (b"x" + b"y" * 8, "close")
    assert stopper.is_alive()
    assert len(running.reply().body) == BIG
    stopper.join(5)
    assert not stopper.is_alive()


@pytest.mark.parametrize("secure", [False, True])
def test_a_stuck_client_does_not_keep_the_server(
    serve: Serve, authority: Authority, monkeypatch: pytest.MonkeyPatch, *, secure: bool
) -> None:
    monkeypatch.setattr(servers, "STOP_SECONDS", 0.5)
    served = serve(application, authority if secure else None)
    reading, writing = (served.dial_tls() if secure else served.dial() for _ in range(2))
    reading.send(GET.replace(b"/ ", b"/big "))
    writing.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx")
    time.sleep(0.2)
    threads = threading.active_count()
    began = time.monotonic()
    served.stop()
    assert time.monotonic() - began < 3
    assert threading.active_count() <= threads - THREADS


def test_a_hanging_store_does_not_keep_the_server(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(servers, "STOP_SECONDS", 0.2)
    monkeypatch.setattr(pools, "ABORT_SECONDS", 0.2)
    over = threading.Event()

    def hang(_environ: Environ, start: Start) -> Iterable[bytes]:
        over.wait(20)
        start("204 No Content", [])
        return []

    served = serve(hang)
    for _ in range(2 * THREADS):  # the second half is queued
        served.dial().send(GET)
    time.sleep(0.2)
    began = time.monotonic()
    served.stop()
    assert time.monotonic() - began < 2
    assert f"{THREADS} requests hang in a store" in caplog.text
    over.set()


def test_a_stop_under_load_cuts_nothing_that_was_begun(serve: Serve) -> None:
    served = serve(application)
    ended = threading.Event()
    wrong: list[object] = []

    def load() -> None:
        while not ended.is_set():
            try:
                wire = served.dial()
                for _ in range(20):
                    wire.send(GET)
                    reply = wire.reply()
                    if reply.body != b"ok":
                        wrong.append(reply)
                    if reply.headers["Connection"] == "close":
                        break
            except OSError:
                pass  # not begun: the connection was idle, or refused
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    served.stop()
    ended.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert served.looped._loop._count == 0


def test_stop_may_be_called_twice(serve: Serve) -> None:
    served = serve(application)
    served.stop()
    served.stop()


def test_the_port_can_be_taken_again(serve: Serve) -> None:
    served = serve(application)
    assert served.ask(GET).body == b"ok"
    port = served.server.port
    served.stop()
    again = servers.Server(_unused, host="127.0.0.1", port=port)
    again.bind()
    thread = threading.Thread(target=again.serve)
    thread.start()
    again.stop()
    thread.join()


def _unused(_environ: Environ, _start: Start) -> Iterable[bytes]:
    raise NotImplementedError
