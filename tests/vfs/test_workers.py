"""How many processes serve, and that a configuration gets from one to the other as it is."""

import pickle
from pathlib import Path

import pytest

from vfs import config, workers
from vfs.auth.passwords import hash_password
from vfs.toml_file import ConfigError

LOCAL = '[mounts."/a"]\nprovider = "local"\nroot = "."\n'
MEMORY = '[mounts."/m"]\nprovider = "memory"\n'
BESIDE = '[[mounts."/a".replicas]]\nprovider = "memory"\n'
WHOLE = """
[server]
listen = "0.0.0.0:8080"
public_url = "https://gateway.example.org"
trusted_proxies = ["10.0.0.0/8"]
workers = 3

[mounts."/a"]
provider = "local"
root = "."
cache = "read"

[mounts."/far"]
provider = "sftp"
host = "site.example.org"
user = "me"
password_env = "PASSWORD"

[[mounts."/a".replicas]]
provider = "local"
root = "/"

[[rules]]
path = "/a"
who = ["group:staff", "user:iam:1"]
rights = ["list", "read"]

[users.ann]
password_hash = "{hash}"
groups = ["staff"]

[oidc.iam]
issuer = "https://iam.example.org"
groups = { "/staff" = "staff" }

[limits]
requests_per_second = 5
"""


def load(folder: Path, text: str) -> config.Config:
    file = folder / "headgate.toml"
    file.write_text(text)
    return config.load(file)


def test_a_configuration_arrives_as_it_is(tmp_path: Path) -> None:
    """A worker is handed what the supervisor has read."""
    whole = load(tmp_path, WHOLE.replace("{hash}", hash_password("a long password")))
    again = pickle.loads(pickle.dumps(whole))
    assert again == whole
    assert type(again.server.listen) is type(whole.server.listen)
    assert [type(mount.options) for mount in again.mounts] == [
        type(mount.options) for mount in whole.mounts
    ]


def test_a_process_for_each_core_unless_a_number_is_given(tmp_path: Path) -> None:
    assert workers.count(load(tmp_path, LOCAL)) == workers.cores() >= 1
    given = load(tmp_path, f"[server]\nworkers = 5\n{LOCAL}")
    assert workers.count(given) == 5
    assert workers.count(given, 2) == 2
    assert workers.why_one(given) == ""


def test_a_container_s_share_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share = tmp_path / "cpu.max"
    monkeypatch.setattr(workers, "_CPU_MAX", share)
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(8)))
    for text, cores in (("max 100000", 8), ("150000 100000", 2), ("1000 100000", 1), ("?", 8)):
        share.write_text(f"{text}\n")
        assert workers.cores() == cores


@pytest.mark.parametrize("text", [MEMORY, LOCAL + MEMORY, LOCAL + BESIDE])
def test_what_lives_in_memory_forces_one_and_says_so(tmp_path: Path, text: str) -> None:
    settings = load(tmp_path, f"[server]\nworkers = 4\n{text}")
    assert workers.count(settings) == workers.count(settings, 4) == 1
    assert workers.why_one(settings).startswith("one process serves, not 4: what mount /")
    assert workers.why_one(settings, 1) == ""
    with pytest.raises(ConfigError, match="needs a gateway of one process"):
        workers.check_several(settings)


@pytest.mark.parametrize("number", ["0", "257", "-1", '"two"'])
def test_a_wrong_number_is_refused(tmp_path: Path, number: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.workers"):
        load(tmp_path, f"[server]\nworkers = {number}\n{LOCAL}")
