"""Bytes from one store to another, in constant memory."""

from providers.base import Entry, Reader, Writer
from providers.errors import Corrupted

BLOCK_BYTES = 1 << 20


def pour(reader: Reader, writer: Writer) -> Entry:
    """Copy everything, check the size on both sides, commit last; return the new entry.

    Raises Corrupted, with nothing changed, when the source gives fewer bytes than it promised.
    """
    size = reader.entry.size
    offset = 0
    while block := reader.read_at(offset, BLOCK_BYTES):
        writer.write(block)
        offset += len(block)
    if offset != size:
        raise Corrupted(detail=f"the source gave {offset} bytes instead of {size}")
    entry = writer.commit()
    if entry.size != size:
        raise Corrupted(detail=f"the target holds {entry.size} bytes instead of {size}")
    return entry


def same_bytes(left: Reader, right: Reader) -> bool:
    """Tell whether two files hold the same, by reading both."""
    if left.entry.size != right.entry.size:
        return False
    offset = 0
    while block := left.read_at(offset, BLOCK_BYTES):
        if right.read_at(offset, len(block)) != block:
            return False
        offset += len(block)
    return True
