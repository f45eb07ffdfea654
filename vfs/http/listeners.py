"""Listeners: the sockets that several processes take connections from, on one port."""

import contextlib
import errno
import ipaddress
import re
import socket

BACKLOG = 1024
"""Connections that wait at one socket until they are taken."""

_UNPACED = b"reno"  # every kernel has it, and every user may choose it


def listeners(host: str, port: int, count: int) -> list[socket.socket]:
    """Return `count` sockets at one address; once they listen, the kernel spreads clients evenly.

    Raises OSError when the address is not to be had, also when another gateway listens there: the
    first socket is bound alone, and only then shares its port.
    """
    first = _first(host, port)
    made = [first]
    try:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for _ in range(count - 1):
            made.append(_socket(first.family))
            # Those of a gateway of one process, which fade away too, are of another kind.
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made[-1].bind(first.getsockname())
    except BaseException:
        for listener in made:
            listener.close()
        raise
    return made


def unpace(sock: socket.socket) -> None:
    """Let a connection with this machine itself go as fast as it can; others stay as they are.

    Pacing (BBR, where the system is set to it) spares a network, and here is none. What a listening
    socket is told holds for all that it accepts.
    """
    with contextlib.suppress(OSError, ValueError):  # a system without the option, or another family
        if ipaddress.ip_address(sock.getsockname()[0]).is_loopback:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _UNPACED)


def bind_errno(error: BaseException | None) -> int | None:
    """Return why a port was not to be had. Cheroot gives the number in the text alone."""
    number = getattr(error, "errno", None)
    found = re.search(r"\[Errno (\d+)\]", str(error))
    return number if number or not found else int(found[1])


def why_not_bound(error: OSError) -> str:
    """Return cause and way out of an address that is not to be had."""
    match bind_errno(error):
        case errno.EADDRINUSE:
            return "the port is in use; stop the other server or listen on another port"
        case errno.EACCES | errno.EPERM:
            return "this user may not listen on that port; choose one above 1023"
        case errno.EADDRNOTAVAIL:
            return "this machine does not have that address; listen on one that it has"
    if isinstance(error, socket.gaierror) or "[Errno -" in str(error):
        return "the host name cannot be resolved; write an IP address or correct the name"
    return f"cannot listen here: {error.strerror or error}"


def _first(host: str, port: int) -> socket.socket:
    """Return a socket at the first address of the host that can be bound."""
    cause = OSError(errno.EADDRNOTAVAIL, "the host has no address")
    for family, _, _, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        listener = _socket(family)
        if port:
            # The connections of the gateway before, which still fade away, are in nobody's way.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            listener.close()
            cause = error
        else:
            return listener
    raise cause


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        # As with one process: [::] takes IPv4 too.
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return made
