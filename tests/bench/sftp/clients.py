"""The clients that are measured: each does the same six jobs on the same folder of a server.

A job returns how much it did. `limit_seconds` ends it early; what was done until then counts.
"""

import os
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path

from providers.errors import StorageError
from providers.sftp import SftpProvider
from providers.sftp_options import SftpOptions
from providers.ssh import wire
from providers.ssh.login import Login
from providers.ssh.session import SftpSession
from providers.ssh.stream import Stream
from tests.servers.programs import find

MIB = 1 << 20
PIECE = 64 << 10
_BLOCK = os.urandom(MIB)


class Client(ABC):
    """Does the jobs; None for a job that it cannot do."""

    limit_seconds = 4.0

    def in_time(self) -> Callable[[object], bool]:
        end = time.monotonic() + self.limit_seconds
        return lambda _: time.monotonic() < end

    @abstractmethod
    def read(self, file: Path) -> int | None:
        """Read a file once and return its bytes."""

    @abstractmethod
    def pieces(self, file: Path, offsets: list[int], at_once: int) -> int | None:
        """Read 64 KiB at each offset and return how many were read."""

    @abstractmethod
    def write(self, file: Path, size: int) -> int | None:
        """Write a file and return its bytes."""

    @abstractmethod
    def entries(self, folder: Path) -> int | None:
        """List a folder with attributes and return how many there are."""

    @abstractmethod
    def small(self, folder: Path) -> int | None:
        """Read all files of a folder and return how many there are."""

    def close(self) -> None:
        """Leave."""


class Mounted:
    """A folder of the server as the kernel shows it. All is fixed."""

    def __init__(self, root: Path, argv: list[str]) -> None:
        self._root = root
        self._folder = Path(tempfile.mkdtemp(prefix="mounted-"))
        subprocess.run([*argv, str(self._folder)], check=True, timeout=60)

    def here(self, path: Path) -> Path:
        """Return where a file of the server stands here."""
        return self._folder / path.relative_to(self._root)

    def fresh(self, path: Path) -> Path:
        """Return the same, and drop what the kernel remembers of it, as a first read finds it."""
        here = self.here(path)
        with here.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return here

    def pieces(
        self, file: Path, offsets: list[int], at_once: int, in_time: Callable[[object], bool]
    ) -> int:
        """Read 64 KiB at each offset, as long as there is time."""
        with self.fresh(file).open("rb", buffering=0) as opened:

            def one(offset: int) -> bool:
                if not in_time(0):
                    return False
                return len(os.pread(opened.fileno(), PIECE, offset)) == PIECE

            if at_once == 1:
                return sum(map(one, offsets))
            with ThreadPoolExecutor(at_once) as pool:
                return sum(pool.map(one, offsets))

    def close(self) -> None:
        """Unmount it."""
        subprocess.run([find("fusermount3"), "-u", "-z", str(self._folder)], check=True, timeout=30)
        self._folder.rmdir()


