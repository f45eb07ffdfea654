"""Ten real clients make a checksummed round trip."""

import dataclasses
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests import planted
from tests.e2e import accounts, sites, wire
from tests.e2e.clients.cadaver import Cadaver
from tests.e2e.clients.client import Client
from tests.e2e.clients.curl import Curl
from tests.e2e.clients.davfs2 import Davfs2
from tests.e2e.clients.davix import Davix
from tests.e2e.clients.gfal2 import Gfal2
from tests.e2e.clients.gio import Gio
from tests.e2e.clients.npm_webdav import NpmWebdav
from tests.e2e.clients.rclone import Rclone
from tests.e2e.clients.webdav4 import Webdav4
from tests.e2e.clients.webdavclient3 import Webdavclient3
from tests.servers import headgate
from tests.servers.authority import Authority
from tests.servers.daemon import Daemon
from tests.servers.programs import Missing
from tests.servers.target import Target

pytestmark = pytest.mark.timeout(60)
_CLIENTS: tuple[type[Client], ...] = (
    Cadaver,
    Curl,
    Davfs2,
    Davix,
    Gfal2,
    Gio,
    NpmWebdav,
    Rclone,
    Webdav4,
    Webdavclient3,
)
_WITH_TOKENS: tuple[type[Client], ...] = (Curl, Davix, Gfal2, Rclone)
_CONTENTS = {
    "empty": b"",
    "one-mebibyte.bin": hashlib.shake_256(b"headgate").digest(1 << 20),
    "Grüße aus Köln.txt": "Schöne Grüße\n".encode(),
}


@pytest.mark.parametrize("kind", _CLIENTS, ids=lambda kind: kind.__name__.lower())
def test_round_trip(gateway: Target, tmp_path: Path, kind: type[Client]) -> None:
    """Make a folder, put, list, rename, get, compare by sha256, delete; and look from outside."""
    _round_trip(gateway, tmp_path, kind)


