"""A secret is read where it stands, when it is needed, and shown to nobody."""

import traceback
from pathlib import Path

import pytest

from providers.base import Options
from providers.errors import BadCredentials
from providers.secret import SECRET_MAX_BYTES, Secret, bound, secrets_of

PLACE = "HEADGATE_TEST_SECRET"


class Kept:
    """A store of secrets with one in it."""

    def reveal(self, name: str) -> str:
        assert name == "site"
        return "hunter2"

    def changed_at_ns(self, name: str) -> int | None:
        return 1 if name == "site" else None


class SiteOptions(Options, frozen=True):
    """Options with a secret."""

    host: str = "h"
    password: Secret | None = None
    key: Secret | None = None


@pytest.mark.parametrize("content", ["hunter2", "hunter2\n", "hunter2\r\n"])
def test_a_file_s_last_newline_does_not_count(tmp_path: Path, content: str) -> None:
    (tmp_path / "pw").write_bytes(content.encode())
    assert Secret("file", str(tmp_path / "pw")).reveal() == "hunter2"


def test_all_but_the_last_newline_counts(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(" two\n\n")
    assert Secret("file", str(tmp_path / "pw")).reveal() == " two\n"


def test_a_variable_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret("env", PLACE)
    monkeypatch.setenv(PLACE, "hunter2")
    assert (secret.reveal(), secret.state) == ("hunter2", "is set")


def test_a_stored_one_is_read_once_it_is_bound() -> None:
    options = SiteOptions(password=Secret("secret", "site"), key=Secret("env", PLACE))
    assert list(secrets_of(options)) == ["password", "key"]
    with_store = bound(options, Kept())
    assert with_store.password is not None
    assert (with_store.password.reveal(), with_store.password.state) == ("hunter2", "is stored")
    assert with_store == options, "the same configuration makes no new store"


@pytest.mark.logs("the secret .* cannot be read")
@pytest.mark.parametrize(
    "content", [None, b"", b"\n", b"\xffhunter2", b"hunter2" * SECRET_MAX_BYTES]
)
def test_what_cannot_be_read_is_told_without_value_or_place(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A client may see the error; the log has the place, and neither has the value."""
    file = tmp_path / "pw"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadCredentials) as caught:
        Secret("file", str(file)).reveal()
    assert str(tmp_path) not in str(caught.value)
    assert str(file) in caplog.text
    assert "hunter2" not in caplog.text + "".join(traceback.format_exception(caught.value))


@pytest.mark.logs("the secret .* cannot be read")
@pytest.mark.parametrize("secret", [Secret("env", PLACE), Secret("secret", "site")])
def test_one_that_is_not_there_is_refused(secret: Secret) -> None:
    with pytest.raises(BadCredentials, match="the log says why"):
        secret.reveal()


def test_nothing_that_is_printed_holds_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLACE, "hunter2")
    secret = Secret("env", PLACE)
    options = SiteOptions(password=secret)
    for text in (str(secret), repr(secret), str(options), repr(options), f"{secret}"):
        assert "hunter2" not in text
        assert PLACE in text


def test_the_stamp_tells_a_new_value(tmp_path: Path) -> None:
    file = tmp_path / "pw"
    file.write_text("old")
    secret = Secret("file", str(file))
    before = secret.stamp()
    assert secret.stamp() == before
    (tmp_path / "new").write_text("new")
    (tmp_path / "new").replace(file)
    assert secret.stamp() != before
    file.unlink()
    assert secret.stamp() is None


def test_a_file_that_everybody_may_read_is_known(tmp_path: Path) -> None:
    file = tmp_path / "pw"
    file.write_text("hunter2")
    secret = Secret("file", str(file))
    file.chmod(0o640)
    assert (secret.is_open_to_others, secret.state) == (False, "can be read")
    file.chmod(0o644)
    assert (secret.is_open_to_others, secret.state) == (True, "can be read, by others too")
