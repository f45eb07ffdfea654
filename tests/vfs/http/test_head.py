"""A head is understood in one way or refused."""

import re

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vfs.http.bad_request import BadRequest
from vfs.http.head import HEAD_MAX_BYTES, KNOWN_HEADS, TARGET_MAX_BYTES, Head, Heads, parse


def head(*lines: str, line: str = "GET /f HTTP/1.1", host: str = "Host: h") -> bytes:
    return "\r\n".join((line, *((host,) if host else ()), *lines, "", "")).encode("latin-1")


def refusal(data: bytes) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parse(data)
    return caught.value


def test_plain_head() -> None:
    parsed = parse(head("Accept: a", "Content-Length: 12", "ACCEPT: b", "X:  y \t"))
    assert (parsed.method, parsed.target, parsed.version) == ("GET", b"/f", "1.1")
    assert parsed.fields[b"accept"] == b"a, b"
    assert parsed.fields[b"x"] == b"y"
    assert (parsed.length, parsed.chunked, parsed.keep_alive) == (12, False, True)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"\r\n\r\n", 400, id="nothing"),
        pytest.param(b"GET / HTTP/1.1\nHost: h\n\n", 400, id="bare line feeds"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\n\n", 400, id="bare line feed in a header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400, id="bare return"),
        pytest.param(head("X: y", " folded: z"), 400, id="folded line"),
        pytest.param(head("Content-Length: 1", "Transfer-Encoding: chunked"), 400, id="both"),
        pytest.param(head("Transfer-Encoding: chunked", "Content-Length: 1"), 400, id="both back"),
        pytest.param(head("Content-Length: 1", "Content-Length: 1"), 400, id="length twice"),
        pytest.param(head("Content-Length: 1, 1"), 400, id="length list"),
        pytest.param(head("Content-Length: +1"), 400, id="signed length"),
        pytest.param(head("Content-Length: -1"), 400, id="negative length"),
        pytest.param(head("Content-Length: 1_0"), 400, id="length with underscore"),
        pytest.param(head("Content-Length: 0x1"), 400, id="hexadecimal length"),
        pytest.param(head("Content-Length:"), 400, id="empty length"),
        pytest.param(head("Content-Length: 99999999999999999999"), 400, id="huge length"),
        pytest.param(head("Transfer-Encoding : chunked"), 400, id="blank before colon"),
        pytest.param(head("Transfer-Encoding: \x0bchunked"), 400, id="odd blank"),
        pytest.param(head('Transfer-Encoding: "chunked"'), 400, id="quoted coding"),
        pytest.param(head("Transfer-Encoding: chunked, gzip"), 400, id="chunked not last"),
        pytest.param(head("Transfer-Encoding: gzip, chunked"), 501, id="another coding"),
        pytest.param(
            head("Transfer-Encoding: chunked", line="PUT /f HTTP/1.0"), 400, id="chunks in 1.0"
        ),
        pytest.param(head(host=""), 400, id="no host"),
        pytest.param(head("Host: other"), 400, id="two hosts"),
        pytest.param(head(host="Host: h/x"), 400, id="host with path"),
        pytest.param(head(host="Host: user@h"), 400, id="host with user"),
        pytest.param(head(host="Host: h:123456"), 400, id="host with long port"),
        pytest.param(head("Destination: /a", "Destination: /b"), 400, id="two destinations"),
        pytest.param(head("X: a\x00b"), 400, id="NUL in a header"),
        pytest.param(head(": x"), 400, id="no name"),
        pytest.param(head("X y: z"), 400, id="blank in a name"),
        pytest.param(head("Expect: tea"), 417, id="another expectation"),
        pytest.param(head(line="GET /a b HTTP/1.1"), 400, id="blank in the target"),
        pytest.param(head(line="GET  /a HTTP/1.1"), 400, id="two blanks"),
        pytest.param(head(line="GET /a  HTTP/1.1"), 400, id="two blanks behind"),
        pytest.param(head(line="GET / RTSP/1.0"), 400, id="another protocol"),
        pytest.param(head(line="SOURCE / ICE/1.0"), 400, id="yet another protocol"),
        pytest.param(head(line="GET /"), 400, id="no version"),
        pytest.param(head(line="GET / HTTP/1.10"), 400, id="long version"),
        pytest.param(head(line="GET / HTTP/0.9"), 505, id="old version"),
        pytest.param(head(line="GET / HTTP/2.0"), 505, id="new version"),
        pytest.param(head(line="TEA / HTTP/1.1"), 501, id="unknown method"),
        pytest.param(head(line="get / HTTP/1.1"), 501, id="lower-case method"),
        pytest.param(head(line="CONNECT h:80 HTTP/1.1"), 405, id="tunnel"),
        pytest.param(head(line=f"GET /{'a' * TARGET_MAX_BYTES} HTTP/1.1"), 414, id="long target"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(data: bytes, status: int) -> None:
    error = refusal(data)
    assert error.status == status
    assert error.detail


def test_equal_twins_count_once_and_underscores_are_dropped() -> None:
    parsed = parse(head("Depth: 1", "Depth: 1", "X_Y: z", "Content_Length: 7"))
    assert parsed.fields == {b"host": b"h", b"depth": b"1"}
    assert parsed.length == 0


def test_one_empty_line_may_come_first() -> None:
    assert parse(b"\r\n" + head()).target == b"/f"
    # The limits hold behind it too.
    long = head(line=f"GET /{'a' * TARGET_MAX_BYTES} HTTP/1.1")
    assert refusal(b"\r\n" + long).status == 414


def test_raw_bytes_in_a_target_are_escaped() -> None:
    assert parse("GET /ä HTTP/1.1\r\nHost: h\r\n\r\n".encode()).target == b"/%C3%A4"


@pytest.mark.parametrize(
    ("lines", "line", "expects"),
    [
        (("Content-Length: 1",), "PUT /f HTTP/1.1", True),
        (("Transfer-Encoding: chunked",), "PUT /f HTTP/1.1", True),
        (("Content-Length: 0",), "PUT /f HTTP/1.1", False),
        ((), "PUT /f HTTP/1.1", False),
        (("Content-Length: 1",), "PUT /f HTTP/1.0", False),
    ],
)
def test_an_expectation_needs_a_body(lines: tuple[str, ...], line: str, *, expects: bool) -> None:
    assert parse(head(*lines, "Expect: 100-Continue", line=line)).expects_continue is expects


@pytest.mark.parametrize(
    ("line", "field", "keeps"),
    [
        ("GET / HTTP/1.1", "X: y", True),
        ("GET / HTTP/1.1", "Connection: close", False),
        ("GET / HTTP/1.1", "Connection: Upgrade, close", False),
        ("GET / HTTP/1.0", "X: y", False),
        ("GET / HTTP/1.0", "Connection: keep-alive", True),
    ],
)
def test_who_wants_to_go_on(line: str, field: str, *, keeps: bool) -> None:
    assert parse(head(field, line=line)).keep_alive is keeps


def test_an_upgrade_is_ignored() -> None:
    parsed = parse(head("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 4"))
    assert parsed.length == 4


class Verdict:
    """What llhttp makes of the same bytes."""

    def __init__(self, data: bytes) -> None:
        self.heads = 0
        self.error: Exception | None = None
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            self.error = error

    def on_headers_complete(self) -> None:
        self.heads += 1


TOKENS = st.sampled_from(
    [
        *("GET", "PUT", "PROPFIND", "CONNECT", "PRI", "/", "/a%2", "*", "http://u:p@h/"),
        *(" ", "  ", "\t", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "RTSP/1.0", "\r\n", "\n", "\r"),
        *("Host: h", "Host:", "Content-Length: 5", "Content-Length: 05", "Transfer-Encoding:"),
        *(" chunked", "chunked", "identity,", "Expect: 100-continue", "Connection: upgrade"),
        *("Upgrade: h2c", "X", ":", ";", ",", "\x00", "\x7f", "\xe4", "_", " folded", "\r\n\r\n"),
    ]
).map(lambda text: text.encode("latin-1"))
LIKELY = st.lists(TOKENS, max_size=20).map(b"".join)
FIELDS = st.lists(
    st.one_of(
        st.sampled_from(
            [b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Host: h", b"X: y", b" z", b""]
        ),
        st.binary(max_size=12),
    ),
    max_size=6,
)
REQUESTS = st.builds(
    lambda start, fields, end: b"\r\n".join((start, *fields)) + end,
    st.sampled_from([b"GET / HTTP/1.1", b"PUT /f HTTP/1.0", b"MOVE /f HTTP/1.1"]),
    FIELDS,
    st.sampled_from([b"\r\n\r\n", b"\n\n", b"\r\n", b""]),
)


@given(st.one_of(st.binary(max_size=200), LIKELY, REQUESTS))
@example(b"\r\n\r\n")
@example(b"")
@example(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
@example(b"PRI * HTTP/2.0\r\n\r\n")
@example(b"GET http://u:p@[::1 HTTP/1.1\r\nHost: h\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nrest")
def test_any_bytes_are_a_head_or_a_bad_request(data: bytes) -> None:
    """Nothing else is raised, and no head is taken that llhttp does not see, whole and alone."""
    try:
        parsed: Head | None = parse(data)
    except BadRequest as error:
        assert 400 <= error.status <= 505
        assert re.fullmatch(r"[ -~]+", error.detail)
        return
    assert parsed is not None
    escaped = re.sub(rb"[\x80-\xff]", b"x", data)
    verdict = Verdict(escaped)
    assert verdict.error is None
    assert verdict.heads == 1
    assert parsed.length >= 0
    assert not (parsed.chunked and parsed.length)
    assert re.fullmatch(r"[A-Z-]+", parsed.method)
    assert re.fullmatch(rb"[!-~]+", parsed.target)
    for name, value in parsed.fields.items():
        assert re.fullmatch(rb"[!#$%&'*+.^`|~0-9a-z-]+", name)
        assert not re.search(rb"[\r\n\x00]", value)


def test_head_limit_is_beyond_the_target_limit() -> None:
    assert HEAD_MAX_BYTES > TARGET_MAX_BYTES


LIKE = b" HTTP/1.1\r\nHost: h\r\nAuthorization: Basic eA==\r\nX-A: \xe4\r\n\r\n"


def own(*fields: bytes) -> bytes:
    """Return a head with fields that other heads like it have with other values."""
    return b"MOVE /a" + LIKE[:-2] + b"\r\n".join((*fields, b"", b""))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"GET /a" + LIKE, b"GET /b/c%20d" + LIKE),
        (b"GET /a" + LIKE, b"GET /a" + LIKE),
        (b"GET /a" + LIKE, b"DELETE /a" + LIKE),
        (b"GET /a" + LIKE, b"GET /a?q=1" + LIKE),
        (b"GET /a" + LIKE, b"GET http://h/a" + LIKE),
        (b"GET /a" + LIKE, b"GET /\xff" + LIKE),
        (b"GET /a" + LIKE, b"GET /a" + LIKE.replace(b"eA==", b"eB==")),
        (b"GET /a" + LIKE, b"GET /a" + LIKE.replace(b"1.1", b"1.0")),
        (b"GET /a" + LIKE, b"GET /b" + LIKE.replace(b"X-A", b"X-A" * 500)),
        (b"PUT /a" + LIKE[:-2] + b"Content-Length: 1\r\n\r\n", b"PUT /b" + LIKE),
        (own(b"Destination: /b"), own(b"Destination: /c%20d")),
        (own(b"Destination: /b"), own(b"Destination: /\xe4")),
        (own(b"Destination: /b"), own(b"Destination: /b c")),
        (own(b"Destination: /b"), own(b"destination: /c")),
        (own(b"Destination: /b"), own(b"Lock-Token: /b")),
        (own(b"Destination: /b"), own(b"Destination: /c", b"Destination: /c")),
        (own(b"Range: bytes=0-1"), own(b"Range: bytes=2-3")),
        (own(b"Range: bytes=0-1"), own(b"Range:  bytes=2-3 ")),
        (own(b"Lock-Token: <a>", b"Range: x"), own(b"Lock-Token: <b>", b"Range: x")),
        (own(b"Lock-Token: <a>", b"Range: x"), own(b"Lock-Token: <a>", b"Range: y")),
        (own(b"Destination: /destination:1"), own(b"Destination: /destination:2")),
    ],
)
def test_a_head_like_the_one_before_means_the_same(first: bytes, second: bytes) -> None:
    """Whatever is remembered of the first, the second is read as if it came alone."""
    known = Heads()
    for data in (first, second, first, second, first):
        got, wanted = known.parse(data), parse(data)
        for name in Head.__slots__:
            assert getattr(got, name) == getattr(wanted, name)


