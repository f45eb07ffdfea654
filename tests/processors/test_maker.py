"""The maker: each derived file is made once, exactly, and known by where it came from."""

from hashlib import sha256

import pytest

from processors.maker import Maker
from tests.processors.tiny import Bytes, derive

DATA = bytes(range(256)) * 1000


def read(maker: Maker, result: object) -> bytes:
    with maker.open(result) as file:  # type: ignore[arg-type]
        return file.read_at(0, 1 << 30)


def test_a_file_is_made_kept_and_told_of(maker: Maker) -> None:
    source, wanted = Bytes(DATA), derive("copy")
    assert maker.cached(wanted) is None
    assert maker.plan(wanted, source.open).output.size == len(DATA)
    result = maker.make(wanted, source.open, who="ann")
    assert read(maker, result) == DATA
    assert (result.size, result.media_type) == (len(DATA), "text/x-copy")
    assert result.sha256 == sha256(DATA).hexdigest()
    assert {"queue", "read", "total"} <= set(result.timings)
    assert maker.cached(wanted) == result
    told = maker.provenance(wanted)
    assert told is not None
    assert (told.id, told.who, told.source) == (result.provenance, "ann", "/data/bytes")
    assert [step.processor for step in told.steps] == ["copy"]
    assert maker.records == [told]  # type: ignore[attr-defined]
    assert maker.make(wanted, source.open, who="bob") == result
    assert maker.purge(wanted)
    assert not maker.purge(wanted)
    assert maker.cached(wanted) is None
    with pytest.raises(FileNotFoundError):
        maker.open(result)
