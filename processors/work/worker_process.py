"""WorkerProcess: one worker as the gateway sees it, and the conversation about one task."""

import contextlib
import os
import signal
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import cast

import msgspec

from processors import errors
from processors.base import Folder, Member, Source
from processors.errors import Cancelled, OverTime, ProcessingError, TooLarge
from processors.work import wire
from processors.work.channel import Channel, close_all
from processors.work.runner import Fault, Progress, WorkerLost
from processors.work.wire import Done, Failed, Members, Read, Task

# How often it is asked whether the answer is still wanted.
_LOOK_SECONDS = 0.1
# A worker ends by itself when its time is over; who does not within this time is killed.
_GRACE_SECONDS = 0.5
# A worker that does not take or give the bytes of a message meanwhile was stopped from outside.
_STUCK_SECONDS = 30.0
# How long a worker may take to report after its source failed.
_UNWIND_SECONDS = 2.0
_PAGE_MEMBERS = 1000
# Members of a folder that are kept open.
_OPEN_MEMBERS = 16

_LEAVES = {leaf.__name__: leaf for leaf in errors.leaves()}


class WorkerProcess:
    """Holds the channel to one worker and its pidfd. One thread at a time.

    `pid` and `_channel` are fixed; `done` counts tasks, `resident_bytes` is what the worker told
    last.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Take the worker's greeting; raise WorkerLost when there is none."""
        self._channel = Channel(sock, look_seconds=_LOOK_SECONDS, patience_seconds=_STUCK_SECONDS)
        self._pidfd = -1
        self.done = 0
        self.resident_bytes = 0
        self.first_bytes = 0
        try:
            hello, descriptors = self._channel.receive()
        except (OSError, EOFError, msgspec.DecodeError) as error:
            self._channel.close()
            raise WorkerLost from error
        if not isinstance(hello, wire.Hello) or len(descriptors) != 1:
            close_all(descriptors)
            self._channel.close()
            raise WorkerLost
        self.pid = hello.pid
        self._pidfd = descriptors[0]

    def is_alive(self) -> bool:
        """Tell whether the process is there and silent, as one without a task should be."""
        return self._channel.is_silent()

    def kill(self) -> None:
        """End the process at once, whatever it does; its number cannot be another's by now."""
        pidfd, self._pidfd = self._pidfd, -1
        if pidfd >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
        self._channel.close()

    def do(
        self,
        task: Task,
        source: Source | Folder,
        descriptors: Sequence[int],
        *,
        is_wanted: Callable[[], bool],
        progress: Callable[[Progress], None],
    ) -> Done:
        """Have a task done. After anything but Done or a ProcessingError of the worker: kill it."""
        talk = _Talk(self._channel, source, task)
        try:
            self._channel.send(task, descriptors)
            done = talk.listen(is_wanted, progress)
        except (OSError, EOFError, msgspec.DecodeError) as error:
            if talk.cause is not None:
                raise talk.cause from None
            raise WorkerLost from error
        finally:
            talk.close()
        self.done += 1
        self.resident_bytes = done.resident_bytes
        self.first_bytes = self.first_bytes or done.resident_bytes
        return done


class Told(Exception):
    """Carries what the worker itself told, so that it can go on with the next task."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Talk:
    """What is said about one task. `cause` is why its source could not be read."""

    def __init__(self, channel: Channel, source: Source | Folder, task: Task) -> None:
        self.cause: Exception | None = None
        self._channel = channel
        self._source = source
        self._task = task
        self._until = time.monotonic() + task.seconds + _GRACE_SECONDS
        self._open: OrderedDict[Member, tuple[Source, ExitStack]] = OrderedDict()

    def listen(self, is_wanted: Callable[[], bool], progress: Callable[[Progress], None]) -> Done:
        """Answer what the worker asks until it is done."""

        def look() -> None:
            self._look(is_wanted)

        while True:
            message, descriptors = self._channel.receive(look)
            close_all(descriptors)
            match message:
                case Done():
                    return message
                case Failed():
                    raise Told(self.cause or _error(message))
                case Read():
                    self._look(is_wanted)
                    self._give(message)
                case Members():
                    self._list()
                case wire.Progress():
                    progress(Progress(message.done, message.whole, phase=message.phase))
                    self._look(is_wanted)
                case _:
                    raise EOFError

    def close(self) -> None:
        """Close the members of a folder that were opened."""
        while self._open:
            self._open.popitem()[1][1].close()

    def _look(self, is_wanted: Callable[[], bool]) -> None:
        if not is_wanted():
            raise Cancelled
        if time.monotonic() > self._until:
            if self.cause is not None:
                raise self.cause
            raise OverTime("the computation was stopped", limit=f"{self._task.seconds:g} seconds")

    def _give(self, read: Read) -> None:
        """Send the bytes of spans, or say that they cannot be had."""
        if self.cause is None:
            try:
                _judge(read)
                source = self._source if read.member is None else self._member(read.member.member)
                for data in cast("Source", source).read_many(read.spans):
                    self._channel.send_piece(data)
            except (BrokenPipeError, ConnectionResetError, EOFError):
                raise
            except Exception as error:  # noqa: BLE001 - the source's own errors go to who asked
                self.cause = error
            else:
                return
        self._until = min(self._until, time.monotonic() + _UNWIND_SECONDS)
        self._channel.send_read_failed()

    def _list(self) -> None:
        folder = cast("Folder", self._source)
        limit = self._task.limits.members
        try:
            members = folder.members()
            count = 0
            while page := tuple(islice(members, _PAGE_MEMBERS)):
                count += len(page)
                if count > limit:
                    raise TooLarge(  # noqa: TRY301 - as if the source had raised it
                        "the folder has too many files",
                        asked=f"more than {limit} files",
                        limit=f"{limit} files",
                    )
                self._channel.send(wire.Page(tuple(map(wire.WireMember.of, page))))
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self.cause = error
            self._channel.send(Failed())
            return
        self._channel.send(wire.Page(()))

    def _member(self, member: Member) -> Source:
        if member not in self._open:
            while len(self._open) >= _OPEN_MEMBERS:
                self._open.popitem(last=False)[1][1].close()
            stack = ExitStack()
            source = stack.enter_context(cast("Folder", self._source).open(member))
            self._open[member] = source, stack
        self._open.move_to_end(member)
        return self._open[member][0]


def describe(identity: str, source: Source | Folder) -> tuple[wire.WireSource, list[int]]:
    """Return what a worker must know of a source, and its descriptor if it has one."""
    size = getattr(source, "size", None)
    name = source.name.encode("utf-8", "replace").decode()
    identity = wire.identity_of(identity) if identity else ""
    if size is None:
        return wire.WireSource(identity, name, source.version, is_folder=True), []
    descriptor = cast("Source", source).fileno()
    about = wire.WireSource(
        identity, name, source.version, size, has_descriptor=descriptor is not None
    )
    return about, [] if descriptor is None else [descriptor]


def _judge(read: Read) -> None:
    """Raise EOFError, as for a worker that is gone, when one asks for what no sound one does."""
    if any(size > wire.PIECE_BYTES or min(offset, size) < 0 for offset, size in read.spans):
        raise EOFError


def _error(failed: Failed) -> Exception:
    leaf: type[ProcessingError] | None = _LEAVES.get(failed.leaf)
    if leaf is None:
        return Fault(failed.traceback)
    return leaf(failed.detail, asked=failed.asked, limit=failed.limit, example=failed.example)
