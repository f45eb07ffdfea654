"""What is packed is parsed again; what is garbage is refused, never believed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.ssh import wire
from providers.ssh.wire import Attributes

U32 = st.integers(0, 2**32 - 1)
NAMES = st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@st.composite
def attributes(draw: st.DrawFn) -> Attributes:
    owner, times = draw(st.booleans()), draw(st.booleans())
    return Attributes(
        size=draw(st.none() | st.integers(0, 2**64 - 1)),
        uid=draw(U32) if owner else None,
        gid=draw(U32) if owner else None,
        mode=draw(st.none() | U32),
        atime=draw(U32) if times else None,
        mtime=draw(U32) if times else None,
    )


@given(attributes(), st.binary(max_size=8))
def test_attributes_come_back(given_ones: Attributes, rest: bytes) -> None:
    packed = wire.pack_attributes(given_ones)
    assert wire.parse_attributes(packed + rest) == (given_ones, len(packed))


@given(attributes(), st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=3))
def test_extended_attributes_are_skipped(
    given_ones: Attributes, pairs: list[tuple[bytes, bytes]]
) -> None:
    packed = wire.pack_attributes(given_ones)
    flags = wire.parse_u32(packed) | 0x80000000
    extra = b"".join(wire.string(key) + wire.string(value) for key, value in pairs)
    whole = wire.u32(flags) + packed[4:] + wire.u32(len(pairs)) + extra
    assert wire.parse_attributes(whole) == (given_ones, len(whole))


@given(st.lists(st.tuples(NAMES, attributes()), max_size=5))
def test_names_come_back(found: list[tuple[str, Attributes]]) -> None:
    """A name is kept byte by byte, also when it is no UTF-8."""
    body = wire.u32(len(found)) + b"".join(
        wire.name(name) + wire.string(b"-rw-r--r-- 1 ann") + wire.pack_attributes(attributes)
        for name, attributes in found
    )
    assert wire.parse_names(body) == found


@given(st.dictionaries(st.text("abc@.", max_size=9), st.binary(max_size=9), max_size=4))
def test_extensions_come_back(extensions: dict[str, bytes]) -> None:
    pairs = (wire.name(key) + wire.string(value) for key, value in extensions.items())
    assert wire.parse_extensions(b"".join(pairs)) == extensions


@given(st.binary(max_size=200))
def test_garbage_is_malformed_or_parsed_within_its_bytes(garbage: bytes) -> None:
    with contextlib.suppress(wire.Malformed):
        assert wire.parse_attributes(garbage)[1] <= len(garbage)
    with contextlib.suppress(wire.Malformed):
        assert wire.parse_string(garbage)[1] <= len(garbage)
    with contextlib.suppress(wire.Malformed):
        wire.parse_names(garbage)
    with contextlib.suppress(wire.Malformed):
        wire.parse_extensions(garbage)


@given(st.lists(st.tuples(NAMES, attributes()), min_size=1, max_size=3), st.data())
def test_what_is_cut_short_is_malformed(
    found: list[tuple[str, Attributes]], data: st.DataObject
) -> None:
    body = wire.u32(len(found)) + b"".join(
        wire.name(name) + wire.string(b"") + wire.pack_attributes(attributes)
        for name, attributes in found
    )
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(wire.Malformed):
        wire.parse_names(body[:cut])


def test_a_huge_count_costs_nothing() -> None:
    with pytest.raises(wire.Malformed):
        wire.parse_names(wire.u32(2**32 - 1))
    with pytest.raises(wire.Malformed):
        wire.parse_attributes(wire.u32(0x80000000) + wire.u32(2**32 - 1))


def test_a_packet_says_its_length() -> None:
    assert wire.packet(wire.STAT, 7, wire.name("/a")) == bytes.fromhex(
        "0000000b1100000007000000022f61"
    )
