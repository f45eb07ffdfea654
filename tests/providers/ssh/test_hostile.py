"""A server that sends nonsense, or nothing, ends its session with a clear error, and only that."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.errors import StorageError, TimedOut, Unavailable
from providers.ssh import wire
from providers.ssh.session import SftpSession
from providers.ssh.stream import Stream
from providers.ssh.wire import Bytes

HELLO = wire.packet(wire.VERSION, 3)
Answer = Callable[[int, int, bytes], bytes]


class Fake(Stream):
    """A stream to a function that answers each packet."""

    description = "a fake"

    def __init__(self, answer: Answer, hello: bytes = HELLO) -> None:
        self._ours, self._theirs = socket.socketpair()
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", 0, 20_000))
        self._thread = threading.Thread(target=self._serve, args=(answer, hello), daemon=True)
        self._thread.start()

    def _serve(self, answer: Answer, hello: bytes) -> None:
        file = self._theirs.makefile("rwb")
        # Outermost, because closing the file sends what is left to whoever has gone.
        with contextlib.suppress(OSError), self._theirs, file:
            file.read(9)
            file.write(hello)
            file.flush()
            while head := file.read(9):
                length, kind, number = wire.HEADER.unpack(head)
                file.write(answer(kind, number, file.read(length - 5)))
                file.flush()

    def send(self, buffers: Sequence[Bytes]) -> int:
        try:
            return self._ours.sendmsg(buffers)
        except BlockingIOError:
            return 0

    def recv_into(self, view: memoryview, least: int = 1) -> int:
        flags = socket.MSG_WAITALL if least > 1 else 0
        return self._ours.recv_into(view, 0, flags if least else socket.MSG_DONTWAIT)

    def cause(self) -> StorageError:
        return Unavailable(detail="the fake is over")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._thread:
            self._thread.join(5)

    def end(self) -> None:
        self.close()
        self._ours.close()


@contextlib.contextmanager
def talk(answer: Answer, *, silence_seconds: float = 5) -> Iterator[SftpSession]:
    fake = Fake(answer)
    try:
        yield SftpSession(fake, silence_seconds=silence_seconds)
    finally:
        fake.end()


def status(number: int, code: int) -> bytes:
    return wire.packet(wire.STATUS, number, wire.u32(code))


def data(number: int, size: int, claimed: int | None = None) -> bytes:
    length = wire.u32(size if claimed is None else claimed)
    return wire.packet(wire.DATA, number, length, bytes(size))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _k, n, _b: status(n + 1, 0), "belongs to no request"),
        (lambda _k, n, _b: struct.pack(">IBI", 1 << 30, 101, n), "no packet"),
        (lambda _k, n, _b: struct.pack(">IBI", 0, 101, n), "no packet"),
        (lambda _k, n, _b: b"login: " * 10, "no packet"),
        (lambda _k, n, _b: wire.packet(wire.HANDLE, n, wire.string(b"h")), "kind 102"),
        (lambda _k, n, _b: wire.packet(wire.ATTRS, n, wire.u32(1)), "cut short"),
        (lambda _k, n, _b: status(n, 0), "kind 101"),
    ],
)
def test_nonsense(answer: Answer, words: str) -> None:
    with talk(answer) as session:
        with pytest.raises(Unavailable, match=words):
            session.stat("/x")
        assert not session.alive
        with pytest.raises(Unavailable):
            session.stat("/x")


@pytest.mark.parametrize(
    "answer",
    [
        lambda _k, n, _b: data(n, 101),
        lambda _k, n, _b: data(n, 10, 1 << 31),
        lambda _k, n, _b: data(n, 50, 60),
        lambda _k, n, _b: data(n, 60, 50),
        lambda _k, n, _b: wire.packet(wire.NAME, n, wire.u32(0)),
    ],
)
def test_data_that_was_not_asked_for(answer: Answer) -> None:
    """No byte is written beside the reader's memory."""
    with talk(answer) as session:
        memory = bytearray(b"-" * 200)
        with pytest.raises(Unavailable):
            session.read_into(b"h", 0, memoryview(memory)[50:150])
        assert memory[:50] == memory[150:] == b"-" * 50


