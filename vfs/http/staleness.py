"""Staleness: how an answer says that it is old, since the store behind it does not answer."""

from providers.base import Entry


def stale_headers(entry: Entry) -> list[tuple[str, str]]:
    """Return the header of RFC 9211 that says for how long `entry` is out of date, if it is."""
    if not entry.stale_seconds:
        return []
    ttl = -max(1, round(entry.stale_seconds))
    return [("Cache-Status", f"headgate; hit; ttl={ttl}; detail=store-unavailable")]
