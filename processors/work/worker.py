"""Worker: one process that does one task after the other, and may be killed at any moment.

It has the gateway's code and none of its state: sources, sink and files between steps come over
the socket. What a processor raises that is no ProcessingError is told as a fault.
"""

import errno
import itertools
import os
import resource
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from cache.memo import Memo
from processors import errors
from processors.base import Limits, Params, Plan, Processor, Source
from processors.errors import OverTime, ProcessingError, TooLarge
from processors.work import wire
from processors.work.channel import Channel, close_all
from processors.work.wire import Done, Failed, Progress, Task
from processors.work.worker_sink import FileSink
from processors.work.worker_source import (
    AskedFolder,
    AskedSource,
    DescriptorSource,
    Link,
    SourceFailed,
)

Find = Callable[[str], Processor]

_PAGE_BYTES = resource.getpagesize()
# Address space for libraries, stacks of threads and what the allocator reserves.
_SPACE_BYTES = 8 << 30
# Progress is told at most so often.
_PROGRESS_SECONDS = 0.1
# More values of a parameter than a folder could list.
VALUES_MAX = 10_000


class WorkerContext:
    """What surrounds one task.

    `_lock` guards `timings` and `_told_at`; `_phase` is only told, and needs none; the rest is
    fixed.
    """

    def __init__(self, limits: Limits, memo: "WorkerMemo", until: float, link: Link) -> None:
        self.limits = limits
        self.memo = memo
        self.timings: dict[str, float] = {}
        self._until = until
        self._link = link
        self._lock = threading.Lock()
        # What is done before it would be told needs no message.
        self._told_at = time.monotonic()
        self._phase = ""

    def check(self) -> None:
        """Raise OverTime when it is; a task that nobody wants any more is killed instead."""
        if time.monotonic() > self._until:
            raise OverTime("the computation was stopped", limit=f"{self.limits.seconds:g} seconds")

    def progress(self, done: int, whole: int) -> None:
        """Tell how far the work is."""
        self.check()
        self._tell(Progress(done, whole, self._phase))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time that passes inside to what is known as `name`."""
        began = time.perf_counter()
        before, self._phase = self._phase, name
        try:
            yield
        finally:
            self._phase = before
            took = time.perf_counter() - began
            with self._lock:
                self.timings[name] = self.timings.get(name, 0.0) + took

    def _tell(self, message: Progress) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._told_at < _PROGRESS_SECONDS:
                return
            self._told_at = now
        with self._link.lock:
            self._link.channel.send(message)


class WorkerMemo:
    """The memo of one task: the gateway's, for the sources of this task. All is fixed."""

    def __init__(self, memo: Memo | None) -> None:
        self._memo = memo

    def get(self, kind: str, source: Source) -> memoryview | None:
        """Return what was put, mapped from disk, or None."""
        identity = getattr(source, "identity", "")
        if self._memo is None or not identity:
            return None
        return self._memo.get(kind, identity, source.version)

    def put(self, kind: str, source: Source, value: bytes | memoryview) -> None:
        """Remember `value` for this version of this source."""
        identity = getattr(source, "identity", "")
        if self._memo is not None and identity:
            self._memo.put(kind, identity, source.version, value)


