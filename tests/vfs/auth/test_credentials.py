"""What a request shows is read in one way only, and what cannot be read is refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.auth import credentials
from vfs.auth.errors import Ambiguous, Unauthenticated

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln"


def _basic(text: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(text.encode(encoding)).decode()


def test_name_and_password_come_apart_at_the_first_colon() -> None:
    got = credentials.parse(_basic("alice:a:b: c"))
    assert (got.name, got.secret, got.is_token) == ("alice", "a:b: c", False)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_old_programs_may_send_latin_1(encoding: str) -> None:
    assert credentials.parse(_basic("zoë:gréén", encoding)).name == "zoë"


@pytest.mark.parametrize(
    "shown",
    [
        f"Bearer {TOKEN}",
        f"bearer  {TOKEN} ",
        TOKEN,
        _basic(f"share:{TOKEN}"),
        _basic(f":{TOKEN}"),
    ],
)
def test_a_token_is_known_wherever_it_stands(shown: str) -> None:
    got = credentials.parse(shown)
    assert (got.name, got.secret, got.is_token) == ("", TOKEN, True)


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Basic",
        "Basic !!!!",
        "Basic YWxpY2U=",  # no colon
        "Basic YWxp Y2U6eA==",
        "Bearer",
        "Bearer ",
        "Negotiate abc",
        "Digest username=alice",
        "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9",
        TOKEN + ".more",
        "Basic " + "A" * credentials.HEADER_MAX_BYTES,
    ],
)
def test_anything_else_is_refused(shown: str) -> None:
    with pytest.raises(Unauthenticated):
        credentials.parse(shown)


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    for shown in (text, f"Basic {text}", _basic(text.encode(errors="ignore").decode())):
        try:
            credentials.parse(shown)
        except Unauthenticated as error:
            assert len(text) < 4 or text not in error.detail


def test_two_headers_must_hold_one_credential() -> None:
    assert credentials.raw({}) is None
    assert credentials.raw({"x-access-token": TOKEN}) == f"Bearer {TOKEN}"
    for same in (TOKEN, f"Bearer {TOKEN}"):
        headers = {"authorization": same, "x-access-token": TOKEN}
        assert credentials.raw(headers) == f"Bearer {TOKEN}"
    with pytest.raises(Ambiguous):
        credentials.raw({"authorization": _basic("a:b"), "x-access-token": TOKEN})


@pytest.mark.parametrize("name", ["eyJhbGciOiJFUzI1NiJ9.eyJz", "xeyJh.a", "hga_abcdefgh234"])
def test_a_secret_in_the_place_of_a_name_is_not_written_down(name: str) -> None:
    assert credentials.claimed(name) == "(a secret)"
    assert credentials.claimed("alice") == "alice"
