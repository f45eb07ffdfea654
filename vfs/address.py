"""Addresses as the configuration spells them: text that was checked when it was made."""

import ipaddress
import re
from typing import Self
from urllib.parse import urlsplit

_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*\.?")
_PORT = re.compile(r"[0-9]{1,5}")
_PORT_MAX = 65535
_EXAMPLE = "write it like 127.0.0.1:8080, [::1]:8080 or gateway.example.org:8080"


class Address(str):
    """A host and port to listen on. Port 0 lets the system choose one."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Return the address; raise ValueError with the cause and an example."""
        host, colon, port = text.rpartition(":")
        if not colon or not _PORT.fullmatch(port) or int(port) > _PORT_MAX:
            raise ValueError(f"needs a host and a port from 0 to 65535; {_EXAMPLE}")
        if host.startswith("[") and host.endswith("]"):
            if not _is_ip(host[1:-1], 6):
                raise ValueError(f"holds no IPv6 address in its brackets; {_EXAMPLE}")
        elif ":" in host:
            raise ValueError(f"needs brackets around the IPv6 address; {_EXAMPLE}")
        elif not host:
            raise ValueError("needs a host; 0.0.0.0 and [::] stand for every address")
        elif not _HOST.fullmatch(host) or (re.fullmatch(r"[0-9.]+", host) and not _is_ip(host, 4)):
            raise ValueError(f"holds no host name or IP address; {_EXAMPLE}")
        return super().__new__(cls, text)

    @property
    def host(self) -> str:
        """The host without brackets."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port."""
        return int(self.rpartition(":")[2])

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach it. Names but localhost count as reachable."""
        if self.host.rstrip(".").lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Network(str):
    """A range of IP addresses in CIDR form."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Return the network; raise ValueError with the cause."""
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(f"must be a network like 10.0.0.5/32 or fd00::/8: {error}") from error
        return super().__new__(cls, text)


class Url(str):
    """An http or https URL without a slash at its end."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Return the URL; raise ValueError with the cause."""
        wrong = "must be a URL like https://gateway.example.org, without login, '?' or '#'"
        try:
            parts = urlsplit(text)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError as error:
            raise ValueError(wrong) from error
        if not usable or set(text) & set("?#@ \\") or not text.isascii() or not text.isprintable():
            raise ValueError(wrong)
        return super().__new__(cls, text.rstrip("/"))


def _is_ip(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False
