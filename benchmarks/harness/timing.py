"""Timing of contestants in turn, so that what the machine does meanwhile hits all of them alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LEAST_ROUNDS = 5  # a time budget never cuts below this number, unless fewer were asked for
PAUSE = 0.03  # seconds between two turns: idle threads of a process spin for a while before they sleep


@dataclass(frozen=True)
class Timing:
    """The times of one contestant.

    Attributes:
        name: Of the contestant.
        times: Seconds of one call, one entry per round; the same index is the same round of all contestants.
        peaks: Bytes of memory at most held during the call, one entry per round; empty where unknown.
        notes: What else the contestant reports, from its last round (a loss, a number of samples, ...).
    """

    name: str
    times: tuple[float, ...]
    peaks: tuple[int, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Seconds."""
        return median(self.times)

    @property
    def spread(self) -> float:
        """Distance between the quartiles in seconds, 0 for a single round."""
        if len(self.times) < 2:
            return 0.0
        low, _, high = quantiles(self.times, n=4, method="inclusive")
        return high - low

    @property
    def peak(self) -> int | None:
        """Bytes, the most of all rounds; None where unknown."""
        return max(self.peaks, default=None)


def alternate(
    contestants: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 7,
    warmup: int = 1,
    budget_s: float | None = None,
    least_s: float = 0.0,
    sync: Callable[[], object] | None = None,
    own_clock: bool = False,
) -> dict[str, Timing]:
    """Time every contestant once per round; each round begins with another one.

    Args:
        contestants: Name → what is timed, without arguments.
        rounds: Number of rounds that count.
        warmup: Calls of each contestant before them.
        budget_s: No new round begins after this many seconds, but at least five (or ``rounds``) are made.
        least_s: A contestant faster than this is called several times per round; the time is that of one
            call. For what takes less than some milliseconds.
        sync: Called before the clock starts and before it stops, such as ``torch.cuda.synchronize``.
        own_clock: The contestants return the seconds that count, instead of being timed.

    Returns:
        Name → times, in the order of ``contestants``.
    """
    _check(contestants, rounds)
    sync = sync or (lambda: None)

    def once(name: str, calls: int) -> float:
        call = contestants[name]
        if own_clock:
            return float(call())  # type: ignore[arg-type]
        sync()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        sync()
        return (time.perf_counter() - start) / calls

    calls = dict.fromkeys(contestants, 1)
    for name in contestants:
        taken = [once(name, 1) for _ in range(warmup)]
        if least_s > 0:
            fastest = max(min([*taken, once(name, 1)]), 1e-7)
            calls[name] = max(1, round(least_s / fastest))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for order in _orders(list(contestants), rounds, budget_s):
        for name in order:
            times[name].append(once(name, calls[name]))
    return {name: Timing(name, tuple(own)) for name, own in times.items()}


def alternate_processes(
    contestants: Mapping[str, Sequence[str]],
    *,
    rounds: int = 7,
    warmup: int = 1,
    budget_s: float | None = None,
    env: Mapping[str, str] | None = None,
    start_timeout_s: float = 600,
) -> dict[str, Timing]:
    """Like :func:`alternate`, for contestants that live in processes of their own.

    Each is started once and then answers every line ``go`` on its standard input with one JSON line on its
    standard output, ``{"seconds": 0.1, "peak_bytes": 123, ...}``; other keys become ``Timing.notes``, other
    lines are passed over. :func:`benchmarks.harness.worker.serve` does that side.

    Args:
        contestants: Name → command line; a first word ``python`` means this interpreter.
        rounds: Number of rounds that count.
        warmup: Turns of each contestant before them.
        budget_s: As for :func:`alternate`; the start of the processes does not count.
        env: Variables of the processes beside those of this one. ``PYTHONPATH`` has the repository first.
        start_timeout_s: How long a process may take to answer the first time; every later answer as well.

    Raises:
        RuntimeError: a process ended or stayed silent; the message ends with its last lines.
    """
    _check(contestants, rounds)
    with ExitStack() as stack:
        children = {}
        for name, argv in contestants.items():  # one after the other: all cores belong to each
            child = stack.enter_context(_child(name, argv, env or {}, start_timeout_s))
            for _ in range(max(1, warmup)):
                child.turn()
            children[name] = child
        answers: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
        for order in _orders(list(contestants), rounds, budget_s):
            for name in order:
                answers[name].append(children[name].turn())
                time.sleep(PAUSE)
    return {name: _timing(name, own) for name, own in answers.items()}


def ratio(timings: Mapping[str, Timing], ours: str, other: str) -> float:
    """How many times as fast ``ours`` is as ``other``: the median over rounds of other's time by ours."""
    pairs = zip(timings[ours].times, timings[other].times, strict=True)
    return median(theirs / own for own, theirs in pairs)


def fastest(timings: Mapping[str, Timing], among: Sequence[str]) -> str | None:
    """The name with the lowest median of ``among``, None where none of them was timed."""
    timed = [name for name in among if name in timings]
    return min(timed, key=lambda name: timings[name].median) if timed else None


def _check(contestants: Mapping[str, object], rounds: int) -> None:
    if not contestants or rounds < 1:
        raise ValueError(f"{len(contestants)} contestants and {rounds} rounds; there must be one at least")


def _orders(names: list[str], rounds: int, budget_s: float | None) -> Iterator[list[str]]:
    """One order of the names per round, each beginning one name later."""
    start = time.perf_counter()
    for i in range(rounds):
        spent = budget_s is not None and time.perf_counter() - start > budget_s
        if spent and i >= min(rounds, LEAST_ROUNDS):
            return
        k = i % len(names)
        yield names[k:] + names[:k]


def _timing(name: str, answers: Sequence[Mapping[str, Any]]) -> Timing:
    peaks = tuple(int(a["peak_bytes"]) for a in answers if a.get("peak_bytes") is not None)
    notes = {k: v for k, v in answers[-1].items() if k not in ("seconds", "peak_bytes")}
    return Timing(name, tuple(float(a["seconds"]) for a in answers), peaks, notes)


class _Child:
    def __init__(self, name: str, process: subprocess.Popen[str], log: Any, timeout_s: float) -> None:
        self.name, self.process, self.log, self.timeout_s = name, process, log, timeout_s

    def turn(self) -> dict[str, Any]:
        """Ask for one measurement."""
        from threading import Timer

        # A process that hangs is ended, which ends the wait for its line.
        timer = Timer(self.timeout_s, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
            for line in self.process.stdout:
                answer = _answer(line)
                if answer is not None:
                    return answer
        except BrokenPipeError:
            pass
        finally:
            timer.cancel()
        self.process.wait()
        self.log.seek(0)
        last = "\n".join(self.log.read().strip().splitlines()[-12:])
        raise RuntimeError(f"`{self.name}` gave no time (status {self.process.returncode}):\n{last}")


def _answer(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "seconds" in value else None


@contextmanager
def _child(name: str, argv: Sequence[str], env: Mapping[str, str], timeout_s: float) -> Iterator[_Child]:
    command = [sys.executable if argv[0] == "python" else argv[0], *map(str, argv[1:])]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **env},
        )
        try:
            yield _Child(name, process, log, timeout_s)
        finally:
            with suppress(BrokenPipeError):  # what a dead process did not take is flushed once more
                process.stdin.close()  # the end of its input ends the process
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