def test_short_reads_are_asked_again() -> None:
    """A server may give less than was asked; what comes is whole all the same."""
    content = bytes(range(256)) * 1000

    def answer(kind: int, number: int, body: bytes) -> bytes:
        offset, size = struct.unpack_from(">QI", body, 5)
        piece = content[offset : offset + max(1, size // 3)]
        if not piece:
            return status(number, 1)
        return wire.packet(wire.DATA, number, wire.string(piece))

    with talk(answer) as session:
        memory = bytearray(len(content) + 5)
        assert session.read_into(b"h", 0, memoryview(memory)) == len(content)
        assert memory[:-5] == content
        found = b"".join(bytes(block) for block in session.blocks(b"h", 3, len(content) - 3))
        assert found == content[3:]


def test_names_that_no_file_has() -> None:
    def answer(kind: int, number: int, body: bytes) -> bytes:
        if kind == wire.OPENDIR:
            return wire.packet(wire.HANDLE, number, wire.string(b"h"))
        entry = wire.name("../../etc/passwd") + wire.string(b"") + wire.u32(0)
        return wire.packet(wire.NAME, number, wire.u32(1), entry)

    with talk(answer) as session, pytest.raises(Unavailable, match="no file can have"):
        list(session.members("/x"))


@pytest.mark.parametrize("hello", [b"Welcome to the cluster!\n", wire.packet(wire.VERSION, 2)])
def test_a_wrong_greeting(hello: bytes) -> None:
    fake = Fake(lambda *_: b"", hello)
    try:
        with pytest.raises(Unavailable, match="does not speak SFTP"):
            SftpSession(fake)
    finally:
        fake.end()


def test_silence() -> None:
    """Who asked is told of the timeout, everybody else that the session is over."""
    with talk(lambda *_: b"", silence_seconds=0.2) as session:
        errors: list[StorageError] = []

        def ask() -> None:
            try:
                session.stat("/x")
            except StorageError as error:
                errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(5)]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert time.monotonic() - start < 5
        assert len(errors) == 5
        assert sum(isinstance(error, TimedOut) for error in errors) == 1
        assert sum(isinstance(error, Unavailable) for error in errors) == 4
        assert all(error.temporary for error in errors)


def test_a_request_that_is_never_answered() -> None:
    """Answers to others do not keep a lost request waiting for ever."""

    def answer(kind: int, number: int, body: bytes) -> bytes:
        return b"" if body.endswith(b"lost") else wire.packet(wire.ATTRS, number, wire.u32(0))

    with talk(answer, silence_seconds=0.2) as session:
        over = threading.Event()

        def chat() -> None:
            with contextlib.suppress(StorageError):
                while not over.wait(0.01):
                    session.stat("/x")

        thread = threading.Thread(target=chat)
        thread.start()
        try:
            with pytest.raises(StorageError):
                session.stat("/lost")
        finally:
            over.set()
            thread.join(10)


def test_a_server_that_reads_only_when_it_is_read() -> None:
    """One thread asks for much, one sends much: nobody waits for the other for ever."""

    def answer(kind: int, number: int, body: bytes) -> bytes:
        return data(number, 32768) if kind == wire.READ else status(number, 0)

    with talk(answer) as session:

        def read() -> None:
            memory = memoryview(bytearray(32768 * 2000))
            assert session.read_into(b"h", 0, memory) == len(memory)

        done: list[bool] = []

        def write() -> None:
            upload = session.upload(b"h")
            for number in range(2000):
                upload.write(number * 32768, bytes(32768))
            upload.finish()
            done.append(True)

        threads = [threading.Thread(target=job) for job in (read, write, read)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert done
        assert session.alive


JOBS: list[Callable[[SftpSession], object]] = [
    lambda session: session.stat("/x"),
    lambda session: list(session.members("/x")),
    lambda session: session.read_into(b"h", 0, memoryview(bytearray(100))),
    lambda session: list(session.get_many(["/a", "/b"], 10)),
    lambda session: session.realpath("."),
]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(min_size=1, max_size=300), st.sampled_from(JOBS))
def test_any_bytes_end_in_one_of_our_errors(
    garbage: bytes, job: Callable[[SftpSession], object]
) -> None:
    with talk(lambda *_: garbage, silence_seconds=0.05) as session:
        with pytest.raises(StorageError):
            job(session)
        assert not session.alive
