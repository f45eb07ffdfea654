"""Tiny processors that do what a test wants a worker to do, and sources that count what they do."""

import os
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from processors.base import Context, Limits, Output, Params, Plan, Processor, Sink
from processors.errors import OutOfRange, SourceChanged
from processors.grammar.derivation import Derivation, Step

MIB = 1 << 20


class TinyParams(Params, frozen=True):
    """What all take. `log` is a file that gets a line for each run."""

    log: str = ""
    size: int = 0
    seconds: float = 0.0
    gate: str = ""


def _place(name: str) -> Path:
    """Return a path; a template's parameters can hold no more than a name."""
    return Path(tempfile.gettempdir(), name)


class _Tiny(Processor):
    params = TinyParams
    formats = ("bin",)

    def plan(self, source: Any, params: Any, context: Context) -> Plan:
        return Plan(outputs=(Output(media_type="application/octet-stream"),))

    def begin(self, params: TinyParams) -> None:
        if params.log:
            with _place(params.log).open("ab", buffering=0) as file:
                file.write(f"{os.getpid()}\n".encode())


class Copy(_Tiny):
    """Gives the source as it is, its size known before."""

    name = "copy"

    def plan(self, source: Any, params: Any, context: Context) -> Plan:
        return Plan(outputs=(Output(media_type="text/x-copy", size=source.size),))

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        self.begin(params)
        time.sleep(params.seconds)
        with context.phase("read"):
            data = list(
                source.read_many(
                    (at, min(65536, source.size - at)) for at in range(0, source.size, 65536)
                )
            )
        for done, piece in enumerate(data):
            context.progress(done, len(data))
            sink.write(piece)

    def info(self, source: Any, context: Context) -> Mapping[str, object]:
        return {"size": source.size, "pid": os.getpid()}

    def values(self, name: str, source: Any, context: Context) -> Iterable[object] | None:
        return {"layer": range(source.size), "word": ["a", "b"]}.get(name)


class Reverse(_Tiny):
    """Gives the bytes of the source backwards, through the descriptor."""

    name = "reverse"

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        self.begin(params)
        os.write(sink.fileno(), source.read_at(0, source.size)[::-1])


class Gated(_Tiny):
    """Begins, then waits for a file to appear: a test says when it goes on."""

    name = "gated"

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        sink.write(source.read_at(0, source.size // 2))
        self.begin(params)
        while not _place(params.gate).exists():
            context.progress(1, 2)
            time.sleep(0.01)
        sink.write(source.read_at(source.size // 2, source.size))


class KillOnce(_Tiny):
    """Kills its worker in the middle of the first run."""

    name = "kill-once"

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        self.begin(params)
        sink.write(b"half of it")
        if len(_place(params.log).read_text().splitlines()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        sink.write(b", all of it")


class KillAlways(_Tiny):
    """Kills each worker."""

    name = "kill"

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        self.begin(params)
        os.kill(os.getpid(), signal.SIGSEGV)


class Bomb(_Tiny):
    """Takes all memory that it gets."""

    name = "bomb"

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        held = []
        while True:
            held.append(bytearray(16 * MIB))


class Loop(_Tiny):
    """Never ends; and does not ask whether it should unless it is `polite`."""

    name = "loop"

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        self.begin(params)
        while True:
            if params.gate == "polite":
                context.check()


class Fill(_Tiny):
    """Writes `size` bytes, whatever was planned."""

    name = "fill"

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        self.begin(params)
        block = bytes(MIB)
        for at in range(0, params.size, MIB):
            sink.write(block[: params.size - at])


class Liar(Fill):
    """Plans one byte less than it writes."""

    name = "liar"

    def plan(self, source: Any, params: Any, context: Context) -> Plan:
        return Plan(outputs=(Output(media_type="x/y", size=params.size - 1),))


class Fault(_Tiny):
    """Has a mistake in it."""

    name = "fault"

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        self.begin(params)
        raise ZeroDivisionError


class Refuse(_Tiny):
    """Refuses while it plans."""

    name = "refuse"

    def plan(self, source: Any, params: Any, context: Context) -> Plan:
        raise OutOfRange("no such layer", asked="99", limit="0-9", example="refuse/9")

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        raise AssertionError


class Names(_Tiny):
    """Lists the members of a folder with their digests."""

    name = "names"
    takes_folder = True

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        for member in source.members():
            with source.open(member) as one:
                digest = sha256(one.read_at(0, member.size)).hexdigest()
            sink.write(f"{member.path} {digest}\n".encode("utf-8", "replace"))


class Noted(_Tiny):
    """Remembers the source's digest; says whether it knew."""

    name = "noted"

    def run(self, source: Any, params: Any, sink: Sink, context: Context) -> None:
        known = context.memo.get("noted/1", source)
        if known is None:
            digest = sha256(source.read_at(0, source.size)).digest()
            context.memo.put("noted/1", source, digest)
        sink.write(b"new" if known is None else bytes(known))


_ALL = {
    cls.name: cls()
    for cls in (
        Copy,
        Reverse,
        Gated,
        KillOnce,
        KillAlways,
        Bomb,
        Loop,
        Fill,
        Liar,
        Fault,
        Refuse,
        Names,
        Noted,
    )
}


def find(name: str) -> Processor:
    """Return a tiny processor."""
    return _ALL[name]


class Bytes:
    """A source of bytes without a descriptor. `version` may be changed by a test."""

    def __init__(self, data: bytes, version: str = "v1") -> None:
        self.name = "bytes"
        self.data = data
        self.size = len(data)
        self.version = version
        self.pinned = version
        self.asked: list[list[tuple[int, int]]] = []

    def read_at(self, offset: int, size: int) -> bytes:
        if self.version != self.pinned:
            raise SourceChanged
        return self.data[offset : offset + size]

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        spans = list(spans)
        self.asked.append(spans)
        for offset, size in spans:
            yield self.read_at(offset, size)

    def fileno(self) -> int | None:
        return None

    @contextmanager
    def open(self) -> Iterator["Bytes"]:
        """Open it, as an OpenSource does."""
        yield self


def derive(
    name: str, *more: str, canonical: str = "", version: str = "v1", **params: Any
) -> Derivation:
    """Return a derivation by tiny processors; different parameters make different paths."""
    steps = tuple(Step(each, 1, TinyParams(format="bin", **params)) for each in (name, *more))
    return Derivation(
        template=name,
        template_digest="t",
        canonical=canonical or f"{name}/{params.get('size', 0)}",
        source="/data/bytes",
        source_version=version,
        steps=steps,
    )


LIMITS = Limits(seconds=20, memory_bytes=256 * MIB)
