"""Prefer: what a client would rather have."""

import pytest

from vfs.http.prefer import async_wait


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, None),
        ("", None),
        ("return=minimal", None),
        ("respond-asyncx", None),
        ("wait=10", None),
        ("respond-async", 0.2),
        ("Respond-Async", 0.2),
        ("respond-async, wait=10", 10),
        ("wait=10, respond-async", 10),
        ('return=minimal; a="b", respond-async, wait="7"', 7),
        ("respond-async, wait=0", 0),
        ("respond-async, wait=99999999999", 60),
        ("respond-async, wait=-1", 0.2),
        ("respond-async, wait=1e9", 0.2),
        ("respond-async, wait=", 0.2),
        (",,;=,respond-async", 0.2),
        ("respond-async, wait=" + "9" * 5000, 60),
    ],
)
def test_a_preference_is_understood_or_left_out(prefer: str | None, seconds: float | None) -> None:
    assert async_wait(prefer) == seconds
