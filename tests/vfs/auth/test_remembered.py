"""A remembered login ends in time, and at once when an account changes."""

import threading
import timeit

import pytest

from vfs.auth.caller import Caller
from vfs.auth.remembered import BLIND_SECONDS, LOOK_SECONDS, SHARE_SECONDS, Remembered
from vfs.state.errors import StateError

ALICE = Caller(name="alice", credential="password")
TEXT = "Basic YWxpY2U6c2VjcmV0"


class World:
    """A clock and accounts that tests turn."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.number = 1
        self.looks = 0
        self.broken = False

    def generation(self) -> int:
        self.looks += 1
        if self.broken:
            raise StateError("the disk is away")
        return self.number

    def remembered(self, seconds: float = 300, most: int = 100) -> Remembered:
        return Remembered(
            seconds,
            self.generation,
            most=most,
            now=lambda: self.seconds,
            wall=lambda: self.seconds + 1e9,
        )


@pytest.fixture
def world() -> World:
    return World()


def learn(remembered: Remembered, text: str = TEXT, caller: Caller = ALICE) -> None:
    """Go the way of a request: ask, verify, remember."""
    assert remembered.get(text) is None
    remembered.put(text, caller, epoch=remembered.epoch)


def test_the_same_header_is_known_and_no_other(world: World) -> None:
    remembered = world.remembered()
    learn(remembered)
    assert remembered.get(TEXT) is ALICE
    assert remembered.get(TEXT + " ") is None
    assert remembered.get(TEXT.lower()) is None
    assert remembered.get("Basic \udc80") is None


def test_it_ends_after_its_seconds(world: World) -> None:
    remembered = world.remembered(seconds=300)
    learn(remembered)
    world.seconds += 299.9
    assert remembered.get(TEXT) is ALICE
    world.seconds += 0.1
    assert remembered.get(TEXT) is None


def test_it_ends_when_the_credential_does(world: World) -> None:
    remembered = world.remembered(seconds=300)
    caller = Caller(name="alice", expires_at=world.seconds + 1e9 + 10)
    learn(remembered, TEXT, caller)
    world.seconds += 9
    assert remembered.get(TEXT) is caller
    world.seconds += 1
    assert remembered.get(TEXT) is None


def test_nothing_is_remembered_for_no_seconds(world: World) -> None:
    remembered = world.remembered(seconds=0)
    learn(remembered)
    assert remembered.get(TEXT) is None


def test_a_change_of_accounts_ends_all_within_a_second(world: World) -> None:
    remembered = world.remembered()
    learn(remembered)
    world.number += 1
    world.seconds += LOOK_SECONDS
    assert remembered.get(TEXT) is None


def test_the_accounts_are_looked_at_once_a_second(world: World) -> None:
    remembered = world.remembered()
    learn(remembered)
    before = world.looks
    for _ in range(1000):
        world.seconds += 0.01
        assert remembered.get(TEXT) is ALICE
    assert 9 <= world.looks - before <= 11


@pytest.mark.parametrize("forget", ["look", "clear"])
def test_a_verdict_older_than_a_change_is_dropped(world: World, forget: str) -> None:
    """A password is verified, meanwhile it is changed and memory is cleared: no entry."""
    remembered = world.remembered()
    assert remembered.get(TEXT) is None
    epoch = remembered.epoch
    if forget == "look":
        world.number += 1
        world.seconds += LOOK_SECONDS
        assert remembered.get("Basic other") is None
    else:
        remembered.clear()
    remembered.put(TEXT, ALICE, epoch=epoch)
    assert remembered.get(TEXT) is None


def test_unreadable_accounts_are_borne_for_a_while_and_then_nothing_is_believed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    remembered = world.remembered()
    learn(remembered)
    world.broken = True
    world.seconds += BLIND_SECONDS - 0.1
    assert remembered.get(TEXT) is ALICE
    world.seconds += 0.1
    assert remembered.get(TEXT) is None
    remembered.put(TEXT, ALICE, epoch=remembered.epoch)
    assert remembered.get(TEXT) is None
    assert caplog.text.count("logins are verified anew each time") == 1
    world.broken = False
    learn(remembered)
    assert remembered.get(TEXT) is ALICE


def test_a_look_that_hangs_holds_up_nobody_and_is_not_believed_for_long(world: World) -> None:
    entered, release = threading.Event(), threading.Event()
    remembered = world.remembered()
    learn(remembered)

    def hang() -> int:
        entered.set()
        release.wait(30)
        return 2

    remembered._generation = hang
    world.seconds += LOOK_SECONDS
    thread = threading.Thread(target=remembered.get, args=(TEXT,))
    thread.start()
    try:
        assert entered.wait(30)
        assert remembered.get(TEXT) is ALICE
        world.seconds += BLIND_SECONDS
        assert remembered.get(TEXT) is None
    finally:
        release.set()
        thread.join(30)
    assert remembered.get(TEXT) is None


def test_the_oldest_goes_when_it_is_full(world: World) -> None:
    remembered = world.remembered(most=10)
    for number in range(30):
        learn(remembered, f"Basic {number}")
    kept = [number for number in range(30) if remembered.get(f"Basic {number}")]
    assert kept == list(range(20, 30))


def test_the_credential_itself_is_not_kept(world: World) -> None:
    remembered = world.remembered()
    learn(remembered)
    assert TEXT not in repr(vars(remembered._entries))
    assert [len(key) for key in remembered._entries._entries] == [16]


@pytest.mark.parametrize(("size", "target_us"), [(100, 3), (1500, 5)])
def test_a_look_up_costs_microseconds(
    size: int, target_us: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Well within the target where nothing else runs; here the bound leaves room for a busy one."""
    remembered = Remembered(300, lambda: 1)
    text = "Bearer " + "x" * (size - 7)
    learn(remembered, text)
    took = min(timeit.repeat(lambda: remembered.get(text), number=2000, repeat=5)) / 2000 * 1e6
    with capsys.disabled():
        print(f"\nremembered, {size} bytes: {took:.2f} us")
    assert remembered.get(text) is ALICE
    assert took < 5 * target_us


def test_a_share_is_remembered_for_a_moment_only() -> None:
    """Its end tells nobody, so who makes and ends shares in a loop costs the others nothing."""
    now = [100.0]
    memory = Remembered(300, lambda: 1, now=lambda: now[0])
    assert memory.get("shared") is None
    share = Caller(name="alice", credential="share:1")
    own = Caller(name="alice", credential="password")
    memory.put("shared", share, epoch=memory.epoch)
    memory.put("own", own, epoch=memory.epoch)
    assert memory.get("shared") == share
    now[0] += SHARE_SECONDS
    assert memory.get("shared") is None
    assert memory.get("own") == own
