from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.http.forwarded import Client, resolve

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
DIRECT = Client("http", "inner:8080", "10.0.0.1")


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({}, DIRECT),
        ({"x-forwarded-for": "192.0.2.7"}, ("http", "inner:8080", "192.0.2.7")),
        ({"x-forwarded-proto": "https"}, ("https", "inner:8080", "10.0.0.1")),
        ({"x-forwarded-host": "data.example.org"}, ("http", "data.example.org", "10.0.0.1")),
        (
            {
                "x-forwarded-for": "192.0.2.7",
                "x-forwarded-proto": "HTTPS",
                "x-forwarded-host": "d.org:8443",
            },
            ("https", "d.org:8443", "192.0.2.7"),
        ),
        ({"x-forwarded-for": "6.6.6.6, 192.0.2.7"}, ("http", "inner:8080", "192.0.2.7")),
        ({"x-forwarded-for": "6.6.6.6, 192.0.2.7, 10.2.3.4"}, ("http", "inner:8080", "192.0.2.7")),
        ({"x-forwarded-for": "10.9.9.9, 10.2.3.4"}, ("http", "inner:8080", "10.9.9.9")),
        ({"x-forwarded-for": "192.0.2.7:4711"}, ("http", "inner:8080", "192.0.2.7")),
        ({"x-forwarded-for": "[2001:db8::1]:4711"}, ("http", "inner:8080", "2001:db8::1")),
        ({"x-forwarded-for": "2001:DB8::1"}, ("http", "inner:8080", "2001:db8::1")),
        ({"x-forwarded-for": "::ffff:192.0.2.7"}, ("http", "inner:8080", "192.0.2.7")),
        (
            {"x-forwarded-for": "6.6.6.6, 192.0.2.7", "x-forwarded-proto": "ftp, https"},
            ("https", "inner:8080", "192.0.2.7"),
        ),
        ({"x-forwarded-for": "192.0.2.7", "x-forwarded-host": "evil/..\\"}, None),
        ({"x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "gopher"}, None),
        ({"x-forwarded-for": "unknown"}, DIRECT),
        ({"x-forwarded-for": "6.6.6.6, not-an-address"}, DIRECT),
        ({"forwarded": "for=192.0.2.7;proto=https"}, DIRECT),
    ],
)
def test_the_common_headers(headers: dict[str, str], client: tuple[str, str, str] | None) -> None:
    expected = client or ("http", "inner:8080", "192.0.2.7")
    assert resolve(DIRECT, headers, TRUSTED) == expected


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=192.0.2.7;proto=https;host=d.org", ("https", "d.org", "192.0.2.7")),
        ('For="[2001:db8::1]:4711"; Proto=HTTPS', ("https", "inner:8080", "2001:db8::1")),
        ("for=6.6.6.6;host=evil, for=192.0.2.7;host=d.org", ("http", "d.org", "192.0.2.7")),
        ("for=192.0.2.7;proto=https, for=10.2.3.4", ("https", "inner:8080", "192.0.2.7")),
        ("proto=https", ("https", "inner:8080", "10.0.0.1")),
        ("for=unknown", DIRECT),
        ("for=_hidden;proto=https", ("https", "inner:8080", "10.0.0.1")),
        ("for=192.0.2.7 proto=https", DIRECT),
        ('for="192.0.2.7', DIRECT),
        ('for="a\\"b"', DIRECT),
        ("", DIRECT),
    ],
)
def test_the_standard_header(value: str, client: tuple[str, str, str]) -> None:
    assert resolve(DIRECT, {"forwarded": value}, TRUSTED, standard=True) == client


def test_with_the_standard_header_the_common_ones_are_not_read() -> None:
    assert resolve(DIRECT, {"x-forwarded-for": "6.6.6.6"}, TRUSTED, standard=True) == DIRECT


ALL = {
    "x-forwarded-for": "6.6.6.6",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "evil",
    "forwarded": "for=6.6.6.6;proto=https;host=evil",
}


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "", "unix", "11.0.0.1"])
@pytest.mark.parametrize("standard", [True, False])
def test_nobody_else_is_believed(address: str, *, standard: bool) -> None:
    direct = Client("http", "inner", address)
    assert resolve(direct, ALL, TRUSTED, standard=standard) == direct
    assert resolve(DIRECT, ALL, [], standard=standard) == DIRECT


def test_a_peer_may_be_an_ipv4_address_in_ipv6_form() -> None:
    direct = Client("http", "inner", "::ffff:10.0.0.1")
    assert resolve(direct, ALL, TRUSTED).address == "6.6.6.6"


@given(
    headers=st.dictionaries(
        st.sampled_from(list(ALL)),
        st.one_of(
            st.text(),
            st.text('10.2,;:=[]"forpth \\', max_size=60),
            st.lists(st.ip_addresses().map(str)).map(",".join),
        ),
    ),
    standard=st.booleans(),
)
def test_any_header_gives_a_client(headers: dict[str, str], *, standard: bool) -> None:
    client = resolve(DIRECT, headers, TRUSTED, standard=standard)
    assert client.scheme in ("http", "https")
    assert client.host.isprintable()
    assert not set(client.host) & set('/\\<>" ')


@pytest.mark.parametrize("unit", [" ", ",", ";", "for=", 'for="', "10.0.0.1,", "for=10.0.0.1,"])
@pytest.mark.timeout(5)
def test_long_values_take_linear_time(unit: str) -> None:
    headers = dict.fromkeys(ALL, unit * 100_000 + "\x00")
    for standard in (True, False):
        assert resolve(DIRECT, headers, TRUSTED, standard=standard).address
