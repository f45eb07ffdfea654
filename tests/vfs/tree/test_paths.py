"""The path grammar refuses what no store should see, and joins what it splits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import InvalidPath
from vfs.tree import paths


@pytest.mark.parametrize(
    ("raw", "parsed"),
    [("/", "/"), ("/a", "/a"), ("/a/", "/a"), ("/a/b c", "/a/b c"), ("/.hidden", "/.hidden")],
)
def test_parse_gives_the_canonical_form(raw: str, parsed: str) -> None:
    assert paths.parse(raw) == parsed


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        ("", "slash"),
        ("a", "slash"),
        ("//", "empty name"),
        ("//a", "empty name"),
        ("/a//", "empty name|start or end"),
        ("/a//b", "empty name"),
        ("/.", "'.'"),
        ("/a/..", r"'\.\.'"),
        ("/../a", r"'\.\.'"),
        ("/a/../b", r"'\.\.'"),
        ("/a\x00b", "NUL"),
        ("/.headgate-x", "belong to the gateway"),
        ("/a/.headgate-upload/b", "belong to the gateway"),
        ("/\ud800", "surrogate"),
    ],
)
def test_parse_refuses_with_the_cause(raw: str, cause: str) -> None:
    with pytest.raises(InvalidPath, match=cause) as caught:
        paths.parse(raw)
    assert caught.value.path == raw


@given(st.text())
def test_parse_accepts_or_refuses_and_is_idempotent(text: str) -> None:
    """Whatever comes in, the answer is a canonical path or InvalidPath."""
    try:
        path = paths.parse(f"/{text}")
    except InvalidPath:
        return
    assert paths.parse(path) == path
    segments = path[1:].split("/") if path != "/" else []
    assert not {"", ".", ".."}.intersection(segments)
    assert "\x00" not in path


@given(st.lists(st.sampled_from(["a", "ab", "b", "%2F", " ", "é"]), min_size=1, max_size=5))
def test_parent_and_basename_take_apart_what_join_puts_together(segments: list[str]) -> None:
    path = "/"
    for segment in segments:
        path = paths.join(path, segment)
    assert path == "/" + "/".join(segments)
    assert paths.join(paths.parent(path), paths.basename(path)) == path


def test_is_within_goes_by_whole_segments() -> None:
    assert paths.is_within("/a/b", "/a")
    assert paths.is_within("/a", "/a")
    assert paths.is_within("/a", "/")
    assert not paths.is_within("/ab", "/a")
    assert not paths.is_within("/a", "/a/b")


def test_rebase_moves_a_path_with_its_folder() -> None:
    assert paths.rebase("/a/b/c", "/a", "/x/y") == "/x/y/b/c"
    assert paths.rebase("/a", "/a", "/x") == "/x"