@pytest.mark.parametrize(
    "data",
    [
        b"GET  /b" + LIKE,
        b"GET /b " + LIKE,
        b"GET /b\x00" + LIKE,
        b"GET /b" + LIKE.replace(b"Host: h", b"Host: h\r\nHost: i"),
        b"GET /b" + LIKE.replace(b"Host: h", b"Host : h"),
        b"CONNECT /b" + LIKE,
        b"NONE /b" + LIKE,
    ],
)
def test_after_a_sound_head_none_is_taken_that_is_not(data: bytes) -> None:
    known = Heads()
    known.parse(b"GET /a" + LIKE)
    with pytest.raises(BadRequest):
        known.parse(data)
    assert known.parse(b"GET /b" + LIKE).target == b"/b"


@pytest.mark.parametrize(
    ("sound", "wrong"),
    [
        (own(b"Destination: /b"), own(b"Destination: /c", b"Destination: /d")),
        (
            own(b"Destination: /b", b"destination: /b"),
            own(b"Destination: /c", b"destination: /b"),
        ),
        (own(b"Destination: /b", b"Destination:/b"), own(b"Destination: /c", b"Destination:/b")),
        (own(b"Range: x", b"Range: x"), own(b"Range: x", b"Range: y")),
    ],
)
def test_a_field_that_stands_twice_is_not_taken_for_one(sound: bytes, wrong: bytes) -> None:
    known = Heads()
    for _ in range(2):
        assert known.parse(sound).headers == parse(sound).headers
        with pytest.raises(BadRequest):
            known.parse(wrong)


def test_few_heads_are_remembered() -> None:
    """Else a client could have a connection hold what it likes."""
    known = Heads()
    for number in range(10):
        known.parse(b"GET /a" + LIKE.replace(b"eA==", b"eA%d" % number))
    assert len(known._known) <= KNOWN_HEADS
