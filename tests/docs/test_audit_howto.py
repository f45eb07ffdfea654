"""What the page on the audit log prints works with the real programs."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.programs import find
from vfs.auth.audit import Audit, AuditRecord

FORGED = '","credential":"refused","address":"192.0.2.99","x":"'


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs" / "howto" / "audit-and-limits.md").read_text()


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    """Give an audit log with some requests."""
    audit = Audit(tmp_path / "audit.jsonl")
    write(audit, user="alice")
    write(audit, user="alice", method="DELETE", status=204, sent=0)
    write(audit, user=None, credential="", address="192.0.2.3", status=401, outcome="refused")
    for address in ("192.0.2.66", "2001:db8::66"):
        write(audit, credential="refused", address=address, status=401, outcome="refused")
    write(audit, user=FORGED, path=FORGED, method=FORGED, request=FORGED)
    audit.note("user added", user="bob")
    yield audit
    audit.close()


def write(audit: Audit, **fields: object) -> None:
    given: dict[str, object] = {
        "time": time.time(),
        "request": "5b1f0c9e77aa4d21",
        "user": 'al"ice\\ ü',
        "credential": "password",
        "address": "192.0.2.7",
        "method": "GET",
        "path": "/site-a/f.tif",
        "status": 200,
        "outcome": "ok",
        "received": 0,
        "sent": 100,
        "ms": 12.411,
    }
    audit.write(AuditRecord(**given | fields))  # type: ignore[arg-type] # as the test spells it


def run(*argv: str | Path, folder: Path) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_has_the_fields_of_a_line(page: str, audit: Audit) -> None:
    (shown,) = re.findall(r"^```json\n(.*)\n```$", page, re.MULTILINE)
    written = json.loads(audit.path.read_text().splitlines()[0])
    assert list(json.loads(shown)) == list(written)


@pytest.mark.server("jq")
def test_the_queries_find_what_they_are_for(page: str, audit: Audit, tmp_path: Path) -> None:
    refused, changed, sent = re.findall(r"^```sh\n(.*)\n```$", page, re.MULTILINE)
    rows = run("sh", "-c", refused, folder=tmp_path).splitlines()
    assert len(rows) == 3
    assert any(row.split() == ["1", "401", "192.0.2.3"] for row in rows)
    (line,) = run("sh", "-c", changed, folder=tmp_path).splitlines()
    assert json.loads(line)["method"] == "DELETE"
    sums = json.loads(run("sh", "-c", sent, folder=tmp_path))
    assert (sums["alice"], sums["-"]) == (100, 100)


@pytest.mark.server("logrotate")
def test_logrotate_moves_it_away_and_no_line_is_lost(
    page: str, audit: Audit, tmp_path: Path
) -> None:
    (snippet,) = re.findall(r"^```logrotate\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    snippet = snippet.replace("/var/lib/headgate/audit.jsonl", str(audit.path))
    config = tmp_path / "rotate.conf"
    # The user of the page is not here; whoever runs the tests owns the file.
    config.write_text(re.sub(r"^ *su .*\n", "", snippet, flags=re.MULTILINE))
    config.chmod(0o644)
    tmp_path.chmod(0o700)
    state = tmp_path / "rotate.state"
    run(find("logrotate"), "--force", "--state", state, config, folder=tmp_path)
    assert not audit.path.exists()
    write(audit)
    time.sleep(1.1)
    write(audit)
    moved = audit.path.with_name("audit.jsonl.1").read_text().splitlines()
    assert (len(moved), len(audit.path.read_text().splitlines())) == (8, 1)


@pytest.mark.server("fail2ban-regex")
def test_fail2ban_finds_refused_logins_and_no_forged_ones(
    page: str, audit: Audit, tmp_path: Path
) -> None:
    (snippet,) = re.findall(r"^```ini\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    filter_file = tmp_path / "headgate.conf"
    filter_file.write_text(snippet)
    told = run(find("fail2ban-regex"), "--out", "ip", audit.path, filter_file, folder=tmp_path)
    assert told.split() == ["192.0.2.66", "2001:db8::66"]
