import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vfs.http.bad_request import BadRequest
from vfs.http.etags import ETags, make_etag, parse_etags, variants

ANY_TEXT = st.text(st.characters(codec=None), max_size=200)
TAG_CHARACTERS = "".join(chr(n) for n in (0x21, *range(0x23, 0x7F), *range(0x80, 0x100)))


def test_a_plain_version_stands_in_the_tag_as_it_is() -> None:
    assert make_etag("1a2b-3c") == '"1a2b-3c"'
    assert make_etag("1a2b-3c", "gzip") == '"1a2b-3c:gzip"'


@given(ANY_TEXT)
@example("")
@example('"')
@example("\udcff")
@example("x" * 5000)
def test_a_tag_is_short_and_printable_and_parses_as_itself(version: str) -> None:
    etag = make_etag(version)
    assert re.fullmatch(r'"[\x21\x23-\x7e]{1,64}"', etag)
    assert parse_etags("If-Match", etag) == ETags(
        is_any=False, strong=frozenset({etag}), weak=frozenset()
    )


@given(ANY_TEXT, ANY_TEXT)
@example("a:gzip", "a")
@example("~a", "a")
@example("x" * 64, "x" * 65)
def test_two_versions_never_share_a_tag_in_any_coding(one: str, other: str) -> None:
    if one != other:
        assert not set(variants(make_etag(one))) & set(variants(make_etag(other)))


def test_no_version_can_be_chosen_to_have_the_tag_of_a_hashed_one() -> None:
    etag = make_etag("needs a hash")
    assert make_etag(etag[1:-1]) != etag
    assert etag.startswith('"~')


def test_variants_are_the_tags_of_the_codings() -> None:
    assert variants(make_etag("v")) == (
        make_etag("v"),
        make_etag("v", "gzip"),
        make_etag("v", "zstd"),
    )


@pytest.mark.parametrize(
    ("value", "strong", "weak"),
    [
        ('"a"', {'"a"'}, set()),
        ('"a", "b"', {'"a"', '"b"'}, set()),
        ('W/"a","b"', {'"b"'}, {'"a"'}),
        ('"a,b"\t,  "c"', {'"a,b"', '"c"'}, set()),
        ('""', {'""'}, set()),
        (', ,"a",,', {'"a"'}, set()),
        ('"\xff\x80"', {'"\xff\x80"'}, set()),
        ('"W/"', {'"W/"'}, set()),
        ('"*"', {'"*"'}, set()),
    ],
)
def test_lists_of_tags(value: str, strong: set[str], weak: set[str]) -> None:
    tags = parse_etags("If-None-Match", value)
    assert not tags.is_any
    assert set(tags.strong) == strong
    assert set(tags.weak) == weak


def test_any() -> None:
    assert parse_etags("If-Match", " * ").is_any


@pytest.mark.parametrize(
    "value",
    ["", ",", "a", '"a', 'a"', '"a" "b"', 'w/"a"', 'W/a, "b"', '*, "a"', '"a b"', '"a\x00"', "**"],
)
def test_what_is_no_list_is_refused(value: str) -> None:
    with pytest.raises(BadRequest, match="If-Match") as caught:
        parse_etags("If-Match", value)
    assert caught.value.status == 400


def test_a_weak_tag_matches_weakly_only() -> None:
    tags = parse_etags("If-Match", 'W/"a", "b"')
    assert not tags.match_strongly('"a"')
    assert tags.match_weakly('"a"')
    assert tags.match_strongly('"b"')
    assert tags.match_weakly('"b"')
    assert not tags.match_weakly('"c"')


@given(st.lists(st.tuples(st.booleans(), st.text(TAG_CHARACTERS, max_size=8)), min_size=1))
def test_every_tag_of_a_list_is_found(members: list[tuple[bool, str]]) -> None:
    value = ",".join(f'{"W/" if weak else ""}"{tag}"' for weak, tag in members)
    tags = parse_etags("If-Match", value)
    assert tags.strong == {f'"{tag}"' for weak, tag in members if not weak}
    assert tags.weak == {f'"{tag}"' for weak, tag in members if weak}


@given(st.one_of(ANY_TEXT, st.text('W/", *ab\t')))
def test_nothing_but_a_bad_request_is_ever_raised(value: str) -> None:
    try:
        parse_etags("If-Match", value)
    except BadRequest as error:
        assert error.status == 400


@pytest.mark.parametrize("unit", [" ", ",", '"', 'W/"', '"a" ', '"a",', string.ascii_letters])
@pytest.mark.timeout(5)
def test_long_values_take_linear_time(unit: str) -> None:
    value = unit * 200_000
    try:
        parse_etags("If-Match", value + "\x00")
    except BadRequest:
        return
    pytest.fail("a NUL was accepted")
