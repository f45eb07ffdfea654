import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vfs.http.bad_request import BadRequest
from vfs.http.ranges import (
    MAX_RANGES,
    Multipart,
    Span,
    content_range,
    parse_content_range,
    parse_range,
    parse_update_range,
)

RANGE_TEXT = st.text("bytes=,-0123456789 \t", max_size=60)


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-9", [(0, 10)]),
        ("bytes=3-", [(3, 7)]),
        ("bytes=-3", [(7, 3)]),
        ("bytes=-30", [(0, 10)]),
        ("bytes=5-99999999999999999999999999999", [(5, 5)]),
        ("bytes=-99999999999999999999999999999", [(0, 10)]),
        (f"bytes={'0' * 5000}3-{'0' * 5000}4", [(3, 2)]),
        ("BYTES = 1-2", [(1, 2)]),
        ("bytes=0-0,5-6", [(0, 1), (5, 2)]),
        ("bytes=5-6 , 0-0", [(5, 2), (0, 1)]),
        ("bytes=,,1-1,", [(1, 1)]),
        ("bytes=0-0,50-60", [(0, 1)]),
        ("bytes=0-4,5-9", [(0, 5), (5, 5)]),
        ("bytes=0-5,3-9", [(0, 10)]),
        ("bytes=8-9,0-5,3-4", [(0, 6), (8, 2)]),
        ("bytes=0-,0-,0-", [(0, 10)]),
    ],
)
def test_pieces_of_a_file_of_ten_bytes(value: str, spans: list[tuple[int, int]]) -> None:
    assert parse_range(value, 10) == spans


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=7-2",
        "bytes=0-1,7-2",
        "bytes=a-b",
        "bytes=1",
        "bytes=1-2-3",
        "bytes=--2",
        "bytes=+1-2",
        "bytes=1 -2",
        "bytes=0x1-2",
        "bytes=\u0661-\u0662",
        "lines=0-1",
        "0-1",
        "bytes=" + "0-0," * (MAX_RANGES + 1),
    ],
)
def test_a_range_that_is_none_is_ignored(value: str) -> None:
    assert parse_range(value, 10) is None


@pytest.mark.parametrize("value", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99-,-0"])
def test_a_range_outside_the_file_is_refused_with_its_size(value: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_range(value, 10)
    assert caught.value.status == 416
    assert caught.value.headers == (("Content-Range", "bytes */10"),)


def test_an_empty_file_is_sent_whole() -> None:
    """Some clients add `bytes=0-` to every request; there is no piece of nothing."""
    assert parse_range("bytes=0-", 0) is None
    assert parse_range("bytes=-5", 0) is None


@given(RANGE_TEXT, st.integers(0, 60))
@example("bytes=0-,0-,0-,0-", 5)
def test_pieces_lie_in_the_file_and_never_overlap(value: str, size: int) -> None:
    try:
        spans = parse_range(value, size)
    except BadRequest as error:
        assert error.status == 416
        return
    if spans is not None:
        taken = [n for offset, length in spans for n in range(offset, offset + length)]
        assert taken
        assert len(taken) == len(set(taken))
        assert min(taken) >= 0
        assert max(taken) < size


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8),
    st.integers(1, 30),
)
def test_the_bytes_asked_for_are_the_bytes_given(pairs: list[tuple[int, int]], size: int) -> None:
    pairs = [(min(pair), max(pair)) for pair in pairs]
    asked = {n for first, last in pairs for n in range(first, last + 1) if n < size}
    value = "bytes=" + ",".join(f"{first}-{last}" for first, last in pairs)
    try:
        spans = parse_range(value, size) or []
    except BadRequest:
        spans = []
    assert {n for offset, length in spans for n in range(offset, offset + length)} == asked


@given(st.text(), st.integers(0, 2**63))
def test_no_text_breaks_the_parser(value: str, size: int) -> None:
    for text in (value, f"bytes={value}"):
        try:
            parse_range(text, size)
        except BadRequest as error:
            assert error.status == 416


