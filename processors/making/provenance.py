"""Provenance: how a derived file came to be, complete enough to make it again."""

from collections.abc import Mapping
from typing import Any

import msgspec


class ProvenanceStep(msgspec.Struct, frozen=True):
    """One processor with the version and the parameters that it ran with."""

    processor: str
    version: int
    params: Mapping[str, Any] = {}


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """One computation of one derived file.

    `id` names the computation, `key` the result; several computations of one key give the same
    bytes. `who` is the user whose request had it computed. `timings` are seconds by phase.
    """

    id: str
    key: str
    template: str
    template_digest: str
    canonical: str
    source: str
    source_version: str
    steps: tuple[ProvenanceStep, ...]
    media_type: str
    size: int
    sha256: str
    who: str
    made_at_ns: int
    timings: Mapping[str, float]
