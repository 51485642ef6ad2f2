"""The watchdog's judgement, with a clock of the tests' own."""

from __future__ import annotations

import json
import threading

import pytest

from mmseg.apis.watching import timeouts
from mmseg.utils import watchdog
from mmseg.utils.errors import UserError
from mmseg.utils.watchdog import Watchdog, place_of, stack_of, waits_for_others

TIMEOUT, START = 60.0, 300.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(watchdog, "time", clock)
    return clock


def two(folder, clock, token="a"):
    """Two ranks' watchdogs, past their start, without threads."""
    folder.mkdir(exist_ok=True)
    dogs = [Watchdog(str(folder), rank, 2, token, TIMEOUT, START) for rank in range(2)]
    for dog in dogs:
        dog._forget()
        dog.beat("training", 1)
        dog.beat("training", 2)
    tick(clock, *dogs)
    return dogs


def tick(clock, *dogs, seconds=5.0):
    clock.now += seconds
    for dog in dogs:
        dog._write()
    for dog in dogs:
        dog._look(clock.now)


def stalled(dog, clock):
    return dog._stalled(clock.now)


def test_a_rank_without_a_sign_of_life_is_named_with_its_last_line(tmp_path, clock):
    first, second = two(tmp_path / "heartbeats", clock)
    for number in range(20):  # 100 s in which rank 1 is stopped, and rank 0 waits for it
        assert (stalled(first, clock) is None) == (number * 5 <= TIMEOUT)
        clock.now += 5
        first._write()
        first._look(clock.now)
    said = stalled(first, clock)
    assert "rank 1 has given no sign of life for 100 s" in said
    report = first.report(said, clock.now, ends=True)
    assert report.count("error: ") == 1 and "held up by rank 1" in report and "status 76" in report
    assert "rank 1 (" in report and "no sign of life for 100 s): training 2, in " in report
    assert __file__ in (tmp_path / "stalled.txt").read_text()


def test_a_rank_that_waits_for_one_at_work_is_in_order(tmp_path, clock):
    first, second = two(tmp_path, clock)
    for number in range(100):  # 500 s of evaluation on rank 0
        first.beat("evaluation", number)
        tick(clock, first, second)
        assert stalled(first, clock) is None and stalled(second, clock) is None


def test_ranks_that_all_stand_still_are_reported_after_the_time(tmp_path, clock):
    first, second = two(tmp_path, clock)
    first.beat("training", 3)
    tick(clock, first, second)
    tick(clock, first, second, seconds=TIMEOUT - 1)
    assert stalled(second, clock) is None
    tick(clock, first, second, seconds=2)
    said = stalled(second, clock)
    assert said == "no rank has gone on for 61 s"
    assert "held up by rank 1" in second.report(said, clock.now, ends=True)


def test_the_start_is_given_more_time(tmp_path, clock):
    dog = Watchdog(str(tmp_path), 0, 1, "a", TIMEOUT, START)
    dog._forget()
    for doing, number in (("start", None), ("training", 1), ("evaluation", 0)):
        dog.beat(doing, number)
        tick(clock, dog)
        tick(clock, dog, seconds=START - 10)
        assert stalled(dog, clock) is None
        if doing != "start":
            dog.beat(doing, 2)
            tick(clock, dog)
            tick(clock, dog, seconds=TIMEOUT + 1)
            assert "not gone on for 61 s" in stalled(dog, clock)
    tick(clock, dog, seconds=START)
    assert "not gone on" in stalled(dog, clock)


def test_heartbeats_of_an_earlier_start_and_of_ranks_that_ended_say_nothing(tmp_path, clock):
    old = Watchdog(str(tmp_path), 1, 2, "old", TIMEOUT, START)
    old._forget()
    old._write()
    dog = Watchdog(str(tmp_path), 0, 2, "new", TIMEOUT, START)
    dog._forget()
    for _ in range(3):
        dog.beat("training", 1)
    tick(clock, dog, seconds=TIMEOUT + 1)
    assert stalled(dog, clock) is None

    first, second = two(tmp_path / "both", clock)
    (tmp_path / "both" / "rank_1.json").unlink()
    for _ in range(5):
        first.beat("training", 9)
        clock.now += 30
        first._write()
        first._look(clock.now)
        assert stalled(first, clock) is None


def test_a_process_that_was_stopped_itself_starts_over(tmp_path, monkeypatch, clock):
    dog = Watchdog(str(tmp_path), 0, 1, "a", TIMEOUT, START)
    dog._forget()
    dog.beat("training", 1)
    dog.beat("training", 2)
    waits = iter([False, False, True])

    def sleep_of_the_machine(seconds):
        clock.now += 10_000
        return next(waits)

    monkeypatch.setattr(dog._stopped, "wait", sleep_of_the_machine)
    monkeypatch.setattr(dog, "_end", lambda *args: pytest.fail("it ended the run"))
    dog._watch()
    assert next(waits, None) is None


def test_the_stack_and_the_line_of_the_user():
    stack = stack_of(threading.main_thread().ident)
    assert stack[-2][0] == __file__ and stack[-2][2] == "test_the_stack_and_the_line_of_the_user"
    assert place_of(stack[:-1]).startswith(f"{__file__}:")
    inner = ("/x/lib/python3/site-packages/torch/distributed/distributed_c10d.py", 7, "all_reduce")
    place = place_of([(__file__, 3, "test"), inner])
    assert place.startswith(f"{__file__}:3 in test") and "all_reduce" in place
    assert waits_for_others([inner]) and not waits_for_others(stack)
    assert stack_of(None) == [] and place_of([]) == "an unknown place"


def test_the_thread_writes_and_takes_its_file_along(tmp_path):
    dog = Watchdog(str(tmp_path / "beats"), 0, 1, "a", 0.5).start()
    try:
        watchdog.beat("training", 4)
        dog._write()
        heartbeat = json.loads((tmp_path / "beats" / "rank_0.json").read_text())
        assert (heartbeat["doing"], heartbeat["number"], heartbeat["rank"]) == ("training", 4, 0)
        assert [frame for frame in heartbeat["stack"] if frame[0] == __file__]
    finally:
        dog.stop()
    assert not (tmp_path / "beats").exists()
    watchdog.beat("training", 5)  # with no watchdog nothing happens
    assert "watchdog" not in {t.name for t in threading.enumerate()}


@pytest.mark.parametrize("value", [0, -1, "soon", True])
def test_a_time_must_be_a_positive_number(value):
    with pytest.raises(UserError, match=r"dist_params\.timeout must be a positive number of seconds"):
        timeouts({"dist_params": {"timeout": value}})
    assert timeouts({}) == (600, 1800)
    assert timeouts({"dist_params": {"timeout": 4000}}) == (4000, 4000)
