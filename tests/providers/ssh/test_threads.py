"""Many threads on one session, servers that die, folders that are long. Both streams."""

import os
import random
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from providers.errors import StorageError, Unavailable
from providers.ssh import wire
from providers.ssh.login import Login
from providers.ssh.session import SftpSession
from tests.providers.ssh.conftest import Connect
from tests.servers import sshd
from tests.servers.sshd import Sshd

pytestmark = pytest.mark.server("sshd", "ssh")

DATA = random.Random(2).randbytes(20_000_000)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Sshd]:
    with sshd.launch(tmp_path / "own") as server:
        yield server


def there(login: Login, server: Sshd) -> Login:
    return msgspec.structs.replace(
        login, port=server.target.port, known_hosts=server.known_hosts, key_file=server.key
    )


def test_many_threads_at_once(session: SftpSession, root: Path) -> None:
    """Reads, writes, listings and stats of 12 threads on one session mix no bytes."""
    (root / "big").write_bytes(DATA)
    for number in range(300):
        (root / f"s{number}").write_text(str(number))

    def read(seed: int) -> None:
        handle = session.open(str(root / "big"))
        chance = random.Random(seed)
        for _ in range(30):
            size = chance.choice([1, 4096, 65536, 2_000_000])
            offset = chance.randrange(len(DATA) - size)
            memory = bytearray(size)
            assert session.read_into(handle, offset, memoryview(memory)) == size
            assert memory == DATA[offset : offset + size]
        session.close_handle(handle)

    def write(seed: int) -> None:
        path = root / f"w{seed}"
        handle = session.open(str(path), wire.WRITE_NEW)
        upload = session.upload(handle)
        for start in range(0, 10_000_000, 1_000_000):
            upload.write(start, DATA[start + seed : start + seed + 1_000_000])
        upload.finish()
        session.close_handle(handle)
        assert path.read_bytes() == DATA[seed : seed + 10_000_000]

    def look(seed: int) -> None:
        for _ in range(10):
            assert len(list(session.members(str(root)))) >= 301
            found = session.get_many([str(root / f"s{number}") for number in range(300)], 100)
            assert {item.data for item in found if not isinstance(item, StorageError)} == {
                str(number).encode() for number in range(300)
            }

    jobs: list[Callable[[int], None]] = [read, write, look] * 4
    with ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(job, number) for number, job in enumerate(jobs)]:
            done.result(100)


def test_a_server_that_dies_in_the_middle(connect: Connect, login: Login, own: Sshd) -> None:
    """Everybody who waits is told soon, what was read before is right, and a new session works."""
    assert own.target.root is not None
    file = own.target.root / "big"
    file.write_bytes(DATA)
    session = SftpSession(connect(there(login, own)))
    started = threading.Barrier(5)

    def read(_: int) -> StorageError | None:
        handle = session.open(str(file))
        started.wait(20)
        try:
            while True:
                for number, block in enumerate(session.blocks(handle, 0, len(DATA))):
                    start = number * session.read_size
                    assert block == DATA[start : start + len(block)]
        except StorageError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, number) for number in range(4)]
        started.wait(20)
        time.sleep(0.2)
        cut = time.monotonic()
        own.cut()
        errors = [reader.result(30) for reader in readers]
    assert time.monotonic() - cut < 10
    assert all(isinstance(error, Unavailable) and error.temporary for error in errors), errors
    assert not session.alive
    with pytest.raises(Unavailable):
        session.stat("/")
    session.close()
    again = SftpSession(connect(there(login, own)))
    assert again.stat(str(file)).size == len(DATA)
    again.close()


def test_a_write_that_is_cut_is_never_called_done(
    connect: Connect, login: Login, own: Sshd
) -> None:
    assert own.target.root is not None
    session = SftpSession(connect(there(login, own)))
    handle = session.open(str(own.target.root / "new"), wire.WRITE_NEW)
    upload = session.upload(handle)
    upload.write(0, DATA[:1_000_000])
    own.cut()
    with pytest.raises(Unavailable):  # noqa: PT012 - it may come at any of them
        for start in range(1_000_000, 20_000_000, 1_000_000):
            upload.write(start, DATA[start : start + 1_000_000])
        upload.finish()
    session.close()


def test_closing_wakes_who_waits(connect: Connect, login: Login, own: Sshd) -> None:
    session = SftpSession(connect(there(login, own)))
    pipe = own.directory / "pipe"
    pipe.touch()
    handle = session.open(str(pipe))
    own.cut(19)  # SIGSTOP: it answers nothing more
    try:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(session.fstat, handle)
            time.sleep(0.3)
            session.close()
            with pytest.raises(Unavailable):
                waiting.result(10)
    finally:
        own.cut(18)


@pytest.fixture(scope="module")
def long_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    for number in range(100_000):
        os.close(os.open(folder / f"file-{number:06}", os.O_CREAT, 0o600))
    return folder


@pytest.mark.slow
def test_a_folder_of_100000_in_constant_memory(session: SftpSession, long_folder: Path) -> None:
    tracemalloc.start()
    try:
        count = sum(1 for _, attributes in session.members(str(long_folder)) if attributes.is_file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 100_000
    assert peak < 12 << 20, "replies that were asked for ahead, and no more"


@pytest.fixture
def restless(tmp_path: Path) -> Iterator[Sshd]:
    """A server that wants new keys again and again, and asks who is silent for a sign of life."""
    options = {"RekeyLimit": "1M", "ClientAliveInterval": "1", "ClientAliveCountMax": "2"}
    with sshd.launch(tmp_path / "restless", options) as server:
        yield server


def test_new_keys_in_the_middle(connect: Connect, login: Login, restless: Sshd, root: Path) -> None:
    """Bytes go both ways at once, over several threads, while the keys change."""
    session = SftpSession(connect(there(login, restless)))
    data = DATA[:6_000_000]
    (root / "big").write_bytes(data)
    half = data[:3_000_000]

    def read() -> None:
        handle = session.open(str(root / "big"))
        assert b"".join(map(bytes, session.blocks(handle, 0, len(data)))) == data
        session.close_handle(handle)

    def write(number: int) -> None:
        handle = session.open(str(root / f"new{number}"), wire.WRITE_NEW)
        upload = session.upload(handle)
        for start in range(0, len(half), 300_000):
            upload.write(start, half[start : start + 300_000])
        upload.finish()
        session.close_handle(handle)
        assert (root / f"new{number}").read_bytes() == half

    try:
        write(0)  # nobody receives meanwhile
        read()
        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(read), pool.submit(read)]
            running += [pool.submit(write, number) for number in (1, 2)]
            for future in running:
                future.result(60)
    finally:
        session.close()


def test_signs_of_life_while_nobody_asks(connect: Connect, login: Login, restless: Sshd) -> None:
    """A server that hangs up on the silent ones keeps us."""
    session = SftpSession(connect(there(login, restless)))
    try:
        time.sleep(4)
        assert session.realpath(".")
    finally:
        session.close()
