"""Every built-in kind of derived file, asked of a whole gateway, in its worker processes."""

import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.e2e.wire import ask
from tests.servers import headgate
from tests.servers.daemon import Daemon

LAYERS, HEIGHT, WIDTH = 3, 700, 900
# One template switches the processing mount on; the processors have ready ones.
TEMPLATE = """
[templates.tiffstore]
path = "{subject:id}/{layer:int}/{grid:grid}"
source = "/archive/{subject}.tif"
run = ["tiff.window"]
"""


def stack() -> np.ndarray[Any, Any]:
    return np.random.default_rng(5).integers(0, 4000, (LAYERS, HEIGHT, WIDTH)).astype(np.uint16)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("kinds")
    archive = folder / "archive"
    (archive / "deep").mkdir(parents=True)
    tifffile.imwrite(
        archive / "a.tif", stack(), tile=(256, 256), compression="zlib", photometric="minisblack"
    )
    (archive / "deep" / "notes.txt").write_text("some text\n" * 100)
    Image.fromarray((stack()[0] // 16).astype(np.uint8)).save(archive / "b.png")
    mounts = {"archive": {"provider": "local", "root": str(archive)}}
    with headgate.launch(folder, mounts=mounts, more=TEMPLATE) as daemon:
        yield daemon


def made(gateway: Daemon, path: str) -> bytes:
    """Return a derived file; a size that was told before must be right."""
    head = ask(gateway.target, "HEAD", f"dispel/{path}")
    answer = ask(gateway.target, "GET", f"dispel/{path}")
    assert answer.status == 200, answer.body[:400]
    told = head.header("Content-Length")
    assert not told or int(told) == len(answer.body)
    assert ask(gateway.target, "GET", f"dispel/{path}").body == answer.body
    return answer.body


@pytest.mark.parametrize(
    ("path", "form", "size"),
    [
        ("preview/~/archive/a.tif/~/300", "PNG", (300, 233)),
        ("preview/~/archive/a.tif/~/300,layer=2,tones=minmax.webp", "WEBP", (300, 233)),
        ("thumb/~/archive/a.tif/~/128", "JPEG", (128, 100)),
        ("thumb/~/archive/b.png/~/64.png", "PNG", (64, 50)),
        ("tile/~/archive/a.tif/~/2/3/2", "PNG", (132, 188)),
        ("hist/~/archive/a.tif/~/0.png", "PNG", (700, 400)),
    ],
)
def test_pictures(gateway: Daemon, path: str, form: str, size: tuple[int, int]) -> None:
    with Image.open(io.BytesIO(made(gateway, path))) as image:
        assert (image.format, image.size) == (form, size)
        image.load()


def test_numbers(gateway: Daemon) -> None:
    [band] = json.loads(made(gateway, "stats/~/archive/a.tif/~/1"))["bands"]
    layer = stack()[1]
    assert (band["min"], band["max"], band["count"]) == (layer.min(), layer.max(), layer.size)
    assert band["mean"] == pytest.approx(layer.mean())
    text = made(gateway, "hist/~/archive/a.tif/~/1,bins=16,range=0..4000.csv").decode()
    assert sum(int(line.split(",")[3]) for line in text.splitlines()[1:]) == layer.size
    assert b"<svg" in made(gateway, "hist/~/archive/a.tif/~/1")
    facts = json.loads(made(gateway, "meta/~/archive/a.tif/~/2"))
    assert (facts["layers"], facts["tags"]["TileWidth"]) == (LAYERS, 256)


def test_other_layers_and_formats(gateway: Daemon) -> None:
    highest = tifffile.imread(io.BytesIO(made(gateway, "project/~/archive/a.tif/~/max")))
    assert (highest == stack().max(axis=0)).all()
    window = "project/~/archive/a.tif/~/sum,grid=10-20-30-50,layers=1-3.npy"
    found = np.load(io.BytesIO(made(gateway, window)))
    assert (found == stack()[1:3, 30:50, 10:20].sum(axis=0)).all()
    cog = made(gateway, "convert/~/archive/a.tif/~/1,compression=zstd")
    assert (tifffile.imread(io.BytesIO(cog), key=0) == stack()[1]).all()
    ome = made(gateway, "convert/~/archive/a.tif/~/all.ome.tif")
    assert (tifffile.imread(io.BytesIO(ome)) == stack()).all()
    assert (
        np.load(io.BytesIO(made(gateway, "convert/~/archive/a.tif/~/0.npy"))) == stack()[0]
    ).all()


def test_folders(gateway: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    file.write_bytes(made(gateway, "archive/~/archive/~/stored"))
    subprocess.run(["unzip", "-tq", file], check=True, capture_output=True)
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["archive/a.tif", "archive/b.png", "archive/deep/notes.txt"]
        archive.extractall(tmp_path)
    tar = made(gateway, "archive/~/archive/~/stored.tar")
    listed = subprocess.run(["tar", "tf", "-"], input=tar, check=True, capture_output=True)
    assert listed.stdout.decode().split() == archive.namelist()
    assert made(gateway, "archive/~/archive/~/deflate")
    sums = made(gateway, "manifest/~/archive/~/sha256")
    check = ["sha256sum", "--check", "--strict", "-"]
    subprocess.run(check, cwd=tmp_path / "archive", input=sums, check=True, capture_output=True)
    one = made(gateway, "checksum/~/archive/a.tif/~/sha256").decode()
    digest = hashlib.sha256((tmp_path / "archive" / "a.tif").read_bytes()).hexdigest()
    assert one == f"{digest}  a.tif\n"


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("preview/~/archive/a.tif/~/3000", 413, "2048"),
        ("preview/~/archive/deep/notes.txt/~/300", 501, "TIFF, PNG"),
        ("thumb/~/archive/a.tif/~/100", 400, "128"),
        ("tile/~/archive/a.tif/~/9/0/0", 400, "0 to 2"),
        ("stats/~/archive/a.tif/~/7", 400, "0 to 2"),
        ("convert/~/archive/a.tif/~/all", 413, "1 layers"),
        ("archive/~/archive/~/deflate.tar", 400, "stored"),
        ("checksum/~/archive/a.tif/~/sha3", 400, "sha256"),
        ("checksum/~/archive/none/~/sha256", 404, ""),
    ],
)
def test_what_cannot_be_made_is_refused(gateway: Daemon, path: str, status: int, word: str) -> None:
    answer = ask(gateway.target, "GET", f"dispel/{path}")
    assert (answer.status, word in answer.body.decode()) == (status, True), answer.body[:500]


@pytest.mark.parametrize(
    "name", ["preview", "thumb", "tile", "meta", "stats", "hist", "project", "convert", "checksum"]
)
def test_each_kind_tells_about_a_file(gateway: Daemon, name: str) -> None:
    answer = ask(gateway.target, "GET", f"dispel/{name}/~/archive/a.tif/~/.info.json")
    assert answer.status == 200, answer.body[:300]
    told = answer.body.decode()
    assert str(WIDTH) in told or name == "checksum"
