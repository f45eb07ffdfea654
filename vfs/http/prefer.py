"""Prefer: whether a client would rather be answered at once and come again (RFC 7240)."""

_WAIT_SECONDS = 0.2
_WAIT_SECONDS_MAX = 60
_DIGITS = 9


def async_wait(prefer: str | None) -> float | None:
    """Return for how long a client wants to wait before it is answered 202; None if it never does.

    `respond-async` says that it does, `wait` how many seconds. What is not understood counts as
    not said.
    """
    wishes = {}
    for wish in (prefer or "").split(","):
        name, _, value = wish.partition(";")[0].partition("=")
        wishes[name.strip().lower()] = value.strip().strip('"')
    if "respond-async" not in wishes:
        return None
    wait = wishes.get("wait", "")
    if not (wait.isascii() and wait.isdigit()):
        return _WAIT_SECONDS
    return min(int(wait), _WAIT_SECONDS_MAX) if len(wait) <= _DIGITS else _WAIT_SECONDS_MAX
