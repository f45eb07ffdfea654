"""Derivation: one derived file, named exactly, before anything is computed."""

import hashlib
from functools import cached_property

import msgspec

from processors.base import Params
from processors.image.encoders import encoders


class Step(msgspec.Struct, frozen=True):
    """One processor of a chain with its version and parameters."""

    processor: str
    version: int
    params: Params


class Derivation(msgspec.Struct, frozen=True, dict=True):
    """What is made from what: all that decides about the bytes of a result.

    `canonical` is the canonical path below the processing mount, `template_digest` stands for the
    text of the template, `source` is a path of the tree in version `source_version`. The result of
    each step is the source of the next.
    """

    template: str
    template_digest: str
    canonical: str
    source: str
    source_version: str
    steps: tuple[Step, ...]

    @cached_property
    def key(self) -> str:
        """A digest of all that decides about the result's bytes; its name in the cache."""
        parts = [self.template_digest, self.canonical, self.source, self.source_version]
        parts += [f"{step.processor}/{step.version}" for step in self.steps]
        parts.append(encoders())
        return hashlib.blake2b(
            "\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=32
        ).hexdigest()
