"""Digests are those of the usual programs, and their files' sizes are known beforehand."""

import json
import subprocess
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.base import Limits
from processors.builtin.checksum import ALGORITHMS, Checksum, ChecksumParams
from processors.builtin.manifest import Manifest
from processors.errors import Cancelled, SourceChanged, TooLarge
from processors.testing import (
    BytesSource,
    CountingSource,
    DiskFolder,
    FileSource,
    PlainContext,
    result,
)


def checksum(**values: object) -> ChecksumParams:
    """Return parameters by the way that those of a request come."""
    return msgspec.convert(values, ChecksumParams)


PROGRAMS = {"sha256": "sha256sum", "sha512": "sha512sum", "blake2b": "b2sum", "md5": "md5sum"}
DATA = bytes(range(256)) * 20_000  # 5 MB: several pieces, and a rest


@pytest.mark.parametrize(("algorithm", "program"), PROGRAMS.items())
@pytest.mark.parametrize("name", ["plain.tif", "grün mit Raum.tif", "back\\slash", "a\nb\r"])
def test_the_text_is_that_of_the_program(
    tmp_path: Path, algorithm: str, program: str, name: str
) -> None:
    file = tmp_path / name
    file.write_bytes(DATA)
    with FileSource(file) as source:
        made = result(Checksum(), source, checksum(format="txt", algorithm=algorithm))
    printed = subprocess.run([program, "--", name], cwd=tmp_path, capture_output=True, check=True)
    if "\r" in name and not printed.stdout.startswith(b"\\"):
        pytest.skip("this coreutils does not escape names")
    assert made == printed.stdout


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_json_says_what_was_summed(algorithm: str) -> None:
    params = checksum(format="json", algorithm=algorithm)
    facts = json.loads(result(Checksum(), BytesSource(DATA, name="ü.bin"), params))
    assert facts["name"] == "ü.bin"
    assert facts["size"] == len(DATA)
    assert facts["algorithm"] == algorithm
    if algorithm == "crc32":
        assert facts["digest"] == f"{zlib.crc32(DATA):08x}"
    if algorithm == "adler32":
        assert facts["digest"] == f"{zlib.adler32(DATA):08x}"


@given(st.binary(max_size=300), st.sampled_from(ALGORITHMS), st.sampled_from(["txt", "json"]))
def test_the_size_is_known_and_the_digest_depends_on_the_bytes(
    data: bytes, algorithm: str, form: str
) -> None:
    params = checksum(format=form, algorithm=algorithm)
    one = result(Checksum(), BytesSource(data), params)
    assert one == result(Checksum(), BytesSource(data), params)
    assert one != result(Checksum(), BytesSource(data + b"x"), params)


def test_a_far_file_is_read_in_few_round_trips() -> None:
    source = CountingSource(BytesSource(bytes(20 << 20)))
    result(Checksum(), source, checksum(format="txt"))
    assert source.bytes == 20 << 20
    assert source.trips == 2


def test_a_file_that_becomes_shorter_is_a_changed_source() -> None:
    source = BytesSource(b"12345")

    class Longer(CountingSource):
        def __init__(self) -> None:
            super().__init__(source)
            self.size = 9

    with pytest.raises(SourceChanged, match="ends at byte 5"):
        result(Checksum(), Longer(), checksum(format="txt"))


def test_work_that_nobody_wants_stops() -> None:
    context = PlainContext()
    context.is_wanted = False
    with pytest.raises(Cancelled):
        result(Checksum(), BytesSource(DATA), checksum(format="txt"), context)


@pytest.mark.parametrize(("algorithm", "program"), PROGRAMS.items())
def test_a_manifest_is_taken_by_the_program(tmp_path: Path, algorithm: str, program: str) -> None:
    folder = tmp_path / "data"
    for name in ["b", "a/deep/er", "a b", "new\nline", "ä"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    params = checksum(format="txt", algorithm=algorithm)
    made = result(Manifest(), DiskFolder(folder), params)
    check = [program, "--check", "--strict", "-"]
    done = subprocess.run(check, cwd=folder, input=made, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b": OK") == 5


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_manifest_in_json_lists_every_file(tmp_path: Path, count: int) -> None:
    for number in range(count):
        (tmp_path / f"{number}").write_bytes(bytes(number))
    folder = DiskFolder(tmp_path, name="set")
    facts = json.loads(result(Manifest(), folder, checksum(format="json")))
    assert facts["name"] == "set"
    assert [member["path"] for member in facts["members"]] == [str(n) for n in range(count)]
    assert [member["size"] for member in facts["members"]] == list(range(count))


def test_a_folder_with_too_many_files_is_refused(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}").touch()
    context = PlainContext(limits=Limits(members=3))
    with pytest.raises(TooLarge) as caught:
        Manifest().plan(DiskFolder(tmp_path), checksum(format="txt"), context)
    assert caught.value.limit == "3 files"