@pytest.mark.server("sshd")
@pytest.mark.xdist_group("site")
@pytest.mark.parametrize(
    "at_site",
    [
        pytest.param(sites.RAW, marks=pytest.mark.slow),
        sites.CACHED,
        pytest.param(sites.WRITE, marks=pytest.mark.slow),
    ],
    indirect=True,
)
@pytest.mark.parametrize("kind", _CLIENTS, ids=lambda kind: kind.__name__.lower())
def test_round_trip_at_an_sftp_site(at_site: Target, tmp_path: Path, kind: type[Client]) -> None:
    """Through the gateway to a real sshd."""
    _round_trip(at_site, tmp_path, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", _CLIENTS, ids=lambda kind: kind.__name__.lower())
def test_round_trip_on_plain_wsgidav(control: Target, tmp_path: Path, kind: type[Client]) -> None:
    """The client itself works: what fails above is the gateway's."""
    _round_trip(control, tmp_path, kind)


@pytest.fixture(scope="module")
def accounts_gateways(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[dict[str, Daemon]]:
    """Give gateways with an account, by http and by https."""
    folders = {scheme: tmp_path_factory.mktemp(f"accounts-{scheme}") for scheme in ("http", "tls")}
    with (
        accounts.launch(folders["http"]) as http,
        accounts.launch(folders["tls"], authority=authority) as tls,
    ):
        for daemon in (http, tls):
            accounts.add_user(daemon, "ann")
        yield {"http": http, "https": tls}


@pytest.mark.xdist_group("accounts")
@pytest.mark.parametrize("kind", _CLIENTS, ids=lambda kind: kind.__name__.lower())
def test_round_trip_with_an_app_password(
    accounts_gateways: dict[str, Daemon], tmp_path: Path, kind: type[Client]
) -> None:
    """Each logs in as its users would; a stranger is not let in."""
    daemon, name = accounts_gateways["http"], kind.__name__.lower()
    password = accounts.add_app_password(daemon, "ann", name)
    target = accounts.as_user(daemon.target.beneath(headgate.LOCAL), "ann", password)
    assert wire.ask(daemon.target, "GET").status == 401
    _round_trip(wire.mkcol(target, name), tmp_path, kind)


@pytest.mark.xdist_group("accounts")
@pytest.mark.parametrize("kind", _WITH_TOKENS, ids=lambda kind: kind.__name__.lower())
def test_round_trip_with_a_token(
    accounts_gateways: dict[str, Daemon], tmp_path: Path, kind: type[Client]
) -> None:
    """Each sends a token in its own way, by https; it is good for this folder alone."""
    daemon, name = accounts_gateways["https"], f"token-{kind.__name__.lower()}"
    scopes = [f"storage.{verb}:/{headgate.LOCAL}/{name}" for verb in ("read", "modify")]
    options = [word for scope in scopes for word in ("--scope", scope)]
    token = accounts.command(daemon, "token", "issue", "--user", "ann", *options)
    target = dataclasses.replace(daemon.target, token=planted.add(token))
    assert wire.ask(target, "MKCOL", "memory/other").status == 403
    _round_trip(wire.mkcol(target.beneath(headgate.LOCAL), name), tmp_path, kind)


def _round_trip(target: Target, work: Path, kind: type[Client]) -> None:
    try:
        client = kind(target, work)
    except Missing as missing:
        pytest.skip(str(missing))
    for name, content in _CONTENTS.items():
        (work / name).write_bytes(content)
    with client:
        client.mkcol("folder")
        for name in _CONTENTS:
            client.put(work / name, f"folder/{name}")
        assert client.names("folder") == set(_CONTENTS)
        for name, content in _CONTENTS.items():
            _is_there(wire.ask(target, "GET", quote(f"folder/{name}")), content)
            client.move(f"folder/{name}", f"folder/new {name}")
        assert client.names("folder") == {f"new {name}" for name in _CONTENTS}
        for name, content in _CONTENTS.items():
            client.get(f"folder/new {name}", work / "got")
            assert _sha256((work / "got").read_bytes()) == _sha256(content)
            (work / "got").unlink()
            client.delete(f"folder/new {name}")
        assert client.names("folder") == set()
        client.delete("folder/")
    assert wire.members(target) - {"lost+found"} == set()


def _is_there(answer: wire.Answer, content: bytes) -> None:
    assert answer.status == 200
    assert _sha256(answer.body) == _sha256(content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_gfal_checksums(gateway: Target, tmp_path: Path) -> None:
    """gfal-sum gives the checksum of the bytes, and gfal-copy -K compares at both ends."""
    client = _gfal(gateway, tmp_path)
    content = _CONTENTS["one-mebibyte.bin"]
    wire.put(gateway, "f", content)
    adler = f"{zlib.adler32(content):08x}"
    assert client.gfal("sum", client.url("f"), "ADLER32").split()[-1] == adler
    md5 = hashlib.md5(content).hexdigest()
    assert client.gfal("sum", client.url("f"), "MD5").split()[-1] == md5
    local = tmp_path / "local"
    local.write_bytes(content)
    client.gfal("copy", "-K", "ADLER32", local.as_uri(), client.url("g"))
    assert wire.ask(gateway, "GET", "g").body == content
    client.gfal("copy", "-K", "ADLER32", client.url("g"), (tmp_path / "back").as_uri())
    assert (tmp_path / "back").read_bytes() == content


def test_gfal_checksums_fail_on_plain_wsgidav(control: Target, tmp_path: Path) -> None:
    client = _gfal(control, tmp_path)
    wire.put(control, "f", b"x")
    with pytest.raises(RuntimeError, match="not supported"):
        client.gfal("sum", client.url("f"), "ADLER32")


def _gfal(target: Target, work: Path) -> Gfal2:
    try:
        return Gfal2(target, work)
    except Missing as missing:
        pytest.skip(str(missing))


def test_webdavclient3_sets_a_property(gateway: Target, tmp_path: Path) -> None:
    _sets_a_property(gateway, tmp_path)


def test_webdavclient3_sets_none_on_plain_wsgidav(control: Target, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="400"):
        _sets_a_property(control, tmp_path)


def _sets_a_property(target: Target, work: Path) -> None:
    try:
        client = Webdavclient3(target, work)
    except Missing as missing:
        pytest.skip(str(missing))
    wire.put(target, "f", b"x")
    with client:
        client.set_property("f", "urn:test", "colour", "red")
    element = wire.prop(target, "f", "{urn:test}colour")
    assert element is not None
    assert element.text == "red"
