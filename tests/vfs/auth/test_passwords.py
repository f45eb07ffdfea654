"""Passwords: slow, bounded, and the same on every keyboard."""

import statistics
import threading
import time
import unicodedata

import argon2
import pytest

from vfs.auth import passwords
from vfs.auth.errors import Throttled
from vfs.auth.passwords import (
    Passwords,
    check_hash,
    check_new_password,
    hash_password,
    needs_rehash,
)

TEXT = "correct horse battery"
# The form of a hash with OWASP's costs for 12 MiB. Nobody knows its password.
FOREIGN = (
    "$argon2id$v=19$m=12288,t=3,p=1$c29tZXNhbHRzb21lc2FsdA"
    "$jvw2cXUQZ0o6DRXmEwHxUGDDaFCXKBZdy9OWPT0wxQY"
)


def costing(memory: int, passes: int, lanes: int = 1) -> str:
    return FOREIGN.replace("m=12288,t=3,p=1", f"m={memory},t={passes},p={lanes}")


@pytest.fixture(scope="module")
def hashed() -> str:
    return hash_password(TEXT)


def test_only_the_password_fits_its_hash(hashed: str) -> None:
    verifier = Passwords()
    check_hash(hashed)
    assert verifier.verify(hashed, TEXT)
    for wrong in ("", TEXT + " ", TEXT.upper(), TEXT[:-1], hashed):
        assert not verifier.verify(hashed, wrong)


def test_nobody_has_the_password_of_a_stranger() -> None:
    verifier = Passwords()
    for stranger in (None, ""):
        for text in ("", TEXT):
            assert not verifier.verify(stranger, text)


def test_a_stranger_takes_as_long_as_a_user(hashed: str) -> None:
    """In processor time, so that a busy machine does not count."""
    verifier = Passwords()

    def once(password_hash: str | None) -> float:
        before = time.thread_time()
        verifier.verify(password_hash, "wrong password")
        return time.thread_time() - before

    user, stranger = (
        statistics.median(once(password_hash) for _ in range(15))
        for password_hash in (hashed, None)
    )
    assert 0.5 < stranger / user < 2


def test_equal_letters_are_equal_however_they_were_typed() -> None:
    """A Mac sends a letter and its accent apart."""
    composed = unicodedata.normalize("NFC", "Zürich, im März")
    apart = unicodedata.normalize("NFD", composed)
    assert composed != apart
    assert Passwords().verify(hash_password(apart), composed)
    assert Passwords().verify(hash_password(composed), apart)


def test_two_hashes_of_one_password_differ(hashed: str) -> None:
    assert hash_password(TEXT) != hashed


def test_long_and_impossible_texts_cost_nothing(hashed: str) -> None:
    verifier = Passwords()
    began = time.thread_time()
    for text in ("x" * 1025, "ü" * 1000, "x" * 10_000_000, "\udcff" * 12):
        assert not verifier.verify(hashed, text)
        with pytest.raises(ValueError, match="at most 1024 bytes"):
            hash_password(text)
    assert time.thread_time() - began < 1
    assert verifier.verify(hash_password("x" * 1024), "x" * 1024)


def test_hashes_of_other_costs_are_known_to_be_old(hashed: str) -> None:
    assert not needs_rehash(hashed)
    assert needs_rehash(FOREIGN)


def test_a_hash_of_other_costs_is_verified_by_its_own() -> None:
    other = argon2.PasswordHasher(time_cost=3, memory_cost=12_288, parallelism=2).hash(TEXT)
    check_hash(other)
    assert Passwords().verify(other, TEXT)
    assert not Passwords().verify(other, TEXT + "x")


