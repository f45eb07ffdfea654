"""Weighted lists of what a client would like (RFC 9110, 12.4.2). They advise, so none is wrong."""

import re
from collections.abc import Iterator, Sequence

_WEIGHT = re.compile(
    r"[ \t]*q[ \t]*=[ \t]*(0?\.[0-9]{1,9}|[01](?:\.[0-9]{0,9})?)[ \t]*", re.IGNORECASE
)


def weighted(value: str) -> Iterator[tuple[str, float]]:
    """Yield each item in lower case with its weight, 1 where none is given.

    Other parameters are left out; an item with a weight that is none is left out as a whole.
    """
    for member in value.split(","):
        item, *parameters = member.split(";")
        item = item.strip(" \t").lower()
        weight = 1.0
        for parameter in parameters:
            if parameter.partition("=")[0].strip(" \t").lower() == "q":
                found = _WEIGHT.fullmatch(parameter)
                weight = min(float(found[1]), 1.0) if found else -1.0
        if item and weight >= 0:
            yield item, weight


def choose_media_type(accept: str | None, offers: Sequence[str]) -> str:
    """Return the offer that an Accept header likes best; the first when it likes none or all.

    The most specific range that covers an offer weighs it; equal weights keep the order of offers.
    """
    if accept is None:
        return offers[0]
    weights = dict(weighted(accept))
    best, best_weight = offers[0], 0.0
    for offer in offers:
        kind = offer.partition("/")[0]
        weight = weights.get(offer, weights.get(f"{kind}/*", weights.get("*/*", 0.0)))
        if weight > best_weight:
            best, best_weight = offer, weight
    return best
