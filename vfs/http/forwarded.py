"""Who asks, and under which address, when trusted proxies stand in between."""

import itertools
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

Network = IPv4Network | IPv6Network

# Chains of proxies are short; what stands further left comes from the client.
_MAX_HOPS = 16
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?")
_NODE = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?|([0-9.]{7,15})(?::[0-9]{1,5})?")
_PAIR = re.compile(r'[ \t]*+(?:([A-Za-z]+)=(?:([^\s",;=]+)|"([^"\\]*)")[ \t]*+)?([;,]|\Z)')


class Client(NamedTuple):
    """How the client sees the gateway, and the address it comes from."""

    scheme: str
    host: str
    address: str


class _Hop(NamedTuple):
    address: str | None
    scheme: str | None
    host: str | None


def resolve(
    direct: Client,
    headers: Mapping[str, str],
    trusted: Sequence[Network],
    *,
    standard: bool = False,
) -> Client:
    """Return what the trusted proxies say of the client; `direct` is what the connection says.

    Headers count only if the connection comes from a trusted address, and only as far left as
    trusted proxies wrote them. What is malformed is ignored. `headers` has lower-case names.

    A proxy rewrites one family of headers and lets the other pass, so only one is ever read:
    X-Forwarded-For, -Proto and -Host, or with `standard` the Forwarded of RFC 7239.
    """
    if not trusted or not _is_trusted(direct.address, trusted):
        return direct
    hops = _standard_hops(headers) if standard else _common_hops(headers)
    scheme, host, address = direct
    for hop in hops:
        scheme = hop.scheme or scheme
        host = hop.host or host
        if hop.address is None:
            break
        address = hop.address
        if not _is_trusted(address, trusted):
            break
    return Client(scheme, host, address)


def _common_hops(headers: Mapping[str, str]) -> list[_Hop]:
    """Return the hops that X-Forwarded-* tell, nearest first."""
    addresses = _items(headers.get("x-forwarded-for", ""))
    schemes = _items(headers.get("x-forwarded-proto", ""))
    hosts = _items(headers.get("x-forwarded-host", ""))
    chain = itertools.zip_longest(addresses, schemes, hosts, fillvalue="")
    return [
        _Hop(_address(address), _scheme(scheme), _valid_host(host))
        for address, scheme, host in itertools.islice(chain, _MAX_HOPS)
    ]


def _standard_hops(headers: Mapping[str, str]) -> list[_Hop]:
    """Return the hops that Forwarded tells, nearest first; none if it is malformed."""
    value = headers.get("forwarded", "")
    hops: list[_Hop] = []
    pairs: dict[str, str] = {}
    position = 0
    while position < len(value):
        found = _PAIR.match(value, position)
        if found is None:
            return []
        if found[1] is not None:
            pairs[found[1].lower()] = found[2] if found[2] is not None else found[3]
        position = found.end()
        if found[4] != ";":
            if pairs:
                hops.append(
                    _Hop(
                        _address(pairs.get("for", "")),
                        _scheme(pairs.get("proto", "")),
                        _valid_host(pairs.get("host", "")),
                    )
                )
            pairs = {}
    return hops[: -_MAX_HOPS - 1 : -1]


def _items(value: str) -> list[str]:
    """Return the members of a list from the right, as many as matter."""
    return [item.strip(" \t") for item in reversed(value.rsplit(",", _MAX_HOPS)) if item.strip()]


def _scheme(text: str) -> str | None:
    text = text.lower()
    return text if text in ("http", "https") else None


def _valid_host(text: str) -> str | None:
    return text if _HOST.fullmatch(text) else None


def _address(text: str) -> str | None:
    """Return the plain address of a node, without port and brackets; None if it hides or lies."""
    found = _NODE.fullmatch(text)
    parsed = _parse(text if found is None else found[1] or found[2])
    return None if parsed is None else str(parsed)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket that serves both families shows IPv4 as ::ffff:a.b.c.d.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    address = _parse(text)
    return address is not None and any(address in network for network in trusted)
