"""Archives are taken by the usual programs, have the size that was planned, and never differ."""

import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.base import Limits, Member, Source
from processors.builtin.archive import Archive, ArchiveParams
from processors.errors import BadValue, Malformed, SourceChanged, TooLarge
from processors.testing import BufferSink, BytesSource, DiskFolder, FileSource, PlainContext, result
from tests.processors.processes import same_words


def archive(**values: object) -> ArchiveParams:
    """Return parameters by the way that those of a request come."""
    return msgspec.convert(values, ArchiveParams)


DAY_NS = 86_400 * 1_000_000_000
NAMES = ["a", "b/c.tif", "b/d e", "grün/日本.txt", "x" * 120, "long/" * 60 + "end"]


class Held:
    """A folder of given members."""

    version = "1"

    def __init__(self, held: dict[str, bytes], *, name: str = "set", mtime_ns: int = 0) -> None:
        self.name = name
        self.held = held
        self.mtime_ns = mtime_ns

    def members(self) -> Iterator[Member]:
        for path, data in self.held.items():
            yield Member(path, len(data), self.mtime_ns, "1")

    def open(self, member: Member) -> AbstractContextManager[Source]:
        return nullcontext(BytesSource(self.held[member.path], name=member.path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "set"
    for number, name in enumerate(NAMES):
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(number * 700) + b"abc" * 5000)
        os.utime(file, ns=(0, (20_000 + number) * DAY_NS + 3_500_000_000))
    return place


def tar_names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getnames()


def contents(place: Path) -> dict[str, bytes]:
    files = (file for file in place.rglob("*") if file.is_file())
    return {str(file.relative_to(place)): file.read_bytes() for file in files}


@pytest.mark.parametrize("compression", ["stored", "deflate"])
def test_unzip_takes_a_zip(folder: Path, tmp_path: Path, compression: str) -> None:
    params = archive(format="zip", compression=compression)
    file = tmp_path / "made.zip"
    file.write_bytes(result(Archive(), DiskFolder(folder), params))
    subprocess.run(["unzip", "-tq", file], check=True, capture_output=True)
    env = {**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    subprocess.run(["unzip", "-q", file, "-d", tmp_path / "out"], check=True, env=env)
    assert contents(tmp_path / "out" / "set") == contents(folder)
    found = (tmp_path / "out" / "set" / "b" / "c.tif").stat()
    assert int(found.st_mtime) // 2 * 2 == (20_001 * 86_400 + 3) // 2 * 2
    assert found.st_mode & 0o777 == 0o644


def test_tar_takes_a_tar(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "made.tar"
    file.write_bytes(result(Archive(), DiskFolder(folder), archive(format="tar")))
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        ["tar", "-xvf", file, "-C", tmp_path / "out"], check=True, capture_output=True
    )
    assert not done.stderr
    assert contents(tmp_path / "out" / "set") == contents(folder)
    found = (tmp_path / "out" / "set" / "b" / "c.tif").stat()
    assert found.st_mtime == 20_001 * 86_400 + 3


def test_no_member_of_a_zip_needs_a_data_descriptor(folder: Path) -> None:
    made = result(Archive(), DiskFolder(folder), archive(format="zip"))
    with zipfile.ZipFile(io.BytesIO(made)) as made_zip:
        assert all(not info.flag_bits & 0x08 for info in made_zip.infolist())


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_times_and_the_top_folder_can_be_left_out(form: str) -> None:
    params = archive(format=form, times="constant", top=False)
    one = result(Archive(), Held({"a": b"1"}, mtime_ns=20_000 * DAY_NS), params)
    assert one == result(Archive(), Held({"a": b"1"}, name="other"), params)
    if form == "zip":
        assert zipfile.ZipFile(io.BytesIO(one)).infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
    else:
        with tarfile.open(fileobj=io.BytesIO(one)) as tar:
            [info] = tar.getmembers()
        assert (info.name, info.mtime, info.uid, info.uname) == ("a", 0, 0, "")


@pytest.mark.parametrize("mtime_ns", [-(10**18), 0, 2**62, 10**19, 10**25])
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_any_time_is_taken(form: str, mtime_ns: int) -> None:
    made = result(Archive(), Held({"a": b"1"}, mtime_ns=mtime_ns), archive(format=form))
    if form == "zip":
        assert zipfile.ZipFile(io.BytesIO(made)).testzip() is None
    else:
        assert tar_names(made) == ["set/a"]


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\:"), min_size=1, max_size=90)
_PATHS = st.lists(_TEXT.filter(lambda s: s not in {".", ".."}), min_size=1, max_size=4)


@given(
    held=st.dictionaries(_PATHS.map("/".join), st.binary(max_size=2000), max_size=5),
    form=st.sampled_from(["zip", "tar"]),
)
def test_the_size_is_that_of_the_plan(held: dict[str, bytes], form: str) -> None:
    """`result` compares them; Python's readers find every member again."""
    folder = Held(held, mtime_ns=20_000 * DAY_NS)
    made = result(Archive(), folder, archive(format=form))
    found: dict[str, bytes] = {}
    if form == "zip":
        with zipfile.ZipFile(io.BytesIO(made)) as made_zip:
            found = {info.filename: made_zip.read(info) for info in made_zip.infolist()}
    else:
        with tarfile.open(fileobj=io.BytesIO(made)) as tar:
            for member in tar.getmembers():
                file = tar.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
    assert found == {f"set/{path}": data for path, data in held.items()}


@given(
    sizes=st.lists(st.integers(0, 300), max_size=8),
    limit=st.integers(20, 1500),
    count=st.integers(0, 9),
)
def test_the_size_is_right_where_a_zip_needs_64_bits(
    sizes: list[int], limit: int, count: int
) -> None:
    """The same lines of zipfile at limits that a test can reach."""
    held = {f"m{number}": bytes(size) for number, size in enumerate(sizes)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", limit)
        patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", count)
        made = result(Archive(), Held(held), archive(format="zip"))
    assert zipfile.ZipFile(io.BytesIO(made)).testzip() is None


@pytest.mark.slow
def test_a_zip_of_more_than_four_gib(tmp_path: Path) -> None:
    place = tmp_path / "set"
    place.mkdir()
    with (place / "large").open("wb") as file:
        file.truncate((1 << 32) + 5)
    (place / "small").write_bytes(b"behind")
    limits = Limits(output_bytes=1 << 40)
    params = archive(format="zip")
    context = PlainContext(limits=limits)
    planned = Archive().plan(DiskFolder(place), params, context).output.size
    made = tmp_path / "made.zip"
    with BufferSink() as sink:
        Archive().run(DiskFolder(place), params, sink, context)
        with made.open("wb") as file, open(sink.fileno(), "rb", closefd=False) as result_file:
            result_file.seek(0)
            shutil.copyfileobj(result_file, file)
    assert made.stat().st_size == planned
    subprocess.run(["unzip", "-tq", made], check=True, capture_output=True)


@pytest.mark.parametrize(
    "name",
    ["../up", "a/../../up", "/root", "a//b", "./a", "..", "nul\0", "bad\udcff", "n" * 70_000],
)
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_a_name_that_would_leave_the_folder_is_refused(name: str, form: str) -> None:
    for top in (True, False):
        params = archive(format=form, top=top)
        with pytest.raises(Malformed) as caught:
            Archive().plan(Held({name: b""}), params, PlainContext())
        assert len(str(caught.value)) < 250


@pytest.mark.parametrize("name", ["..\\up", "a\\b", "C:up"])
def test_a_name_that_windows_would_misread_is_only_taken_by_a_tar(name: str) -> None:
    params = archive(format="zip", top=False)
    with pytest.raises(Malformed, match="a tar takes it"):
        Archive().plan(Held({name: b""}), params, PlainContext())
    made = result(Archive(), Held({name: b""}), archive(format="tar", top=False))
    assert tar_names(made) == [name]


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_a_member_that_changes_meanwhile_fails_the_whole(folder: Path, form: str) -> None:
    class Changing(DiskFolder):
        def open(self, member: Member) -> FileSource:
            if member.path == "b/d e":
                (folder / "b" / "d e").write_bytes(b"new")
            return super().open(member)

    with pytest.raises(SourceChanged):
        result(Archive(), Changing(folder), archive(format=form))


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_a_member_of_another_size_is_a_changed_source(form: str) -> None:
    class Lying(Held):
        def open(self, member: Member) -> AbstractContextManager[Source]:
            return nullcontext(BytesSource(self.held[member.path] + b"more"))

    with pytest.raises(SourceChanged):
        result(Archive(), Lying({"a": b"1"}), archive(format=form))


@pytest.mark.parametrize(
    ("form", "compression"), [("zip", "stored"), ("zip", "deflate"), ("tar", "stored")]
)
def test_too_many_bytes_are_refused(form: str, compression: str) -> None:
    """Before anything is packed where the size is known; else when it is passed."""
    params = archive(format=form, compression=compression)
    folder = Held({"a": os.urandom(3000), "b": os.urandom(3000)})
    context = PlainContext(limits=Limits(output_bytes=4000))
    with pytest.raises(TooLarge) as caught:
        result(Archive(), folder, params, context)
    assert caught.value.limit == "4000 bytes"


def test_too_many_members_are_refused() -> None:
    context = PlainContext(limits=Limits(members=2))
    with pytest.raises(TooLarge, match="too many files"):
        Archive().plan(Held({"a": b"", "b": b"", "c": b""}), archive(format="tar"), context)


def test_a_tar_does_not_pack() -> None:
    with pytest.raises(BadValue) as caught:
        archive(format="tar", compression="deflate")
    assert caught.value.limit == "compression=stored"


def test_the_sizes_are_told_before() -> None:
    folder = Held({"a": b"1" * 100})
    facts = Archive().info(folder, PlainContext())
    assert facts["members"] == 1
    assert facts["bytes"] == 100
    for form, key in (("zip", "zip_stored_bytes"), ("tar", "tar_bytes")):
        assert facts[key] == len(result(Archive(), folder, archive(format=form)))


SCRIPT = """
import hashlib, sys
from processors.builtin.archive import Archive, ArchiveParams
from processors.testing import DiskFolder, result
for form, compression in (("zip", "stored"), ("zip", "deflate"), ("tar", "stored")):
    params = ArchiveParams(format=form, compression=compression)
    print(hashlib.sha256(result(Archive(), DiskFolder(sys.argv[1]), params)).hexdigest())
"""


def test_two_processes_make_the_same_bytes(folder: Path, root: Path) -> None:
    worlds = ({"TZ": "UTC", "LC_ALL": "C"}, {"TZ": "Asia/Tokyo", "LC_ALL": "C"})
    assert len(set(same_words(SCRIPT, folder, root, worlds))) == 3
