"""Waiting: which threads must not wait, and how what would have to says so.

The server answers cheap requests in the thread that serves all connections. There nothing may
wait: whatever is about to, for a disk, a lock or a peer, calls `begin` first, and the request
starts anew in a thread that may. So `begin` is called before a change is made, never after; whoever
has made one calls `allow`.
"""

import threading


class WouldWait(BaseException):
    """What is to be done has to wait, in a thread that must not.

    No error, and so not to be caught by who handles errors: it unwinds to who can go elsewhere.
    """


class _Thread(threading.local):
    refused = False


_thread = _Thread()


def refuse() -> None:
    """Let the calling thread wait for nothing from here on."""
    _thread.refused = True


def is_refused() -> bool:
    """Tell whether the calling thread must not wait."""
    return _thread.refused


def begin() -> None:
    """Raise WouldWait in a thread that must not wait."""
    if _thread.refused:
        raise WouldWait


def allow() -> None:
    """Let the calling thread wait from here on: something was changed, and must be ended."""
    _thread.refused = False
