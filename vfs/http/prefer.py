"""Prefer: whether a client would rather be answered at once and come again (RFC 7240)."""

import re

_WAIT_SECONDS = 0.2
_WAIT_SECONDS_MAX = 60.0
_TOKEN = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*\"?([^\";,]*)\"?)?[^,]*(?:,|$)")


def async_wait(prefer: str | None) -> float | None:
    """Return for how long a client wants to wait before it is answered 202; None if it never does.

    `respond-async` says that it does, `wait` how many seconds. What is not understood counts as
    not said.
    """
    if not prefer:
        return None
    wishes = {name.lower(): value.strip() for name, value in _TOKEN.findall(prefer)}
    if "respond-async" not in wishes:
        return None
    wait = wishes.get("wait", "")
    return (
        min(float(wait), _WAIT_SECONDS_MAX) if wait.isascii() and wait.isdigit() else _WAIT_SECONDS
    )
