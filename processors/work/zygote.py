"""Zygote: the process that imports everything once, and that workers are forked from.

A process with threads must not fork without an exec, so the gateway starts this one as a program of
its own. It has one thread and does nothing but import and fork. It ends when the gateway closes its
socket, however that came, and its workers end with it.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import cast

from cache.memo import Memo
from processors.work.channel import Channel, close_all
from processors.work.wire import Fork, Hello, Setup
from processors.work.worker import Find, Worker

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
# Of all processes on a machine without memory, a worker is the one to lose.
_OOM_SCORE = "500"
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Serve the socket whose descriptor is the first argument."""
    # A Ctrl-C in the terminal is the gateway's to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)
    control = Channel(sock)
    try:
        setup, _ = control.receive()
    except EOFError:
        return
    assert isinstance(setup, Setup)
    zygote = os.getpid()
    find = _resolve(setup.find)
    for name in setup.preload:
        # A processor whose library is missing is refused when it is asked for, with a hint.
        with contextlib.suppress(Exception):
            find(name)
    os.nice(setup.nice)
    gc.collect()
    gc.freeze()
    while True:
        try:
            asked, descriptors = control.receive()
        except EOFError:
            return
        assert isinstance(asked, Fork)
        # The lines of a child are written by itself: nothing may wait in a buffer twice.
        sys.stderr.flush()
        if os.fork() == 0:
            control.close()
            _work(socket.socket(fileno=descriptors[0]), setup, find, zygote)
        close_all(descriptors)


def _resolve(place: str) -> Find:
    module, _, name = place.partition(":")
    return cast("Find", getattr(importlib.import_module(module), name))


def _work(sock: socket.socket, setup: Setup, find: Find, zygote: int) -> None:
    """Be a worker, and never return."""
    status = 1
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if os.getppid() != zygote:
            return  # it was gone before the line above
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
        _bound(setup.memory_bytes)
        pidfd = os.pidfd_open(os.getpid())
        channel = Channel(sock)
        channel.send(Hello(os.getpid()), [pidfd])
        os.close(pidfd)
        Worker(channel, find, Memo(Path(setup.memo)) if setup.memo else None).serve()
        status = 0
    except (BrokenPipeError, ConnectionResetError, EOFError):
        status = 0
    finally:
        os._exit(status)


def _bound(memory_bytes: int) -> None:
    """Let the system refuse what a worker must not take, and write no core.

    Data counts what it allocates, beyond what it was forked with. The address space counts mapped
    sources too, and those may be larger than any memory.
    """
    data = _status_bytes("VmData") + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _status_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return 0
