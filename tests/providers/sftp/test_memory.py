"""Memory that is lent comes back when nobody holds a view of it, and never before."""

import gc

from providers.sftp_memory import STRETCH_BYTES, SftpMemory


def test_a_block_comes_back_with_its_last_view() -> None:
    memory = SftpMemory()
    block = memory.take()
    assert len(block) == STRETCH_BYTES
    block[:4] = b"mark"
    part = block[2:4]
    del block
    other = memory.take()
    assert bytes(other[:4]) != b"mark"
    assert bytes(part) == b"rk"
    del part
    again = memory.take()
    assert bytes(again[:4]) == b"mark"
    del other, again
    gc.collect()
    assert len(memory._kept) == 2


def test_no_more_is_kept_than_is_of_use() -> None:
    memory = SftpMemory()
    blocks = [memory.take() for _ in range(40)]
    del blocks
    assert len(memory._kept) == 32
