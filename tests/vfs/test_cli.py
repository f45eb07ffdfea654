import importlib.metadata
import os
import pty
import resource
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vfs import cli

if TYPE_CHECKING:
    from tests.vfs.conftest import Command

MOUNT = '[mounts."/a"]\nprovider = "local"\nroot = "a"\n'
ANY_PORT = '[server]\nlisten = "127.0.0.1:0"\n'


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body


def test_the_script_is_this_command() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="headgate")
    assert script.load() is cli.main


def test_version_and_help_answer(headgate: "Command") -> None:
    version = importlib.metadata.version("headgate")
    assert headgate.run("--version").stdout == f"headgate {version}\n"
    shown = headgate.run("--help")
    assert shown.returncode == 0
    for word in ("demo", "serve", "check-config", "reload", "Examples:"):
        assert word in shown.stdout
    assert headgate.run().stdout == shown.stdout


def test_help_is_quick(headgate: "Command") -> None:
    """The best of five in processor time, so that a busy machine is not taken for a slow import."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert headgate.run("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(once() for _ in range(5)) < 0.15


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("serv",), "headgate: there is no command 'serv'; did you mean 'serve'?"),
        (("serve",), "headgate: serve needs either a DIR or --config FILE"),
        (("serve", "a", "--config", "b"), "headgate: serve needs either a DIR or --config FILE"),
        (("serve", "--config", "x", "--listen", "y"), "headgate: --listen goes with a DIR"),
        (("serve", "--config", "x", "--read-only"), "headgate: --read-only goes with a DIR"),
        (("serve", "gone"), "headgate: 'gone' does not exist"),
        (("serve", "file"), "headgate: 'file' is not a folder"),
        (("serve", ".", "--listen", "80"), "headgate: --listen needs a host and a port"),
        (("serve", ".", "--listen", "0.0.0.0:80"), "headgate: --listen 0.0.0.0:80: one folder is"),
        (("serve", ".", "--listen", "203.0.113.1:80"), "headgate: --listen 203.0.113.1:80: one"),
        (("serve", ".", "--log-level", "loud"), "headgate: Invalid value for '--log-level'"),
        (("serve", "--confg", "x"), "headgate: No such option"),
        (("serve", "--config", "gone.toml"), "gone.toml: the configuration cannot be read"),
        (("check-config",), "headgate: Missing argument 'FILE'"),
        (("check-config", "."), ".: the configuration cannot be read: Is a directory"),
        (("demo", "--port", "70000"), "headgate: Invalid value for '--port'"),
        (("demo", "--keep", "."), "headgate: --keep '.' is not empty"),
        (("reload",), "headgate: reload needs either --config FILE or --state-dir DIR"),
        (("reload", "--state-dir", "."), "headgate: no gateway runs with the state directory '.'"),
    ],
)
def test_wrong_use_is_one_sentence(
    headgate: "Command", arguments: tuple[str, ...], told: str
) -> None:
    (headgate.folder / "file").touch()
    assert headgate.refused(*arguments).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[mounts."/a"]\nprovider = "locl"\n', """2: mounts."/a".provider: there is no provider"""),
        (
            '[mounts."/a"]\nprovider = "local"\n\nroot = "gone"\n',
            """4: mounts."/a".root: '{folder}/gone' does not exist""",
        ),
        (
            MOUNT + '[mounts."/a/"]\nprovider = "memory"\n',
            """4: [mounts."/a/"] is the same mount as [mounts."/a"] in line 1""",
        ),
        (
            '[mounts."/a/../b"]\nprovider = "memory"\n',
            """1: [mounts."/a/../b"] is no path to mount at: a path may not hold""",
        ),
        (
            MOUNT + '[server]\nlisen = "127.0.0.1:1"\n',
            "5: [server] has no key 'lisen'; did you mean 'listen'?",
        ),
        ("[server]\nlisten = \n", "2: this is not TOML"),
        (
            MOUNT + '[server]\ntls_cert = "headgate.toml"\ntls_key = "headgate.toml"\n',
            "5: server.tls_cert and server.tls_key are no matching pair",
        ),
        (
            '[server]\nlisten = "0.0.0.0:0"\n' + MOUNT,
            "2: server.listen '0.0.0.0:0' can be reached by others, but no rule says who",
        ),
    ],
)
def test_a_wrong_file_is_one_sentence_with_line_and_key(
    headgate: "Command", text: str, told: str
) -> None:
    headgate.write(text)
    line = headgate.refused("serve", "--config", "headgate.toml")
    told = told.replace("{folder}", str(headgate.folder))
    assert line.removeprefix(f"{headgate.folder}/").startswith(f"headgate.toml:{told}")


def test_a_missing_extra_is_answered_with_the_install_line(headgate: "Command") -> None:
    """A plugin whose package is missing is installed as pip would; nothing stands in for it."""
    info = headgate.folder / "shelf-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n"
        'Requires-Dist: far-away>=2; extra == "sky"\nProvides-Extra: sky\n'
    )
    (info / "entry_points.txt").write_text("[headgate.providers]\nshelf = shelf_plugin:Store\n")
    (headgate.folder / "shelf_plugin.py").write_text("import far_away\n")
    headgate.environment["PYTHONPATH"] += f":{headgate.folder}"
    headgate.write('[mounts."/a"]\nprovider = "shelf"\n')
    line = headgate.refused("check-config", "headgate.toml")
    assert line.startswith(
        """headgate.toml:2: mounts."/a".provider: the provider 'shelf' of shelf"""
    )
    assert line.endswith("install it with: pip install 'shelf[sky]'")


def test_a_root_that_may_not_be_read_is_refused(headgate: "Command") -> None:
    headgate.write(MOUNT)
    root = headgate.folder / "a"
    root.chmod(0)
    try:
        told = f"""mounts."/a".root: '{root}' may not be read by this user"""
        assert headgate.refused("serve", "--config", "headgate.toml", powerless=True) == (
            f"headgate.toml:3: {told}"
        )
        assert headgate.refused("serve", "a", powerless=True) == (
            "headgate: 'a' may not be read by this user"
        )
    finally:
        root.chmod(0o700)


def test_a_port_in_use_is_refused_with_its_line(headgate: "Command") -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        headgate.write(f'{MOUNT}[server]\nlisten = "127.0.0.1:{port}"\n')
        told = f"127.0.0.1:{port}: the port is in use; stop the other server or listen on another"
        line = headgate.refused("serve", "--config", "headgate.toml")
        assert line.startswith(f"{headgate.folder}/headgate.toml:5: {told}")
        line = headgate.refused("serve", "a", "--listen", f"127.0.0.1:{port}")
        assert line.startswith(f"headgate: {told}")
        assert headgate.refused("demo", "--port", str(port)).startswith(f"headgate: {told}")
    assert list((headgate.folder / "tmp").iterdir()) == []


def test_a_port_without_permission_is_refused(headgate: "Command") -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first <= 1:
        pytest.skip("this system lets every user listen on every port")
    headgate.write(MOUNT)
    line = headgate.refused("serve", "a", "--listen", "127.0.0.1:1", powerless=True)
    assert line == (
        "headgate: 127.0.0.1:1: this user may not listen on that port; choose one above 1023"
    )


def test_an_address_of_another_machine_is_refused(headgate: "Command") -> None:
    rule = '[[rules]]\npath = "/"\nwho = ["anyone"]\nrights = ["read"]\n'
    headgate.write(f'[server]\nlisten = "203.0.113.1:0"\n{MOUNT}{rule}')
    line = headgate.refused("serve", "--config", "headgate.toml")
    assert "headgate.toml:2: 203.0.113.1:0: this machine does not have that address" in line


def test_a_state_directory_that_cannot_be_written_is_refused(headgate: "Command") -> None:
    headgate.write(f'{ANY_PORT}state_dir = "file"\n{MOUNT}')
    (headgate.folder / "file").touch()
    line = headgate.refused("serve", "--config", "headgate.toml")
    assert f"headgate.toml:3: server.state_dir '{headgate.folder}/file' cannot be used" in line


def test_a_folder_is_served_until_it_is_stopped(headgate: "Command") -> None:
    headgate.write("")
    (headgate.folder / "a" / "x y").write_text("hello")
    process, url = headgate.serve("a", "--listen", "127.0.0.1:0", "--read-only")
    assert get(f"{url}/x%20y") == b"hello"
    request = urllib.request.Request(f"{url}/new", data=b"x", method="PUT")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 403
    caught.value.close()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert sorted(path.name for path in headgate.folder.iterdir()) == [
        "a",
        "b",
        "headgate.toml",
        "tmp",
    ]


def test_a_configuration_is_served_and_leaves_no_mark(headgate: "Command") -> None:
    headgate.write(ANY_PORT + MOUNT)
    (headgate.folder / "a" / "x").write_text("hello")
    process, url = headgate.serve("--config", "headgate.toml")
    assert get(f"{url}/a/x") == b"hello"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert list((headgate.folder / "state" / "running").iterdir()) == []


@pytest.mark.parametrize(
    ("listen", "more", "warned"),
    [
        ("0.0.0.0:0", "", True),
        ("0.0.0.0:0", 'trusted_proxies = ["192.0.2.1/32"]\n', False),
        ("127.0.0.1:0", "", False),
    ],
)
def test_passwords_in_clear_are_warned_of(
    headgate: "Command", listen: str, more: str, *, warned: bool
) -> None:
    rule = '[[rules]]\npath = "/a"\nwho = ["user:ann"]\nrights = ["read"]\n'
    server = f'[server]\nlisten = "{listen}"\nstate_dir = "state"\n{more}'
    file = headgate.write(server + MOUNT + rule)
    add = ("user", "add", "ann", "--no-password", "--state-dir", "state")
    assert headgate.run(*add).returncode == 0
    process, _ = headgate.serve("--config", file)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    lines = [line for line in errors.splitlines() if "travel in clear" in line]
    assert len(lines) == warned
    assert all("set server.tls_cert and server.tls_key" in line for line in lines)


def test_a_second_signal_stops_at_once(headgate: "Command") -> None:
    """The first waits for a transfer whose client has stopped reading; the second does not."""
    headgate.write(ANY_PORT + MOUNT)
    with (headgate.folder / "a" / "big").open("wb") as stream:
        stream.truncate(1 << 30)
    process, url = headgate.serve("--config", "headgate.toml")
    with urllib.request.urlopen(f"{url}/a/big", timeout=10) as answer:
        answer.read(1)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=5) == 128 + signal.SIGINT


def test_check_config_shows_what_is_in_force_and_tries_each_store(headgate: "Command") -> None:
    text = f'{ANY_PORT}{MOUNT}[mounts."/m"]\nprovider = "memory"\n'
    headgate.write(text)
    done = headgate.run("check-config", "headgate.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert f'root = "{headgate.folder}/a"\n' in done.stdout
    assert f'state_dir = "{headgate.folder}/state"\n' in done.stdout
    assert "\nok    /a (local) in " in done.stdout
    assert "\nok    /m (memory) in " in done.stdout


def test_check_config_tells_cause_and_way_out_of_a_store_that_is_down(headgate: "Command") -> None:
    """The file is right, so the exit code is 1; the other store is still tried."""
    headgate.write(f'{ANY_PORT}{MOUNT}[mounts."/b"]\nprovider = "local"\nroot = "b"\n')
    root = headgate.folder / "a"
    root.chmod(0o500)
    try:
        done = headgate.run("check-config", "headgate.toml", powerless=True)
    finally:
        root.chmod(0o700)
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("down  /a (local): ")]
    assert "give the gateway's user access" in line
    assert "\nok    /b (local) in " in done.stdout
    assert done.stdout.endswith("The file is right, but 1 of 2 stores are down.\n")


def test_check_config_shows_progress_on_a_terminal(headgate: "Command") -> None:
    headgate.write(ANY_PORT + MOUNT)
    main, terminal = pty.openpty()
    process = subprocess.run(
        [*headgate.python, "check-config", "headgate.toml"],
        cwd=headgate.folder,
        env={**headgate.environment, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=terminal,
        timeout=60,
        check=True,
    )
    os.close(terminal)
    try:
        shown = os.read(main, 65536)
    finally:
        os.close(main)
    assert b"trying the stores" in shown
    assert b"trying" not in process.stdout


def test_a_reader_that_leaves_early_is_no_error(headgate: "Command") -> None:
    headgate.write(ANY_PORT + MOUNT)
    process = headgate.start("check-config", "headgate.toml")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.wait(timeout=30)
    assert process.stderr.read() == ""
