"""Contestants are called in turn, and ratios are those of the rounds."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from benchmarks.harness.timing import Timing, alternate, alternate_processes, fastest, ratio
from benchmarks.harness.worker import measure

SERVER = """
import sys
from benchmarks.harness.worker import serve
print("what a library says")
calls = 0
def step():
    global calls
    calls += 1
    print("in between")
    block = bytearray(int(sys.argv[1]))
    block[::4096] = b"x" * len(block[::4096])
    return {"calls": calls}
serve(step)
"""


def test_rounds_begin_with_another_one_each() -> None:
    called: list[str] = []
    names = ["a", "b", "c"]
    timings = alternate({n: lambda n=n: called.append(n) for n in names}, rounds=4, warmup=2)
    warm, rest = called[:6], "".join(called[6:])
    assert warm == ["a", "a", "b", "b", "c", "c"]
    assert rest == "abc" + "bca" + "cab" + "abc"
    assert list(timings) == names
    assert {len(t.times) for t in timings.values()} == {4}


def test_fast_contestants_are_called_several_times_a_round() -> None:
    called = {"fast": 0}

    def fast() -> None:
        called["fast"] += 1

    (timing,) = alternate({"fast": fast}, rounds=2, warmup=0, least_s=0.002).values()
    assert called["fast"] > 10
    assert all(0 < t < 0.002 for t in timing.times)


def test_a_budget_leaves_five_rounds() -> None:
    for rounds, made in ((9, 5), (3, 3)):
        (timing,) = alternate({"a": lambda: None}, rounds=rounds, budget_s=0).values()
        assert len(timing.times) == made


def test_contestants_may_bring_their_own_clock() -> None:
    times = iter([9.0, 1.0, 2.0])
    (timing,) = alternate({"a": lambda: next(times)}, rounds=2, own_clock=True).values()
    assert timing.times == (1.0, 2.0)


def test_device_is_waited_for_on_both_sides_of_a_call() -> None:
    seen: list[str] = []
    alternate({"a": lambda: seen.append("call")}, rounds=1, warmup=0, sync=lambda: seen.append("wait"))
    assert seen == ["wait", "call", "wait"]


def test_figures_of_a_timing() -> None:
    timing = Timing("a", (4.0, 1.0, 2.0, 3.0, 5.0), peaks=(7, 9, 8))
    assert (timing.median, timing.spread, timing.peak) == (3.0, 2.0, 9)
    assert (Timing("b", (1.0,)).spread, Timing("b", (1.0,)).peak) == (0.0, None)


def test_ratio_is_the_median_of_the_rounds() -> None:
    # A disturbed round slows both: the ratio of medians would be 3, that of the rounds is 2.
    timings = {"ours": Timing("ours", (1.0, 10.0, 1.0)), "b": Timing("b", (2.0, 20.0, 3.0))}
    assert ratio(timings, "ours", "b") == 2.0
    assert ratio(timings, "b", "ours") == 0.5
    assert fastest(timings, ["b", "missing"]) == "b"
    assert fastest(timings, ["missing"]) is None


@pytest.mark.parametrize("contestants, rounds", [({}, 3), ({"a": print}, 0)])
def test_nothing_to_time_is_a_mistake(contestants: dict, rounds: int) -> None:
    with pytest.raises(ValueError, match="one at least"):
        alternate(contestants, rounds=rounds)


def test_processes_answer_in_turn(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(textwrap.dedent(SERVER))
    small, large = 1_000_000, 60_000_000
    timings = alternate_processes(
        {"small": ["python", str(script), str(small)], "large": ["python", str(script), str(large)]}, rounds=2
    )
    assert [len(t.times) for t in timings.values()] == [2, 2]
    assert timings["small"].notes["calls"] == 3  # the warm-up and two rounds, in one process
    # The peak is that of the step, in a process of its own.
    assert timings["large"].peak - timings["small"].peak > 0.8 * (large - small)
    assert timings["large"].peak - timings["large"].notes["base_bytes"] > 0.8 * large


def test_a_process_that_fails_is_named_with_its_last_lines() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)`bad` gave no time \(status 3\).*no such model"):
        code = "import sys; print('no such model', file=sys.stderr); sys.exit(3)"
        alternate_processes({"bad": ["python", "-c", code]}, rounds=1)


def test_a_process_that_stays_silent_is_ended() -> None:
    with pytest.raises(RuntimeError, match="`mute` gave no time"):
        alternate_processes(
            {"mute": ["python", "-c", "import time; time.sleep(60)"]}, rounds=1, start_timeout_s=0.2
        )


PEAKS = """
from benchmarks.harness.worker import peak_memory, reset_peak_memory
block = bytearray(80_000_000)
block[::4096] = b"x" * len(block[::4096])
high = peak_memory()
del block
reset_peak_memory()
print(high - peak_memory())
"""


def test_peak_memory_begins_anew() -> None:
    # In a process of its own: this one may keep freed memory, after another test.
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PEAKS], cwd=root, capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) > 50_000_000
    found = measure(lambda: {"loss": 1.5})
    assert found["loss"] == 1.5
    assert found["seconds"] >= 0 and found["peak_bytes"] >= found["base_bytes"] > 0
