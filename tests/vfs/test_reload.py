"""A changed file is applied while transfers go on; a wrong one changes nothing."""

import hashlib
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from providers.errors import NotFound
from vfs import config, running
from vfs.app import App
from vfs.auth.caller import ANONYMOUS
from vfs.toml_file import ConfigError

if TYPE_CHECKING:
    from tests.vfs.conftest import Command

SERVER = '[server]\nlisten = "127.0.0.1:0"\n'
A = '[mounts."/a"]\nprovider = "local"\nroot = "a"\n'
B = '[mounts."/b"]\nprovider = "local"\nroot = "b"\n'
MEMORY = '[mounts."/m"]\nprovider = "memory"\n'
FILE_BYTES = 64 << 20


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            number: int = answer.status
            return number
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def put(url: str, data: bytes) -> None:
    request = urllib.request.Request(url, data=data, method="PUT")
    urllib.request.urlopen(request, timeout=10).close()


def test_a_changed_file_is_applied(headgate: "Command") -> None:
    """A store that stays keeps what it holds; one that goes is gone; a new one is there."""
    headgate.write(SERVER + A + MEMORY)
    _, url = headgate.serve("--config", "headgate.toml")
    put(f"{url}/m/kept", b"kept")
    headgate.write(SERVER + B + MEMORY)
    done = headgate.run("reload", "--config", "headgate.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the new configuration is in force: 2 mounts" in done.stdout
    assert [status(f"{url}/{path}") for path in ("a/", "b/", "m/kept")] == [404, 200, 200]


def test_a_reload_puts_a_cache_between_and_takes_it_away(headgate: "Command") -> None:
    """What others change shows late or at once; a table [cache] needs a restart."""
    cached = A + 'cache = "read"\n'
    headgate.write(SERVER + A)
    _, url = headgate.serve("--config", "headgate.toml")
    file = headgate.folder / "a" / "f"
    for table, is_late in ((cached, True), (A, False), (cached, True)):
        headgate.write(SERVER + table)
        assert headgate.run("reload", "--config", "headgate.toml").returncode == 0
        put(f"{url}/a/f", b"through the gateway")
        with urllib.request.urlopen(f"{url}/a/f", timeout=10) as answer:
            assert answer.read() == b"through the gateway"
        file.write_bytes(b"by another program")
        with urllib.request.urlopen(f"{url}/a/f", timeout=10) as answer:
            told = b"through the gateway" if is_late else b"by another program"
            assert answer.read() == told
    headgate.write(SERVER + cached + "[cache]\nsize_bytes = 1\n")
    done = headgate.run("reload", "--config", "headgate.toml")
    assert "only a restart changes cache.size_bytes" in done.stdout


def test_a_download_runs_across_a_reload_that_drops_its_mount(headgate: "Command") -> None:
    headgate.write(SERVER + A + B)
    data = bytes(range(256)) * (FILE_BYTES // 256)
    (headgate.folder / "a" / "big").write_bytes(data)
    _, url = headgate.serve("--config", "headgate.toml")
    with urllib.request.urlopen(f"{url}/a/big", timeout=30) as answer:
        digest = hashlib.sha256(answer.read(100))
        headgate.write(SERVER + B)
        assert headgate.run("reload", "--state-dir", "state").returncode == 0
        assert status(f"{url}/a/big") == 404
        while block := answer.read(1 << 20):
            digest.update(block)
    assert digest.digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (SERVER + B + "[x]\n", ":6: there is no section [x]"),
        (SERVER + "[", ":3: this is not TOML"),
        ("", ":1: the configuration mounts no store"),
    ],
)
def test_a_wrong_file_changes_nothing(headgate: "Command", wrong: str, told: str) -> None:
    headgate.write(SERVER + A)
    process, url = headgate.serve("--config", "headgate.toml")
    headgate.write(wrong)
    assert headgate.refused("reload", "--config", "headgate.toml").startswith(
        f"headgate.toml{told}"
    )
    line = headgate.refused("reload", "--state-dir", "state")
    assert line.startswith(f"process {process.pid}: {headgate.folder}/headgate.toml{told}")
    assert (status(f"{url}/a/"), status(f"{url}/b/")) == (200, 404)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert "the configuration stays as it was" in errors
    assert "Traceback" not in errors