@pytest.mark.parametrize("unit", [" ", "0", "-", ",", "0-0,", "1-2 ,"])
@pytest.mark.timeout(5)
def test_long_values_take_linear_time(unit: str) -> None:
    for tail in ("", "x"):
        try:
            parse_range("bytes=" + unit * 200_000 + tail, 10)
        except BadRequest as error:
            assert error.status == 416


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 500)), min_size=1, max_size=10))
def test_the_length_of_several_pieces_is_known_beforehand(spans: list[tuple[int, int]]) -> None:
    data = bytes(n % 251 for n in range(1000))
    multipart = Multipart([Span(*span) for span in spans], 1000, "image/tiff")
    body = b""
    for head, (offset, size) in multipart.parts():
        body += head + data[offset : offset + size]
    body += multipart.tail
    assert len(body) == multipart.length
    assert multipart.content_type == f"multipart/byteranges; boundary={multipart.boundary}"
    pieces = body.split(f"\r\n--{multipart.boundary}".encode())
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    for piece, (offset, size) in zip(pieces[1:-1], spans, strict=True):
        head, _, content = piece.partition(b"\r\n\r\n")
        assert content == data[offset : offset + size]
        assert f"Content-Range: bytes {offset}-{offset + size - 1}/1000".encode() in head
        assert b"Content-Type: image/tiff" in head


def test_content_range_of_an_answer() -> None:
    assert content_range(Span(5, 5), 100) == "bytes 5-9/100"


@pytest.mark.parametrize(
    ("value", "length", "span"),
    [
        ("bytes 5-9/100", 5, (5, 5)),
        ("bytes 5-9/100", None, (5, 5)),
        ("bytes 5-9/*", None, (5, 5)),
        ("Bytes  0-0/1", 1, (0, 1)),
        (f"bytes 0-{2**63 - 1}/*", None, (0, 2**63)),
    ],
)
def test_where_a_partial_put_goes(value: str, length: int | None, span: tuple[int, int]) -> None:
    assert parse_content_range(value, length) == span


@pytest.mark.parametrize(
    ("value", "length"),
    [
        ("", None),
        ("bytes */100", None),
        ("bytes 5-9", None),
        ("bytes=5-9/100", None),
        ("bytes 9-5/100", None),
        ("bytes 5-9/9", None),
        ("bytes 5-9/100", 6),
        ("bytes 0-9223372036854775808/*", None),
        ("lines 5-9/100", None),
        ("bytes -5-9/100", None),
        ("bytes 5-9/100, 5-9/100", None),
    ],
)
def test_a_partial_put_that_contradicts_itself_is_refused(value: str, length: int | None) -> None:
    with pytest.raises(BadRequest, match="Content-") as caught:
        parse_content_range(value, length)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("value", "length", "span"),
    [
        ("append", 7, (10, 7)),
        ("Append", 0, (10, 0)),
        ("bytes=3-6", 4, (3, 4)),
        ("bytes = 3-6", 4, (3, 4)),
        ("bytes=3-", 4, (3, 4)),
        ("bytes=30-", 4, (30, 4)),
        ("bytes=-4", 9, (6, 9)),
        ("bytes=-10", 1, (0, 1)),
    ],
)
def test_where_a_patch_goes(value: str, length: int, span: tuple[int, int]) -> None:
    assert parse_update_range(value, 10, length) == span


@pytest.mark.parametrize(
    ("value", "length", "status"),
    [
        ("append", None, 411),
        ("", 1, 400),
        ("bytes=-", 1, 400),
        ("bytes 3-6", 1, 400),
        ("prepend", 1, 400),
        ("bytes=3-6", 5, 400),
        ("bytes=6-3", 1, 416),
        ("bytes=-11", 1, 416),
        (f"bytes={2**63}-", 1, 416),
        (f"bytes={'9' * 10_000}-", 1, 416),
    ],
)
def test_a_patch_that_goes_nowhere_is_refused(value: str, length: int | None, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_update_range(value, 10, length)
    assert caught.value.status == status


@given(st.text("bytes=append -0123456789/*"), st.integers(0, 2**62), st.integers(0, 2**62))
def test_any_upload_range_parses_or_is_refused(value: str, size: int, length: int) -> None:
    for text in (value, f"bytes {value}", f"bytes={value}"):
        spans: list[Span] = []
        with contextlib.suppress(BadRequest):
            spans.append(parse_content_range(text, length))
        with contextlib.suppress(BadRequest):
            spans.append(parse_update_range(text, size, length))
        for span in spans:
            assert span.offset >= 0
            assert span.size == length
