"""Behind a proxy that ends TLS the gateway knows its outer name, from a trusted proxy alone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import fresh, mount_of
from tests.e2e.wire import Fault, ask, expect, members, put, url
from tests.servers import headgate, nginx_proxy
from tests.servers.authority import Authority
from tests.servers.daemon import free_port
from tests.servers.target import Target

pytestmark = [
    pytest.mark.server("nginx"),
    pytest.mark.skipif("HEADGATE_TARGET" in os.environ, reason="needs trusted_proxies"),
]
_LOOPBACK = ["127.0.0.1/32"]
_OUTER = "https://outer.example"
_FORWARDED = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "outer.example"}
# Only one spelling is believed: a proxy that sets one lets its clients' other one through.
_RFC_7239 = {"Forwarded": "for=192.0.2.1;proto=https;host=outer.example"}


@pytest.fixture(scope="module")
def trusting(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[tuple[Target, Target]]:
    """Yield a mount of a gateway that trusts loopback, seen directly and through nginx."""
    directory = tmp_path_factory.mktemp("trusting")
    with headgate.launch(directory, trusted_proxies=_LOOPBACK) as daemon:
        inner = mount_of(daemon, headgate.LOCAL)
        with nginx_proxy.launch(tmp_path_factory.mktemp("nginx"), inner, authority) as proxy:
            yield inner, proxy.target


@pytest.mark.parametrize("method", ["MOVE", "COPY"])
def test_destination_of_the_outer_name_works(trusting: tuple[Target, Target], method: str) -> None:
    _works_through_a_proxy(fresh(trusting[1]), method)


def test_public_url_stands_in_for_a_silent_proxy(tmp_path: Path, authority: Authority) -> None:
    """A proxy that does not tell of TLS works when the configuration does."""
    port = free_port()
    for name in ("gateway", "nginx"):
        (tmp_path / name).mkdir()
    with headgate.launch(tmp_path / "gateway", public_url=f"https://127.0.0.1:{port}") as daemon:
        inner = mount_of(daemon, headgate.LOCAL)
        with nginx_proxy.launch(
            tmp_path / "nginx", inner, authority, port=port, forwarded=False
        ) as proxy:
            _works_through_a_proxy(fresh(proxy.target), "MOVE")


@pytest.mark.parametrize("method", ["MOVE", "COPY"])
def test_plain_wsgidav_fails_behind_a_silent_proxy(
    tmp_path: Path, plain: Target, authority: Authority, method: str
) -> None:
    with (
        nginx_proxy.launch(tmp_path, plain, authority, forwarded=False) as proxy,
        pytest.raises(Fault, match="answered 502"),
    ):
        _works_through_a_proxy(fresh(proxy.target), method)


def _works_through_a_proxy(target: Target, method: str) -> None:
    put(target, "f", b"x")
    answer = ask(target, method, "f", Destination=url(target, "g"))
    expect(answer.status == 201, f"{method} through a proxy is answered {answer.status}")
    names = {"g"} if method == "MOVE" else {"f", "g"}
    expect(members(target) == names, f"then there are {members(target)}")


def test_trusted_headers_name_the_server(trusting: tuple[Target, Target]) -> None:
    target = fresh(trusting[0])
    put(target, "f", b"x")
    headers = {"Destination": _OUTER + target.path("g"), **_FORWARDED}
    assert ask(target, "MOVE", "f", None, **headers).status == 201


@pytest.mark.parametrize("claim", [_FORWARDED, _RFC_7239], ids=["x-forwarded", "rfc-7239"])
def test_stranger_behind_a_trusted_proxy_names_nothing(
    trusting: tuple[Target, Target], claim: dict[str, str]
) -> None:
    _stranger_names_nothing(fresh(trusting[1]), claim)


@pytest.mark.parametrize("claim", [_FORWARDED, _RFC_7239], ids=["x-forwarded", "rfc-7239"])
def test_headers_of_a_stranger_do_not_count(gateway: Target, claim: dict[str, str]) -> None:
    """A gateway without trusted proxies takes its name from Host, whatever else is claimed."""
    _stranger_names_nothing(gateway, claim)


def test_plain_wsgidav_believes_a_stranger(control: Target) -> None:
    with pytest.raises(Fault, match="answered 201"):
        _stranger_names_nothing(control, _FORWARDED)


def _stranger_names_nothing(target: Target, claim: dict[str, str]) -> None:
    put(target, "f", b"x")
    headers = {"Destination": _OUTER + target.path("g"), **claim}
    status = ask(target, "MOVE", "f", None, **headers).status
    expect(status == 502, f"MOVE to a claimed name is answered {status}")
    expect(members(target) == {"f"}, "the file has moved")
    headers = {"Destination": url(target, "g"), **claim}
    status = ask(target, "MOVE", "f", None, **headers).status
    expect(status == 201, f"MOVE to the true name is answered {status}")