class Mount(Client):
    """sshfs: jobs go through the kernel."""

    def __init__(self, login: Login, root: Path, options: tuple[str, ...] = ()) -> None:
        keys = {
            "IdentityFile": login.key_file,
            "UserKnownHostsFile": login.known_hosts,
            "Ciphers": "aes128-gcm@openssh.com",
        }
        words = [f"-o{name}={value}" for name, value in keys.items()]
        words += [f"-o{option}" for option in options]
        source = f"{login.user}@{login.host}:{root}"
        argv = [find("sshfs"), "-F", "/dev/null", "-p", str(login.port), *words, source]
        self._mounted = Mounted(root, argv)

    def read(self, file: Path) -> int:
        count, buffer = 0, bytearray(MIB)
        here, in_time = self._mounted.fresh(file), self.in_time()
        with here.open("rb", buffering=0) as opened:
            while in_time(0) and (size := opened.readinto(buffer)):
                count += size
        return count

    def pieces(self, file: Path, offsets: list[int], at_once: int) -> int:
        return self._mounted.pieces(file, offsets, at_once, self.in_time())

    def write(self, file: Path, size: int) -> int:
        count, in_time = 0, self.in_time()
        with self._mounted.here(file).open("wb", buffering=0) as opened:
            while count < size and in_time(0):
                count += opened.write(_BLOCK)
            os.fsync(opened.fileno())
        return count

    def entries(self, folder: Path) -> int:
        with os.scandir(self._mounted.here(folder)) as found:
            return sum(entry.stat().st_nlink > 0 for entry in found)

    def small(self, folder: Path) -> int:
        in_time = self.in_time()

        def one(file: Path) -> bool:
            return in_time(0) and len(file.read_bytes()) > 0

        files = [self._mounted.here(file) for file in sorted(folder.iterdir())]
        with ThreadPoolExecutor(16) as pool:
            return sum(pool.map(one, files))

    def close(self) -> None:
        self._mounted.close()


class Rclone(Client):
    """rclone's commands, where connecting is part of each job; its mount for random reads."""

    def __init__(self, login: Login, root: Path) -> None:
        self._remote = (
            f":sftp,host={login.host},port={login.port},user={login.user},"
            f'key_file="{login.key_file}",shell_type=unix,md5sum_command=none,'
            "sha1sum_command=none,ciphers=aes128-gcm@openssh.com:"
        )
        words = ["--config", "/dev/null", "--daemon", "--vfs-cache-mode", "off"]
        source = f"{self._remote}{root}"
        self._mounted = Mounted(root, [find("rclone"), "mount", *words, source])

    def _run(self, *words: str, output: int = subprocess.DEVNULL) -> bytes:
        argv = [find("rclone"), "--config", "/dev/null", *words]
        done = subprocess.run(
            argv, check=True, timeout=300, stdout=output, stderr=subprocess.DEVNULL
        )
        return done.stdout or b""

    def read(self, file: Path) -> int:
        self._run("cat", f"{self._remote}{file}")
        return file.stat().st_size

    def pieces(self, file: Path, offsets: list[int], at_once: int) -> int:
        return self._mounted.pieces(file, offsets, at_once, self.in_time())

    def write(self, file: Path, size: int) -> int:
        source = file.parents[1] / "big"
        self._run("copyto", "--ignore-times", str(source), f"{self._remote}{file}")
        return source.stat().st_size

    def entries(self, folder: Path) -> int:
        return self._run("lsl", f"{self._remote}{folder}", output=subprocess.PIPE).count(b"\n")

    def small(self, folder: Path) -> int:
        target = tempfile.mkdtemp(prefix="rclone-", dir=folder.parent)
        self._run("copy", f"{self._remote}{folder}", target)
        count = len(list(Path(target).iterdir()))
        shutil.rmtree(target)
        return count

    def close(self) -> None:
        self._mounted.close()


