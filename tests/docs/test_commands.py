"""What the documents tell people to type works, and prints what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.daemon import free_port
from tests.servers.programs import Missing, find

# ```console: typed and run.  ```text: must be printed.  ```toml file=NAME: written to NAME.
# ```console mount, ```text mount: likewise, where this machine can mount.
BLOCK = re.compile(
    r"^```(console|text|toml)( mount)?(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL
)

PORT = "8080"


def script_of(text: str, port: str, *, mounts: bool) -> tuple[str, list[str]]:
    """Return a document's commands as one shell script, and the lines that it must print."""
    lines = ["set -euo pipefail"]
    expected: list[str] = []
    for kind, needs_mount, name, content in BLOCK.findall(text.replace(PORT, port)):
        if needs_mount and not mounts:
            continue
        if kind == "text":
            expected += content.splitlines()
        elif kind == "console":
            for line in content.splitlines():
                lines.append(line)
                if line.endswith("&"):
                    # A reader waits for the server to say that it is ready.
                    probe = f"curl --no-fail -kso {os.devnull} %s://127.0.0.1:{port}/"
                    tries = " || ".join(probe % scheme for scheme in ("http", "https"))
                    lines.append(f"until {tries}; do kill -0 $!; sleep 0.1; done")
                elif line.startswith("kill %"):
                    lines[-1] = "kill $!; wait $! || true"
        elif name:
            lines += [f"cat > {name} <<'END'", *content.splitlines(), "END"]
    return "\n".join(lines), expected


# A script that fails leaves neither a mount nor a server.
_CLEAN_UP = (
    f"mountpoint -q drive 2>{os.devnull} && umount -l drive; kill $(jobs -p) 2>{os.devnull} || true"
)
_NEEDED = ("mount.davfs", "/dev/fuse", "fusermount3", "rclone")
_MOUNTING = (
    pytest.mark.server(*_NEEDED),
    pytest.mark.skipif(os.geteuid() != 0, reason="davfs2 mounts as root only"),
)


def _can_mount() -> bool:
    try:
        return os.geteuid() == 0 and all(map(find, _NEEDED))
    except Missing:
        return False


_ELSE = pytest.mark.skipif(_can_mount(), reason="all these commands run with those that mount")


@pytest.mark.server("curl", "openssl")
@pytest.mark.parametrize(
    ("document", "mounts"),
    [
        pytest.param("README.md", False, marks=_ELSE),
        pytest.param("docs/tutorial.md", False, marks=_ELSE),
        pytest.param("docs/howto/mount-as-a-drive.md", False, marks=_ELSE),
        ("docs/howto/derived-files.md", False),
        ("docs/howto/tls.md", False),
        ("docs/howto/use-from-scripts.md", False),
        pytest.param("README.md", True, marks=_MOUNTING),
        pytest.param("docs/tutorial.md", True, marks=_MOUNTING),
        pytest.param("docs/howto/mount-as-a-drive.md", True, marks=_MOUNTING),
    ],
)
def test_commands_of_the_document_run(
    document: str, root: Path, tmp_path: Path, *, mounts: bool
) -> None:
    """Every command ends well, every answer is below 400, every line shown is printed."""
    port = str(free_port())
    script, expected = script_of((root / document).read_text(), port, mounts=mounts)
    assert re.search("headgate (serve|demo)", script)
    # Where the reader has an environment of his own, this one stands in.
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    command = tmp_path / ".venv" / "bin" / "headgate"
    start = "import sys; from vfs.cli import main; sys.argv[0] = 'headgate'; sys.exit(main())"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{start}" "$@"\n')
    command.chmod(0o755)
    # We are root already, where a mount needs it.
    sudo = command.with_name("sudo")
    sudo.write_text('#!/bin/sh\nexec "$@"\n')
    sudo.chmod(0o755)
    if mounts:
        command.with_name("rclone").symlink_to(find("rclone"))
    (tmp_path / "pyproject.toml").write_bytes((root / "pyproject.toml").read_bytes())
    (tmp_path / ".curlrc").write_text("fail\nsilent\nshow-error\n")
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "CURL_HOME": str(tmp_path),
        "HOME": str(tmp_path),
        "no_proxy": "127.0.0.1",
        "PATH": f"{command.parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "TMPDIR": str(tmp_path),
    }
    with subprocess.Popen(
        ["bash", "-c", f"trap '{_CLEAN_UP}' EXIT\n{script}"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            process.terminate()
            raise
    assert process.returncode == 0, printed
    for line in expected:
        assert line in printed
