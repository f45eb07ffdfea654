"""The part of the network that counts as one caller when nobody has logged in."""

import functools
import ipaddress

_IPV6_PREFIX = 64
_TEXT_CHARACTERS = 64


@functools.lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return an IPv4 address as it is and an IPv6 address as its /64.

    A host chooses freely among the addresses of its /64, so one of them tells it from nobody.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:_TEXT_CHARACTERS]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), _IPV6_PREFIX), strict=False))