class Ours(Client):
    """providers.ssh over one or more connections; big jobs are shared among them."""

    def __init__(self, connect: Callable[[], Stream], count: int = 1) -> None:
        with ThreadPoolExecutor(count) as pool:
            self._sessions = list(pool.map(lambda _: SftpSession(connect()), range(count)))
        self._pool = ThreadPoolExecutor(count)

    def _shared(self, job: Callable[[SftpSession, int], int]) -> int:
        return sum(self._pool.map(job, self._sessions, range(len(self._sessions))))

    def read(self, file: Path) -> int:
        in_time = self.in_time()
        count = len(self._sessions)
        size = file.stat().st_size
        # A few connections take turns by large stretches, as a reader of one file would ask.
        stretch = size if count == 1 else 8 * MIB

        def one(session: SftpSession, first: int) -> int:
            handle = session.open(str(file))
            done = 0
            for start in range(first * stretch, size, count * stretch):
                length = min(stretch, size - start)
                done += sum(map(len, takewhile(in_time, session.blocks(handle, start, length))))
            session.close_handle(handle)
            return done

        return self._shared(one)

    def pieces(self, file: Path, offsets: list[int], at_once: int) -> int:
        in_time = self.in_time()
        session = self._sessions[0]
        handle = session.open(str(file))

        def some(mine: list[int]) -> int:
            view = memoryview(bytearray(PIECE))
            read = (session.read_into(handle, offset, view) for offset in takewhile(in_time, mine))
            return sum(size == PIECE for size in read)

        if at_once == 1:
            done = some(offsets)
        else:
            spans = ((offset, PIECE) for offset in takewhile(in_time, offsets))
            found = session.ranges(handle, spans, ahead=at_once)
            done = sum(len(data) == PIECE for data in found)
        session.close_handle(handle)
        return done

    def write(self, file: Path, size: int) -> int:
        in_time, count = self.in_time(), len(self._sessions)
        self._sessions[0].close_handle(self._sessions[0].open(str(file), wire.WRITE_NEW))

        def one(session: SftpSession, first: int) -> int:
            handle = session.open(str(file), wire.FOR_WRITING)
            upload = session.upload(handle)
            done = 0
            for offset in takewhile(in_time, range(first * MIB, size, count * MIB)):
                upload.write(offset, _BLOCK)
                done += MIB
            upload.finish()
            session.fsync(handle)
            session.close_handle(handle)
            return done

        return self._shared(one)

    def entries(self, folder: Path) -> int:
        return sum(1 for _ in self._sessions[0].members(str(folder)))

    def small(self, folder: Path) -> int:
        paths = [str(file) for file in sorted(folder.iterdir())]
        count = len(self._sessions)

        def one(session: SftpSession, first: int) -> int:
            return sum(
                1 for found in session.get_many(paths[first::count], 32 << 10) if whole(found)
            )

        return self._shared(one)

    def close(self) -> None:
        for session in self._sessions:
            session.close()
        self._pool.shutdown()


class Store(Client):
    """SftpProvider, as the gateway uses it: blocks in order, one call after the other."""

    def __init__(self, options: SftpOptions, root: Path) -> None:
        self._provider = SftpProvider(options)
        self._root = root
        self._provider.health()

    def _path(self, path: Path) -> str:
        return str(path.relative_to(self._root))

    def read(self, file: Path) -> int:
        in_time, count = self.in_time(), 0
        with self._provider.open(self._path(file)) as reader:
            while in_time(0) and (block := reader.read_at(count, MIB)):
                count += len(block)
        return count

    def pieces(self, file: Path, offsets: list[int], at_once: int) -> int:
        in_time = self.in_time()
        with self._provider.open(self._path(file)) as reader:

            def one(offset: int) -> bool:
                return in_time(0) and len(reader.read_at(offset, PIECE)) == PIECE

            if at_once == 1:
                return sum(map(one, offsets))
            spans = ((offset, PIECE) for offset in takewhile(in_time, offsets))
            return sum(len(data) == PIECE for data in reader.read_many(spans))

    def write(self, file: Path, size: int) -> int:
        count, in_time = 0, self.in_time()
        with self._provider.create(self._path(file)) as writer:
            while count < size and in_time(0):
                writer.write(_BLOCK)
                count += MIB
            writer.commit()
        return count

    def entries(self, folder: Path) -> int:
        return sum(1 for _ in self._provider.scandir(self._path(folder)))

    def small(self, folder: Path) -> int:
        paths = [self._path(file) for file in sorted(folder.iterdir())]
        found = self._provider.get_many(paths, PIECE)
        return sum(1 for _, content in found if whole(content))

    def close(self) -> None:
        self._provider.close()


def whole(found: object) -> bool:
    """Tell whether a file came whole; raise what hindered it."""
    if isinstance(found, StorageError):
        raise found
    return True
