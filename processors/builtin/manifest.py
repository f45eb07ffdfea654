"""Manifest: the digests of all files of a folder, as `sha256sum --check` takes them."""

import json
from collections.abc import Iterator, Mapping

from processors.base import MIB, Context, Folder, Member, Output, Plan, Processor, Sink
from processors.builtin.checksum import (
    ALGORITHMS,
    MEDIA_TYPES,
    ChecksumParams,
    digest_of,
    digits,
    line,
)
from processors.builtin.members import members_of, opened


class Manifest(Processor):
    """Computes the digest of every file beneath a folder, sorted by path.

    `txt` holds lines that `sha256sum --check` takes when it runs in the folder; `json` adds the
    sizes. The size of the result is known before any file is read.
    """

    name = "manifest"
    pattern = "{source:path}/{algorithm:id}"
    params = ChecksumParams
    formats = ("txt", "json")
    takes_folder = True

    def plan(self, source: Folder, params: ChecksumParams, context: Context) -> Plan:  # noqa: D102
        members = members_of(source, context)
        empty = "0" * digits(params.algorithm)
        size = sum(len(part) for part in _text(source, params, ((m, empty) for m in members)))
        return Plan(
            outputs=(Output(media_type=MEDIA_TYPES[params.format], size=size),),
            bytes_wanted=sum(member.size for member in members),
            memory_bytes=64 * MIB,
        )

    def run(self, source: Folder, params: ChecksumParams, sink: Sink, context: Context) -> None:  # noqa: D102
        members = members_of(source, context)

        def digested() -> Iterator[tuple[Member, str]]:
            for done, member in enumerate(members):
                with opened(source, member) as file:
                    digest = digest_of(file, params.algorithm, context)
                yield member, digest
                context.progress(done + 1, len(members))

        for part in _text(source, params, digested()):
            sink.write(part)

    def info(self, source: Folder, context: Context) -> Mapping[str, object]:  # noqa: D102
        members = members_of(source, context)
        return {
            "members": len(members),
            "bytes": sum(member.size for member in members),
            "algorithms": list(ALGORITHMS),
        }

    def values(self, name: str, source: Folder, context: Context) -> tuple[str, ...] | None:  # noqa: D102
        return ALGORITHMS if name == "algorithm" else None


def _text(
    source: Folder, params: ChecksumParams, digests: Iterator[tuple[Member, str]]
) -> Iterator[bytes]:
    """Yield the parts of the result; their lengths do not depend on the digests' digits."""
    if params.format == "txt":
        for member, digest in digests:
            yield line(digest, member.path)
        return
    head = json.dumps({"name": source.name, "algorithm": params.algorithm})
    yield f'{head[:-1]}, "members": ['.encode()
    before = "\n"
    for member, digest in digests:
        entry = json.dumps({"path": member.path, "size": member.size, "digest": digest})
        yield f"{before}{entry}".encode()
        before = ",\n"
    yield b"\n]}\n"
