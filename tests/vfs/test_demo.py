import hashlib
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from tests.cache.test_full import small_disk  # noqa: F401 - a fixture
from vfs import sample

if TYPE_CHECKING:
    from tests.vfs.conftest import Command


def started(headgate: "Command", *arguments: str | Path) -> tuple[subprocess.Popen[str], list[str]]:
    """Start the demo and return what it prints."""
    process = headgate.start("demo", *arguments)
    assert process.stdout is not None
    lines: list[str] = []
    while line := process.stdout.readline():
        lines.append(line.rstrip("\n"))
        if line.startswith("Ctrl-C"):
            break
    return process, lines


def left_over(headgate: "Command") -> list[Path]:
    return list((headgate.folder / "tmp").iterdir())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_what_the_demo_prints_works_as_it_is_and_nothing_is_left(headgate: "Command") -> None:
    process, lines = started(headgate)
    commands = [line.strip() for line in lines if re.match(r"  (curl|echo) ", line)]
    assert len(commands) >= 5
    assert any("No login is needed" in line for line in lines)
    assert any("rclone mount" in line for line in lines)
    assert any("mount -t davfs" in line for line in lines)
    assert not any("\x1b" in line for line in lines)
    outputs = [
        subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=headgate.folder,
            capture_output=True,
            timeout=60,
            check=True,
        ).stdout
        for command in commands
    ]
    assert b"archive/" in outputs[0]
    assert outputs[-1] == b"hello\n"
    window = tifffile.imread(headgate.folder / "window.tif")
    whole = tifffile.imread(headgate.folder / "20181129.tif", key=12)
    assert np.array_equal(window, whole[0:400, 0:1200])
    with tifffile.TiffFile(headgate.folder / "20181129.tif") as tiff:
        assert len(tiff.pages) >= 16
        assert {page.shape for page in tiff.pages} == {(2048, 2048)}
        assert {page.dtype for page in tiff.pages} == {np.dtype("uint16")}
    assert any(str(folder) in "\n".join(lines) for folder in left_over(headgate))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert left_over(headgate) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_signal_while_the_archive_is_written_leaves_nothing(
    headgate: "Command", number: signal.Signals, times: int
) -> None:
    process = headgate.start("demo")
    end = time.monotonic() + 30
    while not left_over(headgate):
        assert time.monotonic() < end
        time.sleep(0.005)
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.02)
    output, errors = process.communicate(timeout=30)
    assert (output, errors) == ("", "")
    assert left_over(headgate) == []


def test_a_hang_up_of_the_terminal_stops_the_demo(headgate: "Command") -> None:
    process, _ = started(headgate)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=30) == 0
    assert left_over(headgate) == []


def test_a_port_in_use_is_passed_over(headgate: "Command") -> None:
    urls = set()
    for _ in range(2):
        _, lines = started(headgate)
        urls.add(lines[0])
    assert len(urls) == 2


def test_a_kept_archive_stays(headgate: "Command") -> None:
    process, _ = started(headgate, "--keep", "kept", "--port", "0")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert (headgate.folder / "kept/archive/312/20181129.tif").stat().st_size > 16 * 2048 * 2048 * 2
    assert left_over(headgate) == []


def test_the_archive_is_the_same_each_time(tmp_path: Path) -> None:
    digests = []
    for place in range(2):
        folder = tmp_path / str(place)
        folder.mkdir()
        steps = sum(1 for _ in sample.write(folder))
        assert steps == sample.pieces()
        digests.append(
            {
                str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in folder.rglob("*")
                if path.is_file()
            }
        )
    assert digests[0] == digests[1]


def test_the_layers_differ_and_hold_something_to_look_at(tmp_path: Path) -> None:
    for _ in sample.write(tmp_path):
        pass
    layers = tifffile.imread(tmp_path / "archive/313/20190114.tif")
    assert layers.shape == (sample.SMALL_LAYERS, sample.SMALL_EDGE, sample.SMALL_EDGE)
    assert all(layer.std() > 500 for layer in layers)
    assert len({layer.tobytes() for layer in layers}) == len(layers)


def test_a_full_disk_is_told_in_one_sentence(headgate: "Command", small_disk: Path) -> None:  # noqa: F811
    done = headgate.run("demo", "--keep", small_disk / "sample")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr
    assert "free some room" in done.stderr
    assert "--keep" in done.stderr
