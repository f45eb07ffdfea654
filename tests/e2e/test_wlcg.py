"""The WLCG JWT compliance suite, as it is run against storage elements, over https.

https://github.com/indigo-iam/wlcg-jwt-compliance-tests: 29 tests. Two of them send the same token
for the same URL and want 200 and 403, so 28 is all that anybody can pass.
"""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import headgate, oidc_issuer, wsgidav_plain
from tests.servers.authority import Authority
from tests.servers.daemon import REPOSITORY, Daemon
from tests.servers.oidc_issuer import OidcIssuer
from tests.servers.programs import Missing, clients_python, wlcg_suite
from tests.servers.target import Target

pytestmark = [pytest.mark.slow, pytest.mark.server("curl", "openssl")]

# It wants the token that "storage.read:/foobar allows to read into the /foobar directory" must let
# in to be refused.
CONTRADICTION = "Trailing slash allows to read into a directory"

ISSUER = """
[oidc.wlcg]
issuer = "{issuer}"
ca_file = "{ca}"
audience = ["URL"]
groups_claim = "wlcg.groups"
base_path = "/wlcg"
"""

# As the suite's README asks: the scopes decide; members of the VO read everything and write
# everywhere but in /protected, which is for the group /wlcg/test.
RULES = """
[[rules]]
path = "/wlcg"
who = ["scope"]
rights = ["list", "read", "create", "modify", "delete", "lock"]

[[rules]]
path = "/wlcg"
who = ["group:/wlcg"]
rights = ["list", "read"]

[[rules]]
path = "/wlcg/wlcg-jwt-compliance"
who = ["group:/wlcg"]
rights = ["list", "read", "create", "modify", "delete", "lock"]

[[rules]]
path = "/wlcg/protected"
who = ["group:/wlcg/test"]
rights = ["list", "read", "create", "modify", "delete", "lock"]
"""

# Any token of the issuer may do what its scopes allow; without scopes, everything.
ALL_TO_ALL = """
[[rules]]
path = "/wlcg"
who = ["authenticated"]
rights = ["list", "read", "create", "modify", "delete", "lock"]
"""

ENDPOINT = """
  headgate:
    desc: the gateway under test
    type: Headgate
    endpoint: {url}
    paths:
      wlcg: /wlcg
"""


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[OidcIssuer]:
    with oidc_issuer.launch(tmp_path_factory.mktemp("issuer"), authority=authority) as running:
        yield running


def test_28_of_29_pass(tmp_path: Path, issuer: OidcIssuer, authority: Authority) -> None:
    with _gateway(tmp_path, issuer, authority, RULES) as gateway:
        verdicts = _verdicts(tmp_path, gateway.target, issuer, authority)
    assert [name for name, verdict in verdicts.items() if verdict != "PASS"] == [CONTRADICTION]


def test_rules_that_give_all_to_all_fail(
    tmp_path: Path, issuer: OidcIssuer, authority: Authority
) -> None:
    """The suite tells right rules from wrong ones, though scopes still bound."""
    with _gateway(tmp_path, issuer, authority, ALL_TO_ALL) as gateway:
        verdicts = _verdicts(tmp_path, gateway.target, issuer, authority)
    assert _passed(verdicts) < 28


def test_a_server_that_takes_any_token_fails(
    tmp_path: Path, issuer: OidcIssuer, authority: Authority
) -> None:
    """The control: the suite is worth something."""
    (tmp_path / "files" / "wlcg" / "protected").mkdir(parents=True)
    with wsgidav_plain.launch(tmp_path, authority=authority) as plain:
        verdicts = _verdicts(tmp_path, plain.target, issuer, authority)
    assert 10 <= _passed(verdicts) <= 16


def _gateway(folder: Path, issuer: OidcIssuer, authority: Authority, rules: str) -> Daemon:
    files = folder / "files"
    (files / "protected").mkdir(parents=True)
    mounts = {"wlcg": {"provider": "local", "root": str(files)}}
    table = ISSUER.format(issuer=issuer.issuer, ca=authority.ca)
    return headgate.launch(folder, mounts=mounts, authority=authority, more=table + rules)


def _passed(verdicts: dict[str, str]) -> int:
    return list(verdicts.values()).count("PASS")


def _verdicts(
    folder: Path, target: Target, issuer: OidcIssuer, authority: Authority
) -> dict[str, str]:
    """Run the suite against a server; return what became of each test."""
    try:
        python, suite = clients_python("robot"), wlcg_suite()
    except Missing as missing:
        pytest.skip(str(missing))
    _run(python, _prepared(suite, folder, target), folder, issuer, authority)
    report = ET.parse(folder / "report" / "output.xml")
    verdicts = {
        str(test.get("name")): str(status.get("status"))
        for test in report.iter("test")
        for status in test.findall("status")
    }
    assert len(verdicts) == 29
    print(f"{_passed(verdicts)} of {len(verdicts)} pass")
    return verdicts


def _prepared(suite: Path, folder: Path, target: Target) -> Path:
    """Copy the suite, add the gateway to its endpoints, keep its files out of common folders."""
    copy = folder / "suite"
    shutil.copytree(suite, copy, ignore=shutil.ignore_patterns(".git"))
    variables = copy / "test" / "variables.yaml"
    variables.write_text(variables.read_text() + ENDPOINT.format(url=target.url.rstrip("/")))
    paths = copy / "test" / "path_enforced_authz.robot"
    paths.write_text(paths.read_text().replace("/tmp/${file.name}", f"{folder}/${{file.name}}"))
    return copy


def _run(python: str, suite: Path, folder: Path, issuer: OidcIssuer, authority: Authority) -> None:
    programs = folder / "bin"
    programs.mkdir()
    script = programs / "oidc-token"
    module = oidc_issuer.__name__
    script.write_text(
        f"#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m {module}"
        f' token {issuer.directory} "$@"\n'
    )
    script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "REQUESTS_CA_BUNDLE": str(authority.ca),
    }
    variables = ("se_alias:headgate", f"x509.trustdir:{authority.folder}")
    done = subprocess.run(
        (
            *(python, "-m", "robot", "--pythonpath", ".:common", "--console", "none"),
            *(word for variable in variables for word in ("--variable", variable)),
            *("--outputdir", str(folder / "report"), "test"),
        ),
        cwd=suite,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (folder / "report" / "output.xml").exists(), done.stdout + done.stderr
