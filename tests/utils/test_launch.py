"""Which failure of a group is its cause, and how it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from mmseg.utils.distributed import is_lost_rank
from mmseg.utils.exit_status import LOST_RANK, RESUME, STALLED
from mmseg.utils.launch import Agent, address_towards, first_failure, what_happened
from tests.helpers_run import REPO


def failures(**codes: tuple[int, int]):
    """By rank: exit code and time."""
    return {int(r[1:]): SimpleNamespace(exitcode=code, timestamp=at) for r, (code, at) in codes.items()}


@pytest.mark.parametrize(
    ("given", "rank"),
    [
        (failures(r0=(LOST_RANK, 5), r1=(-9, 5)), 1),
        (failures(r0=(LOST_RANK, 4), r1=(-9, 5)), 1),
        (failures(r0=(-9, 9), r1=(STALLED, 5)), 1),
        (failures(r0=(RESUME, 5), r1=(RESUME, 5)), 0),
        (failures(r0=(LOST_RANK, 7), r1=(LOST_RANK, 6)), 1),
    ],
)
def test_the_cause_is_not_a_rank_that_lost_another(given, rank):
    assert first_failure(given) == (rank, given[rank])


def test_statuses_in_words():
    assert what_happened(-9) == "was ended by SIGKILL"
    assert what_happened(STALLED) == "stood still"
    assert what_happened(LOST_RANK) == "lost another rank"
    assert what_happened(1) == "ended with status 1"


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        ("[../gloo/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:3", True),
        ("Application timeout caused pair closure", False),
        ("CUDA out of memory", False),
    ],
)
def test_lost_ranks_are_told_from_other_errors(message, lost):
    assert is_lost_rank(RuntimeError(message)) is lost


def test_what_is_left_of_a_group_is_killed_after_a_moment_even_if_it_is_stopped():
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    done = subprocess.Popen([sys.executable, "-c", ""])
    os.kill(left.pid, signal.SIGSTOP)
    signals = []
    context = SimpleNamespace(pids=lambda: {0: left.pid, 1: done.pid}, close=lambda s, t: signals.append(s))
    Agent._end_quickly(None, context)
    begin = time.monotonic()
    context.close()
    left.kill()
    left.wait()
    done.wait()
    assert signals == [signal.SIGKILL] and begin > 0


@pytest.mark.parametrize("value", ["-1", "many"])
def test_max_restarts_must_be_a_number(value):
    env = {**os.environ, "MAX_RESTARTS": value}
    command = ["bash", str(REPO / "tools" / "dist_train.sh"), "config.py", "2"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"error: MAX_RESTARTS is '{value}'; it must be a whole number" in done.stderr


def test_the_address_towards_another_machine():
    assert address_towards("127.0.0.1", 29500) == "127.0.0.1"
    assert address_towards("a name that no machine has", 29500) is None
