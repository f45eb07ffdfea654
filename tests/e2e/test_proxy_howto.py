"""The snippets of docs/howto/behind-a-proxy.md make a proxy behind which everything works."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import fresh, mount_of
from tests.e2e.wire import ask, members, put, url
from tests.servers import apache_proxy, headgate, nginx_proxy
from tests.servers.authority import Authority
from tests.servers.daemon import free_port
from tests.servers.target import Target

pytestmark = pytest.mark.skipif("HEADGATE_TARGET" in os.environ, reason="needs trusted_proxies")
_PROXIES = [
    pytest.param("nginx", marks=pytest.mark.server("nginx")),
    pytest.param("apache", marks=pytest.mark.server("apache2")),
]


@pytest.fixture(scope="module", params=_PROXIES)
def proxied(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,
    root: Path,
) -> Iterator[Target]:
    """Yield a mount of a gateway, seen through the proxy of the page."""
    page = (root / "docs" / "howto" / "behind-a-proxy.md").read_text()
    blocks = re.findall(rf"^```{request.param}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    trusted = re.search(r"^trusted_proxies = \[\"(.+)\"\]$", page, re.MULTILINE)
    assert len(blocks) == 1
    assert trusted is not None
    directory = tmp_path_factory.mktemp("gateway")
    with headgate.launch(directory, trusted_proxies=[trusted[1]]) as daemon:
        inner = mount_of(daemon, headgate.LOCAL)
        port = free_port()
        block = blocks[0]
        for there, here in (
            ("listen 443", f"listen 127.0.0.1:{port}"),
            ("*:443", f"127.0.0.1:{port}"),
            ("/etc/ssl/gw.pem", str(authority.certificate)),
            ("/etc/ssl/gw.key", str(authority.key)),
            ("127.0.0.1:8080", f"{inner.host}:{inner.port}"),
        ):
            block = block.replace(there, here)
        place = tmp_path_factory.mktemp(request.param)
        if request.param == "nginx":
            proxy = nginx_proxy.launch(place, inner, authority, port=port, server=block)
        else:
            proxy = apache_proxy.launch(place, inner, authority, port=port, host=block)
        with proxy:
            yield proxy.target


@pytest.mark.parametrize("method", ["MOVE", "COPY"])
def test_the_outer_name_is_known(proxied: Target, method: str) -> None:
    target = fresh(proxied)
    put(target, "f", b"x")
    assert ask(target, method, "f", Destination=url(target, "g")).status == 201
    assert "g" in members(target)


@pytest.mark.parametrize(
    "name", ["a%20b", "100%25", "%2520", "K%C3%B6ln", "a+b", "q%3Fa=b", "%23", "c%3Ad", "(1)"]
)
def test_names_pass_as_they_are(proxied: Target, name: str) -> None:
    target = fresh(proxied)
    put(target, name, b"x")
    assert ask(target, "GET", name).body == b"x"
    assert target.root is not None
    assert len(members(target)) == 1


def test_an_encoded_slash_is_refused_by_the_gateway(proxied: Target) -> None:
    answer = ask(proxied, "GET", "a%2Fb")
    assert (answer.status, b"no name may hold a slash" in answer.body) == (400, True)


def test_a_large_upload_passes(proxied: Target) -> None:
    """Larger than the megabyte at which nginx stops by default."""
    target = fresh(proxied)
    content = hashlib.shake_128(b"large").digest(8 << 20)
    put(target, "f", content)
    assert ask(target, "GET", "f").body == content


def test_a_client_cannot_name_the_server(proxied: Target) -> None:
    target = fresh(proxied)
    put(target, "f", b"x")
    destination = "https://evil.example" + target.path("g")
    answer = ask(target, "MOVE", "f", Destination=destination, X_Forwarded_Host="evil.example")
    assert answer.status == 502
