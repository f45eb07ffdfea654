"""Uploads in parts with rclone, and by hand over a gateway that is killed in the middle."""

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clients.client import run
from tests.e2e.wire import ask, done, members
from tests.servers import headgate
from tests.servers.daemon import Daemon
from tests.servers.programs import find

_PART = 4 << 20
_UPLOAD = "remote.php/dav/uploads/ann/movie"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Daemon]:
    with headgate.launch(tmp_path) as daemon:
        yield daemon


@pytest.mark.server("rclone")
@pytest.mark.parametrize("mount", [headgate.LOCAL, headgate.MEMORY])
def test_rclone_uploads_in_parts(gateway: Daemon, tmp_path: Path, mount: str) -> None:
    """vendor=nextcloud sends a large file in parts, and reads names and times back."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(35 << 20))
    os.utime(source, (1405659156, 1405659156))
    environment = {
        "RCLONE_CONFIG": str(tmp_path / "rclone.conf"),
        "RCLONE_CONFIG_HG_TYPE": "webdav",
        "RCLONE_CONFIG_HG_URL": f"{gateway.target.url}remote.php/dav/files/ann",
        "RCLONE_CONFIG_HG_VENDOR": "nextcloud",
        "RCLONE_CONFIG_HG_NEXTCLOUD_CHUNK_SIZE": "10Mi",
        "RCLONE_RETRIES": "1",
        "RCLONE_LOW_LEVEL_RETRIES": "1",
    }
    (tmp_path / "rclone.conf").touch()
    told = _rclone(environment, "copyto", source, f"hg:{mount}/a b/movie", "-vv", "--dump=headers")
    assert told.count("PUT /remote.php/dav/uploads/ann/rclone-chunked-upload-") == 4
    assert "MOVE /remote.php/dav/uploads/ann/" in told
    (listed,) = json.loads(_rclone(environment, "lsjson", f"hg:{mount}/a b"))
    assert (listed["Name"], listed["Size"]) == ("movie", 35 << 20)
    assert listed["ModTime"].startswith("2014-07-18T04:52:36")
    _rclone(environment, "copyto", f"hg:{mount}/a b/movie", tmp_path / "back")
    assert _digest(tmp_path / "back") == _digest(source)
    assert list((tmp_path / "state" / "uploads").iterdir()) == []


def test_an_upload_goes_on_after_a_kill(gateway: Daemon, tmp_path: Path) -> None:
    """Only the part that was on its way is sent again; the old content stays until the end."""
    target = gateway.target
    parts = [os.urandom(_PART) for _ in range(5)]
    whole = b"".join(parts)
    done(ask(target, "PUT", "local/movie", b"old"), "PUT")
    done(ask(target, "MKCOL", _UPLOAD, OC_Total_Length=str(len(whole))), "MKCOL")
    for number in (1, 2, 4):
        done(ask(target, "PUT", f"{_UPLOAD}/{number}", parts[number - 1]), "PUT")
    with _half_sent(target.port, 3, parts[2]):
        _until_there(tmp_path / "state" / "uploads", "*/3.*")
        gateway.kill()
    gateway.start()
    assert ask(target, "GET", "local/movie").body == b"old"
    arrived = members(target, _UPLOAD)
    assert arrived == {"1", "2", "4"}
    assert ask(target, "MOVE", f"{_UPLOAD}/.file", Destination="/local/movie").status == 400
    for missing in {"1", "2", "3", "4", "5"} - arrived:
        done(ask(target, "PUT", f"{_UPLOAD}/{missing}", parts[int(missing) - 1]), "PUT")
    checksum = f"SHA256:{hashlib.sha256(whole).hexdigest()}"
    done(
        ask(
            target,
            "MOVE",
            f"{_UPLOAD}/.file",
            Destination=f"{target.url}remote.php/dav/files/ann/local/movie",
            OC_Checksum=checksum,
        ),
        "MOVE",
    )
    assert (tmp_path / "files" / "movie").read_bytes() == whole
    assert list((tmp_path / "state" / "uploads").iterdir()) == []


def test_a_cut_part_is_no_part(gateway: Daemon) -> None:
    """What was there by its number stays."""
    target = gateway.target
    done(ask(target, "MKCOL", _UPLOAD), "MKCOL")
    done(ask(target, "PUT", f"{_UPLOAD}/1", b"first"), "PUT")
    for number in (1, 2):
        with _half_sent(target.port, number, bytes(_PART)) as connection:
            connection.shutdown(socket.SHUT_WR)
            assert b" 400 " in connection.recv(4096)
    assert members(target, _UPLOAD) == {"1"}
    done(ask(target, "MOVE", f"{_UPLOAD}/.file", Destination="/memory/f"), "MOVE")
    assert ask(target, "GET", "memory/f").body == b"first"


def test_a_part_of_no_upload_is_refused_before_it_is_sent(gateway: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", gateway.target.port), timeout=10) as connection:
        connection.sendall(_head(1, _PART, "Expect: 100-continue\r\n"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 404 ")


def _half_sent(port: int, number: int, part: bytes) -> socket.socket:
    """Return a connection over which half of a part has gone."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(_head(number, len(part)) + part[: len(part) // 2])
    return connection


def _until_there(folder: Path, pattern: str) -> None:
    end = time.monotonic() + 10
    while not any(path.stat().st_size for path in folder.glob(pattern)):
        assert time.monotonic() < end
        time.sleep(0.01)


def _head(number: int, size: int, fields: str = "") -> bytes:
    return (
        f"PUT /{_UPLOAD}/{number} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Length: {size}\r\n{fields}\r\n"
    ).encode()


def _rclone(environment: dict[str, str], *arguments: str | Path) -> str:
    log = Path(environment["RCLONE_CONFIG"]).with_name("rclone.log")
    log.unlink(missing_ok=True)
    printed = run((find("rclone"), *arguments, "--log-file", log), environment=environment)
    return printed or log.read_text()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