@pytest.mark.parametrize(
    ("memory", "passes"), [(12_288, 3), (19_456, 2), (47_104, 1), (7168, 5), (1_048_576, 4)]
)
def test_costs_between_safe_and_bearable_are_taken(memory: int, passes: int) -> None:
    check_hash(costing(memory, passes))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "no argon2id hash"),
        ("secret", "no argon2id hash"),
        ("$2b$12$abcdefghijklmnopqrstuv", "no argon2id hash"),
        (FOREIGN.replace("argon2id", "argon2i"), "no argon2id hash"),
        (FOREIGN.replace("v=19", "v=16"), "no argon2id hash"),
        (FOREIGN + "\n", "no argon2id hash"),
        (FOREIGN[:-1] + "Z", "no argon2id hash"),
        (FOREIGN.replace("m=12288", "m=\uff11\uff12\uff12\uff18\uff18"), "no argon2id hash"),
        (costing(7167, 100), "too low"),
        (costing(12_288, 2), "too low"),
        (costing(12_288, 0), "at least 1"),
        (costing(1_048_577, 1), "too much"),
        (costing(12_288, 4_000_000), "too much"),
        (costing(9_999_999_999, 9_999_999_999), "too much"),
        (costing(12_288, 3, 17), "p must be"),
        (costing(12_288, 3, 0), "p must be"),
    ],
)
def test_a_hash_unfit_for_use_is_refused_with_the_cure(text: str, cause: str) -> None:
    """And is never echoed."""
    with pytest.raises(ValueError, match=cause) as caught:
        check_hash(text)
    assert "headgate user hash" in str(caught.value)
    assert FOREIGN[-20:-1] not in str(caught.value)


def test_a_hash_that_cannot_be_verified_lets_nobody_in() -> None:
    verifier = Passwords()
    for broken in ("x", "$argon2id$v=19$m=8,t=1,p=1$$", FOREIGN[:-5]):
        assert not verifier.verify(broken, TEXT)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("short", "at least 10"),
        ("", "at least 10"),
        ("Annabella-Maria", "own name"),
        ("x" * 1025, "at most 1024"),
        ("tab\tulator-and-more", "control"),
        ("\ud800 and more than ten", "at most 1024"),
    ],
)
def test_a_weak_password_is_not_taken(text: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        check_new_password(text, "annabella-maria")


def test_a_good_password_is_taken() -> None:
    check_new_password(TEXT, "ann")
    check_new_password("ünïcode is fine", "ann")


def test_few_verify_at_once_and_who_waits_too_long_is_told_so(
    hashed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third caller gets 503 with a time to come again, and a turn once one is free."""
    busy = threading.Semaphore(0)
    go_on = threading.Event()
    real = passwords._hasher.verify

    def slow(password_hash: str, text: bytes) -> bool:
        busy.release()
        go_on.wait(10)
        return bool(real(password_hash, text))

    verifier = Passwords(wait_seconds=0.05)
    monkeypatch.setattr(passwords, "_hasher", type("Slow", (), {"verify": staticmethod(slow)}))
    threads = [threading.Thread(target=verifier.verify, args=(hashed, TEXT)) for _ in range(2)]
    for thread in threads:
        thread.start()
        assert busy.acquire(timeout=10)
    with pytest.raises(Throttled) as caught:
        verifier.verify(hashed, TEXT)
    assert caught.value.status == 503
    assert caught.value.retry_after_seconds > 0
    go_on.set()
    for thread in threads:
        thread.join()
    assert verifier.verify(hashed, TEXT)


def test_few_wait_and_one_more_is_turned_away_at_once(
    hashed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of logins holds a bounded number of the threads that serve everybody."""
    go_on = threading.Event()

    def slow(password_hash: str, text: bytes) -> bool:
        return go_on.wait(10)

    verifier = Passwords(wait_seconds=10)
    monkeypatch.setattr(passwords, "_hasher", type("Slow", (), {"verify": staticmethod(slow)}))
    count = passwords.AT_ONCE + passwords.WAITING_MAX
    threads = [threading.Thread(target=verifier.verify, args=(hashed, TEXT)) for _ in range(count)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 10
    while verifier._places._value:
        assert time.monotonic() < until
        time.sleep(0.01)
    began = time.monotonic()
    with pytest.raises(Throttled):
        verifier.verify(hashed, TEXT)
    assert time.monotonic() - began < 1
    go_on.set()
    for thread in threads:
        thread.join()
    assert verifier.verify(hashed, TEXT)
