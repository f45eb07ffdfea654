"""What the documents tell people to type works, and prints what they say."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

# ```console: typed and run.  ```text: must be printed.  ```toml file=NAME: written to NAME.
BLOCK = re.compile(r"^```(console|text|toml file=\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

PORT = "8080"


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def script_of(text: str, port: str) -> tuple[str, list[str]]:
    """Return a document's commands as one shell script, and the lines that it must print."""
    lines = ["set -euo pipefail"]
    expected: list[str] = []
    for kind, content in BLOCK.findall(text.replace(PORT, port)):
        if kind == "text":
            expected += content.splitlines()
        elif kind == "console":
            for line in content.splitlines():
                lines.append(line)
                if line.endswith("&"):
                    # A reader waits for the server to say that it is ready.
                    probe = f"curl --no-fail -so {os.devnull} http://127.0.0.1:{port}/"
                    lines.append(f"until {probe}; do kill -0 $!; sleep 0.1; done")
                elif line.startswith("kill %"):
                    lines[-1] = "kill $!; wait $! || true"
        else:
            name = kind.partition("=")[2]
            lines += [f"cat > {name} <<'END'", *content.splitlines(), "END"]
    return "\n".join(lines), expected


@pytest.mark.server("curl")
@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md"])
def test_commands_of_the_document_run(document: str, root: Path, tmp_path: Path) -> None:
    """Every command ends well, every answer is below 400, every line shown is printed."""
    port = free_port()
    script, expected = script_of((root / document).read_text(), port)
    assert "headgate serve" in script
    # Where the reader has an environment of his own, this one stands in.
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    command = tmp_path / ".venv" / "bin" / "headgate"
    start = "import sys; from vfs.cli import main; sys.argv[0] = 'headgate'; sys.exit(main())"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{start}" "$@"\n')
    command.chmod(0o755)
    (tmp_path / "pyproject.toml").write_bytes((root / "pyproject.toml").read_bytes())
    (tmp_path / ".curlrc").write_text("fail\nsilent\nshow-error\n")
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "CURL_HOME": str(tmp_path),
        "HOME": str(tmp_path),
        "no_proxy": "127.0.0.1",
    }
    with subprocess.Popen(
        ["bash", "-c", f"trap 'kill $(jobs -p) 2>{os.devnull} || true' EXIT\n{script}"],
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