class Worker:
    """Does the tasks that come over one channel. For one thread."""

    def __init__(self, channel: Channel, find: Find, memo: Memo | None) -> None:
        self._link = Link(channel)
        self._find = find
        self._memo = WorkerMemo(memo)
        self._bounds = _Bounds()
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def serve(self) -> None:
        """Do tasks until the gateway closes the socket."""
        while True:
            try:
                task, descriptors = self._link.channel.receive()
            except EOFError:
                return
            assert isinstance(task, Task)
            try:
                answer = self._answer(task, descriptors)
            finally:
                close_all(descriptors)
            self._link.channel.send(answer)

    def _answer(self, task: Task, descriptors: list[int]) -> Done | Failed:
        until = time.monotonic() + task.seconds
        context = WorkerContext(task.limits, self._memo, until, self._link)
        try:
            self._bounds.set_for(task)
            done = self._do(task, descriptors, context)
        except ProcessingError as error:
            leaf = type(error).__name__
            return Failed(leaf, error.detail, error.asked, error.limit, error.example)
        except SourceFailed:
            return Failed("SourceChanged")
        except MemoryError:
            return Failed(
                "TooLarge",
                "the computation needs more memory than one may take",
                limit=f"{task.limits.memory_bytes} bytes",
            )
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return Failed("NoResultSpace", "the disk of the cache is full")
            if error.errno == errno.EFBIG:
                limit = f"{task.limits.output_bytes} bytes"
                return Failed("TooLarge", "the result is larger than allowed", limit=limit)
            return Failed(traceback=traceback.format_exc())
        except Exception:  # noqa: BLE001 - a processor may raise anything
            return Failed(traceback=traceback.format_exc())
        return msgspec.structs.replace(
            done, timings=context.timings, resident_bytes=self._resident_bytes()
        )

    def _do(self, task: Task, descriptors: list[int], context: WorkerContext) -> Done:
        source = self._source(task, descriptors)
        step = task.steps[0]
        processor = self._processor(step)
        match task.kind:
            case "info":
                return Done(info=_plain(processor.info(source, context)))
            case "values":
                return _values(processor.values(task.name, source, context))
            case "plan":
                plan = processor.plan(source, _params(processor, step), context)
                check_plan(plan, context.limits)
                return Done(plan=plan)
            case _:
                return self._run(task, source, descriptors, context)

    def _run(
        self,
        task: Task,
        source: Any,  # noqa: ANN401 - Source or Folder
        descriptors: list[int],
        context: WorkerContext,
    ) -> Done:
        sinks = descriptors[int(task.source.has_descriptor) :]
        plan: Plan | None = None
        size, digest = 0, ""
        for place, (step, target) in enumerate(zip(task.steps, sinks, strict=True)):
            processor = self._processor(step)
            params = _params(processor, step)
            plan = None
            if place or not task.is_planned:
                with context.phase("plan"):
                    plan = processor.plan(source, params, context)
                check_plan(plan, context.limits)
            context.check()
            sink = FileSink(target, context.limits.output_bytes)
            processor.run(source, params, sink, context)
            with context.phase("hash"):
                size, digest = sink.finish()
            if size > context.limits.output_bytes:
                raise TooLarge(
                    "the result is larger than allowed",
                    asked=f"{size} bytes",
                    limit=f"{context.limits.output_bytes} bytes",
                )
            if plan is not None and plan.output.size not in (None, size):
                raise RuntimeError(
                    f"{step.processor} wrote {size} bytes and had planned {plan.output.size}"
                )
            about = wire.WireSource(
                identity="", name=task.source.name, version=digest, size=size, has_descriptor=True
            )
            source = DescriptorSource(about, target)
        return Done(plan=plan, size=size, sha256=digest)

    def _source(self, task: Task, descriptors: list[int]) -> Any:  # noqa: ANN401 - Source or Folder
        if task.source.is_folder:
            return AskedFolder(task.source, self._link)
        if task.source.has_descriptor:
            return DescriptorSource(task.source, descriptors[0])
        return AskedSource(task.source, self._link)

    def _resident_bytes(self) -> int:
        return int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE_BYTES

    def _processor(self, step: wire.WireStep) -> Processor:
        processor = self._find(step.processor)
        if processor.version != step.version:
            raise RuntimeError(
                f"{step.processor} has version {processor.version} here and was asked for"
                f" in version {step.version}: restart the gateway"
            )
        return processor


def check_plan(plan: Plan, limits: Limits) -> None:
    """Raise TooLarge when a plan takes more than allowed."""
    for what, asked, limit, unit in (
        ("the output", plan.pixels, limits.pixels, "pixels"),
        ("the result", plan.output.size or 0, limits.output_bytes, "bytes"),
        ("what is decoded for it", plan.decoded_bytes, limits.touched_bytes, "bytes"),
        ("the memory for it", plan.memory_bytes, limits.memory_bytes, "bytes"),
    ):
        if asked > limit:
            raise TooLarge(
                f"{what} is larger than allowed", asked=f"{asked} {unit}", limit=f"{limit} {unit}"
            )


def _params(processor: Processor, step: wire.WireStep) -> Params:
    return msgspec.msgpack.decode(step.params, type=processor.params)


def _plain(info: Any) -> dict[str, object]:  # noqa: ANN401 - whatever a processor tells
    plain = msgspec.to_builtins(dict(info), enc_hook=str, str_keys=True)
    assert isinstance(plain, dict)
    return plain


def _values(found: Any) -> Done:  # noqa: ANN401 - whatever a processor tells
    if found is None:
        return Done()
    if isinstance(found, range):
        return Done(range=(found.start, found.stop, found.step))
    some = itertools.islice(found, VALUES_MAX)
    return Done(values=[value if type(value) is int else str(value) for value in some])


class _Bounds:
    """Has the system bound what a task may take. The memory was bounded at the start.

    Most tasks are bounded as the one before; then the system is not asked again.
    """

    def __init__(self) -> None:
        self._set: dict[int, int] = {}

    def set_for(self, task: Task) -> None:
        """Bound the task that begins now."""
        limits = task.limits
        self._bound(resource.RLIMIT_FSIZE, limits.output_bytes + (64 << 20))
        used = resource.getrusage(resource.RUSAGE_SELF)
        # Wall time is enforced by the gateway; this ends a worker that lost it. Threads count
        # together.
        cores = os.cpu_count() or 1
        seconds = used.ru_utime + used.ru_stime + task.seconds * cores + 2
        self._bound(resource.RLIMIT_CPU, int(seconds) + 1)
        # Sources and results may be mapped, whatever their size; what is allocated, RLIMIT_DATA
        # bounds.
        space = 2 * task.source.size + limits.output_bytes + limits.memory_bytes + _SPACE_BYTES
        self._bound(resource.RLIMIT_AS, space)

    def _bound(self, what: int, limit: int) -> None:
        if self._set.get(what) != limit:
            _, hard = resource.getrlimit(what)
            resource.setrlimit(what, (limit, hard))
            self._set[what] = limit


assert {"TooLarge", "NoResultSpace", "SourceChanged"} <= {leaf.__name__ for leaf in errors.leaves()}
