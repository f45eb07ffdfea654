"""No secret that a test makes up passes unseen."""

import base64
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests import planted
from tests.servers.daemon import Daemon, free_port
from tests.servers.target import Target
from tests.test_conftest import Run, run

__all__ = ["run"]


@pytest.mark.parametrize("before", ["", "a", "ab", "alice:", "alice@example.org:"])
def test_every_spelling_of_a_secret_is_found(secret: str, before: str) -> None:
    pair = (before + secret).encode()
    assert planted.leaks(pair)
    assert planted.leaks(f"user={before!r} password={secret!r}")
    assert planted.leaks(quote("/?" + secret + "/", safe=""))
    assert planted.leaks("".join(f"%{byte:02x}" for byte in pair))
    assert planted.leaks(pair.hex())
    assert planted.leaks(base64.b64encode(pair))
    assert planted.leaks(base64.urlsafe_b64encode(pair + b"\xff\xfe").rstrip(b"="))
    assert planted.leaks(secret.lower())
    # A log that cuts a long secret shows its beginning all the same.
    assert planted.leaks(secret[:12])


def test_what_holds_no_secret_is_let_pass(secret: str) -> None:
    assert not planted.leaks("nothing of the sort, planted or not")
    assert not planted.leaks(base64.b64encode(b"alice:open sesame") * 100)
    assert not planted.leaks("Zq7")


@pytest.mark.parametrize("before", ["", "a", "ab"])
def test_a_secret_of_the_gateway_is_found_once_it_was_added(before: str) -> None:
    made = "hg_" + "".join(reversed(planted.plant()[10:])) + "+/~?>"
    assert not planted.leaks(made)
    assert planted.add(made) == made
    data = (before + made).encode()
    assert planted.leaks(data)
    assert planted.leaks(quote(data, safe=""))
    assert planted.leaks(base64.b64encode(data))
    assert planted.leaks(base64.urlsafe_b64encode(data))


IN_A_TEST = """
import base64, logging, subprocess
import pytest

log = logging.getLogger("deep.inside")

def test_debug(secret):
    log.debug("login with %s", secret)

def test_header(secret):
    log.info("Basic %s", base64.b64encode(f"ab:{secret}".encode()).decode())

def test_extra(secret):
    log.debug("look", extra={"header": secret})

def test_exception(secret):
    log.debug("failed", exc_info=ValueError(secret))

def test_handler():
    logging.basicConfig(force=FORCE)

def test_print(secret):
    print(secret)

def test_process(secret):
    subprocess.run(["echo", secret])
"""
AT_THE_END = """
def test_file(secret, tmp_path):
    (tmp_path / "audit.jsonl").write_text(secret)
"""


@pytest.fixture
def innocent() -> str:
    """Return a conftest's fixture that gives what is no secret."""
    return "import pytest\n\n@pytest.fixture\ndef secret():\n    return 'open sesame'\n"


def test_a_test_that_lets_a_secret_out_fails(run: Run, innocent: str) -> None:
    """At any level and in any of its spellings; and the same tests pass with what is no secret."""
    done = run(IN_A_TEST.replace("FORCE", "True"))
    assert done.returncode == 1
    for name in ("debug", "header", "extra", "exception", "handler"):
        assert f"ERROR at teardown of test_{name} " in done.stdout
    assert done.stdout.count("Failed: the test logged a secret: deep.inside") >= 4
    for name in ("print", "process"):
        assert f"FAILED test_sample.py::test_{name}" in done.stdout
    done = run(innocent + IN_A_TEST.replace("FORCE", "False"))
    assert "7 passed" in done.stdout
    assert done.returncode == 0


def test_a_run_that_leaves_a_secret_in_a_log_fails(run: Run, innocent: str) -> None:
    done = run(AT_THE_END)
    assert done.returncode == 1
    assert "1 passed, 1 error" in done.stdout
    assert "audit.jsonl" in done.stdout.partition("Leaked")[2]
    assert run(innocent + AT_THE_END).returncode == 0


@pytest.mark.parametrize("name", ["audit.jsonl", "log", "gateway.log", "stdout"])
def test_log_files_at_any_depth_are_searched(tmp_path: Path, secret: str, name: str) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    file = deep / name
    file.write_text("nothing")
    planted.check_logs(tmp_path)
    file.write_text(f"Basic {secret}")
    with pytest.raises(planted.Leaked, match=name) as caught:
        planted.check_logs(tmp_path)
    assert secret not in str(caught.value)
    file.unlink()


@pytest.mark.parametrize("leaks", [True, False])
def test_a_server_that_logs_a_secret_fails_the_test_that_stops_it(
    tmp_path: Path, secret: str, *, leaks: bool
) -> None:
    port = free_port()
    code = (
        "import socket, sys, time; print(sys.argv[1], flush=True);"
        f" s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    )
    argv = [sys.executable, "-c", code, secret if leaks else "a name"]
    daemon = Daemon(tmp_path, argv, Target(url=f"http://127.0.0.1:{port}/")).start()
    if leaks:
        with pytest.raises(planted.Leaked, match="log"):
            daemon.stop()
        daemon.log.unlink()
    else:
        daemon.stop()
