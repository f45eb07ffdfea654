"""What is sealed opens under its own name and key alone; the master key is made once, privately."""

import base64
import multiprocessing
import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.auth.vault import KEY_FILE, Vault, VaultError, master_key

KEY = bytes(range(32))


@given(name=st.text(max_size=50), plain=st.binary(max_size=200))
def test_what_is_sealed_opens_again(name: str, plain: bytes) -> None:
    vault = Vault(KEY)
    sealed = vault.seal(name, plain)
    assert vault.open(name, sealed) == plain
    assert sealed != vault.seal(name, plain)
    if len(plain) > 3:
        assert plain not in sealed


def test_a_sealed_value_opens_under_no_other_name() -> None:
    vault = Vault(KEY)
    with pytest.raises(VaultError, match="'b' does not open"):
        vault.open("b", vault.seal("a", b"hunter2"))


def test_another_key_opens_nothing_and_the_cure_is_told() -> None:
    sealed = Vault(KEY).seal("a", b"hunter2")
    with pytest.raises(VaultError, match=r"put the old key back .* or set it again"):
        Vault(secrets.token_bytes(32)).open("a", sealed)


def test_no_changed_byte_goes_unseen() -> None:
    vault = Vault(KEY)
    sealed = vault.seal("a", b"hunter2")
    for place in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[place] ^= 1
        with pytest.raises(VaultError):
            vault.open("a", bytes(damaged))
    for length in range(len(sealed)):
        with pytest.raises(VaultError):
            vault.open("a", sealed[:length])


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(VaultError, match="32 bytes, not 16"):
        Vault(bytes(16))


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    key = master_key(tmp_path)
    assert len(key) == 32
    assert master_key(tmp_path) == key
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE]
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def _make_key(folder: Path, start: "multiprocessing.synchronize.Barrier", out: Path) -> None:
    start.wait(30)
    out.write_bytes(master_key(folder))


def test_processes_that_start_together_get_the_same_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    for turn in range(3):
        folder = tmp_path / f"state{turn}"
        folder.mkdir()
        barrier = context.Barrier(4)
        outs = [tmp_path / f"{turn}-{number}" for number in range(4)]
        workers = [context.Process(target=_make_key, args=(folder, barrier, out)) for out in outs]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert len({out.read_bytes() for out in outs}) == 1
        assert [file.name for file in folder.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o620])
def test_a_key_that_others_may_read_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    master_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(VaultError, match="chmod 600"):
        master_key(tmp_path)


@pytest.mark.parametrize(
    "content",
    [KEY, base64.b64encode(KEY), base64.b64encode(KEY) + b"\n", b"\n" * 31 + b"\x01"],
)
def test_a_key_of_one_s_own_is_bytes_or_their_base64(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o440)
    expected = content if len(content) == 32 else KEY
    assert master_key(tmp_path / "unused", file) == expected


@pytest.mark.parametrize("content", [b"", b"hunter2", KEY + b"\n", base64.b64encode(KEY * 2)])
def test_what_is_no_key_is_refused_and_not_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(VaultError, match="neither 32 bytes nor their base64") as caught:
        master_key(tmp_path, file)
    assert "hunter2" not in str(caught.value)


def test_a_key_that_cannot_be_had_is_an_error_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="gone' cannot be read"):
        master_key(tmp_path, tmp_path / "gone")
    with pytest.raises(VaultError, match="no master key can be made"):
        master_key(tmp_path / "nowhere")
