"""Pool: worker processes on this machine, warm, one task each at a time."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from processors.base import Folder, Limits, Source
from processors.errors import BadValue, Busy
from processors.grammar.derivation import Step
from processors.work import wire
from processors.work.channel import Channel
from processors.work.queue import Queue
from processors.work.runner import Call, Fault, Outcome, Progress, Runner, WorkerLost
from processors.work.worker_process import Told, WorkerProcess, describe

# Variables that a worker gets; the others may hold secrets.
_PASSED = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV")
# Libraries must not start threads before the fork, nor as many as they like after it.
_QUIET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "4",
    # What a window took stays for the next one: new memory is cleared by the system first.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from processors.work.zygote import main; main()"
# A worker is replaced after so many tasks, or when it holds so much more than after its first.
TASKS_MAX = 10_000
GROWTH_BYTES = 256 << 20
_STOP_SECONDS = 5.0


class PoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How many workers there are and who gets them. `find` is `module:function`."""

    find: str
    preload: tuple[str, ...] = ()
    workers: int = 0
    """0: as many as there are processors."""
    queue: int = 64
    per_user: int = 4
    nice: int = 5
    memo: Path | None = None
    """The folder that has the memo; None for none."""
    memory_bytes: int = Limits().memory_bytes


class Pool(Runner):
    """Lends workers to calls. Nothing is started before the first call, or `warm`.

    `settings` and the queues are fixed. `_lock` guards `_idle` and `_closed`; `_fork` guards
    `_zygote` and `_control` and is held while a worker is made. Calls that compute, those that do
    so in the background and questions about headers have queues of their own: nobody who waits at
    a connection waits for what may take an hour, and nobody who lists for a computation.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self.settings = settings
        workers = settings.workers or len(os.sched_getaffinity(0))
        self._runs = self._queue(workers, spare=True)
        self._questions = self._queue(workers, spare=True)
        self._background = self._queue(max(1, workers // 2))
        self._lock = threading.Lock()
        self._fork = threading.Lock()
        self._idle: list[WorkerProcess] = []
        self._closed = False
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: Channel | None = None

    def call(
        self,
        call: Call,
        source: Source | Folder,
        sinks: Sequence[int] = (),
        *,
        is_wanted: Callable[[], bool],
        progress: Callable[[Progress], None],
    ) -> Outcome:
        """Do it in a worker, when it is this user's turn."""
        about, descriptors = describe(call.identity, source)
        try:
            steps = tuple(map(_wire_step, call.steps))
        except UnicodeEncodeError:
            raise BadValue("a value is not valid Unicode") from None
        task = wire.Task(
            kind=call.kind,
            steps=steps,
            source=about,
            limits=call.limits,
            seconds=call.seconds,
            name=call.name,
            is_planned=call.is_planned,
        )
        began = time.monotonic()
        queue = self._questions
        if call.kind == "run":
            queue = self._background if call.in_background else self._runs
        with queue.turn(call.who, is_wanted, progress):
            waited = time.monotonic() - began
            progress(Progress())
            worker = self._take()
            try:
                done = worker.do(
                    task,
                    source,
                    [*descriptors, *sinks],
                    is_wanted=is_wanted,
                    progress=progress,
                )
            except Told as told:
                if isinstance(told.error, Fault):
                    worker.kill()
                else:
                    self._give(worker)
                raise told.error from None
            except BaseException:
                worker.kill()
                raise
            self._give(worker)
        values: Sequence[object] | None = done.values
        if done.range is not None:
            values = range(*done.range)
        return Outcome(
            plan=done.plan,
            info=done.info,
            values=values,
            size=done.size,
            sha256=done.sha256,
            timings={"queue": waited, **done.timings},
        )

    def warm(self) -> None:
        """Start a first worker, so that the first call need not wait for imports."""
        self._give(self._make())

    def close(self) -> None:
        """End the workers; a call that runs raises WorkerLost, one that comes Busy."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.kill()
        with self._fork:
            self._end_zygote()

    def _queue(self, slots: int, *, spare: bool = False) -> Queue:
        settings = self.settings
        return Queue(slots=slots, length=settings.queue, per_user=settings.per_user, spare=spare)

    def _take(self) -> WorkerProcess:
        """Return an idle worker that is alive, or a new one."""
        while True:
            with self._lock:
                if self._closed:
                    raise Busy("the gateway stops")
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return self._make()
            if worker.is_alive():
                return worker
            worker.kill()

    def _give(self, worker: WorkerProcess) -> None:
        grown = worker.resident_bytes - worker.first_bytes
        is_used_up = worker.done >= TASKS_MAX or grown > GROWTH_BYTES
        with self._lock:
            if not is_used_up and not self._closed:
                self._idle.append(worker)
                return
        worker.kill()

    def _make(self) -> WorkerProcess:
        """Have a worker forked; start what it is forked from, if that is not there any more."""
        for attempt in (1, 2):
            ours, theirs = socket.socketpair()
            try:
                with self._fork:
                    control = self._control or self._start()
                    try:
                        control.send(wire.Fork(), [theirs.fileno()])
                    except OSError:
                        self._end_zygote()
                        raise WorkerLost from None
                theirs.close()
                return WorkerProcess(ours)
            except WorkerLost:
                theirs.close()
                ours.close()
                if attempt > 1:
                    raise
                with self._fork:
                    self._end_zygote()
        raise AssertionError

    def _start(self) -> Channel:
        """Start the zygote. `_fork` is held."""
        if self._closed:
            raise Busy("the gateway stops")
        ours, theirs = socket.socketpair()
        settings = self.settings
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ} | _QUIET
        with theirs:
            # Modules are looked for where the gateway itself found them, and nowhere else.
            self._zygote = subprocess.Popen(  # noqa: S603 - our own interpreter and text
                [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno()), *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
            )
        control = self._control = Channel(ours)
        setup = wire.Setup(
            find=settings.find,
            preload=settings.preload,
            memo="" if settings.memo is None else str(settings.memo),
            memory_bytes=settings.memory_bytes,
            nice=settings.nice,
        )
        try:
            control.send(setup)
        except OSError:
            self._end_zygote()
            raise WorkerLost from None
        return control

    def _end_zygote(self) -> None:
        """Let it go; its workers go with it. `_fork` is held."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._zygote is not None:
            zygote, self._zygote = self._zygote, None
            try:
                zygote.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                zygote.kill()
                zygote.wait()


def _wire_step(step: Step) -> wire.WireStep:
    return wire.WireStep(step.processor, step.version, msgspec.msgpack.encode(step.params))