def test_what_only_a_restart_changes_is_told(headgate: "Command") -> None:
    headgate.write(SERVER + A)
    headgate.serve("--config", "headgate.toml")
    headgate.write(f'{SERVER}cache_dir = "elsewhere"\n{A}')
    for _ in range(2):
        done = headgate.run("reload", "--config", "headgate.toml")
        assert done.stdout.endswith("; only a restart changes server.cache_dir\n")


def test_many_signals_at_once_end_in_the_last_file(headgate: "Command") -> None:
    headgate.write(SERVER + A)
    process, url = headgate.serve("--config", "headgate.toml")
    for text in (B, A, A + B) * 5:
        headgate.write(SERVER + text)
        process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 20
    while (status(f"{url}/a/"), status(f"{url}/b/")) != (200, 200):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert process.poll() is None


def test_a_mark_that_outlived_its_process_is_swept(headgate: "Command") -> None:
    """After kill -9 no stranger that got the same process id is ever signalled."""
    headgate.write(SERVER + A)
    process, _ = headgate.serve("--config", "headgate.toml")
    state = headgate.folder / "state"
    assert running.processes(state) == [process.pid]
    process.kill()
    process.wait(timeout=30)
    assert running.processes(state) == []
    assert list((state / "running").iterdir()) == []


def test_several_gateways_of_one_state_directory_all_reload(headgate: "Command") -> None:
    headgate.write(SERVER + A)
    urls = [headgate.serve("--config", "headgate.toml")[1] for _ in range(2)]
    headgate.write(SERVER + B)
    done = headgate.run("reload", "--config", "headgate.toml")
    assert done.stdout.count("the new configuration is in force") == 2
    assert [status(f"{url}/b/") for url in urls] == [200, 200]


def test_a_hang_up_stops_a_gateway_without_a_file(headgate: "Command") -> None:
    headgate.write("")
    process, _ = headgate.serve("a", "--listen", "127.0.0.1:0")
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=30) == 0


def app_of(folder: Path, text: str) -> App:
    return App(load(folder, text))


def load(folder: Path, text: str) -> config.Config:
    for name in ("a", "b"):
        (folder / name).mkdir(exist_ok=True)
    path = folder / "headgate.toml"
    path.write_text(text)
    return config.load(path)


def test_a_reload_never_opens_a_reachable_gateway_to_everybody(tmp_path: Path) -> None:
    """The file moves to loopback and drops its rules, but the socket is still the old one."""
    rule = '[[rules]]\npath = "/a"\nwho = ["user:alice"]\nrights = ["read"]\n'
    app = app_of(tmp_path, f'[server]\nlisten = "0.0.0.0:0"\n{A}{rule}')
    with pytest.raises(ConfigError, match=r"without .* would let everybody in"):
        app.reload(load(tmp_path, SERVER + A))
    assert not app.tree.rights.leads_somewhere(ANONYMOUS, "/a")
    app.close()


def test_a_store_is_made_anew_only_when_its_configuration_changed(tmp_path: Path) -> None:
    app = app_of(tmp_path, A + B)
    first = {path: mount.primary for path, mount in app.tree.table.mounts.items()}
    app.reload(load(tmp_path, A + B.replace('"b"', '"a"')))
    second = {path: mount.primary for path, mount in app.tree.table.mounts.items()}
    assert second["/a"] is first["/a"]
    assert second["/b"] is not first["/b"]
    app.close()


def test_two_mounts_of_equal_configuration_are_two_stores(tmp_path: Path) -> None:
    app = app_of(tmp_path, MEMORY + MEMORY.replace("/m", "/n"))
    with app.tree.create(ANONYMOUS, "/m/x") as writer:
        writer.commit()
    with pytest.raises(NotFound):
        app.tree.stat(ANONYMOUS, "/n/x")
    app.close()
