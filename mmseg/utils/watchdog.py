"""A watch over the ranks of a run: one that stops answering is named, with the line where each rank stands.

A thread in each rank writes a heartbeat file every few seconds: what the main thread does, since when, and
its stack. A process that was stopped, or holds the interpreter's lock for good, writes none any more; its
last one says where it stood. The threads read each other's files and end the run when it stands still.
"""

from __future__ import annotations

import contextlib
import json
import linecache
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from mmseg.utils.exit_status import STALLED

TIMEOUT = 600.0
START_TIMEOUT = 1800.0
_GRACE = 5.0  # how long the rank that reports is given before the others end as well

Frame = tuple[str, int, str]  # file, line, function

_running: Watchdog | None = None


def beat(doing: str, number: int | None = None) -> None:
    """Say that the main thread has gone on; without a watchdog nothing happens.

    The loop calls it after every iteration and before every batch of an evaluation. A hook of yours that
    takes longer than ``dist_params.timeout`` calls it now and then.

    Args:
        doing: What begins now, such as ``training``; other than ``start`` it ends the longer patience of the
            start.
        number: The iteration or batch.
    """
    if _running is not None:
        _running.beat(doing, number)


@dataclass
class Seen:
    """What a watchdog knows of a rank, by its own clock (those of machines differ)."""

    heartbeat: dict[str, Any] = field(default_factory=dict)
    wrote: float = 0.0  # when its heartbeat last changed
    went_on: float = 0.0  # when its main thread last went on
    left: bool = False  # it has ended in good order and taken its heartbeat along


class Watchdog:
    """Watches this rank and, by their heartbeat files, the others.

    A run stands still when no rank has gone on for ``timeout`` seconds; one that waits for another that
    works (a long evaluation on rank 0) is in order. A rank that writes no heartbeat for that long has
    stopped. Then the lowest rank that still runs prints where every rank stands, and all end with status
    76. A single process at a terminal is only reported: somebody may sit in a debugger.

    Args:
        folder: Of the heartbeat files, best one that all ranks see. Ranks whose files are not seen are
            taken to be at work until ``start_timeout``.
        rank: Of this process.
        world_size: Number of ranks.
        token: Names this start of the run; files of others are left from earlier ones.
        timeout: Seconds.
        start_timeout: Seconds for what comes before the second iteration (reading the data set, compiling)
            and for the first batch of an evaluation.
    """

    def __init__(
        self,
        folder: str,
        rank: int,
        world_size: int,
        token: str,
        timeout: float = TIMEOUT,
        start_timeout: float | None = None,
    ) -> None:
        self.folder, self.rank, self.world_size, self.token = folder, rank, world_size, token
        self.timeout = timeout
        self.start_timeout = max(timeout, START_TIMEOUT if start_timeout is None else start_timeout)
        self.interval = min(5.0, timeout / 10)
        self._main = threading.main_thread().ident
        self._host = socket.gethostname()
        self._doing, self._number, self._count, self._patient = "start", None, 0, True
        self._known: set[str] = set()
        self._seen = {r: Seen() for r in range(world_size)}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    # ------------------------------------------------------------------ called by the main thread

    def start(self) -> Watchdog:
        """Write the first heartbeat and begin to watch."""
        global _running
        os.makedirs(self.folder, exist_ok=True)
        self._forget()
        self._write()
        self._thread.start()
        _running = self
        return self

    def beat(self, doing: str, number: int | None = None) -> None:
        """See the function ``beat``."""
        # The first iteration and the first batch of an evaluation compile and choose kernels: what follows
        # the first beat of a kind is still given the longer time.
        self._patient = doing == "start" or doing not in self._known
        self._known.add(doing)
        self._doing, self._number = doing, number
        self._count += 1

    def stop(self) -> None:
        """End the watch and remove this rank's heartbeat."""
        global _running
        if _running is self:
            _running = None
        self._stopped.set()
        self._thread.join(timeout=2 * self.interval)
        with contextlib.suppress(OSError):
            os.unlink(self._path(self.rank))
        with contextlib.suppress(OSError):
            os.rmdir(self.folder)

    # ------------------------------------------------------------------ the thread

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._stopped.wait(self.interval):
            now = time.monotonic()
            if now - last > max(3 * self.interval, self.timeout / 2):
                self._forget()  # this process itself was stopped, or the machine slept: start over
            last = now
            self._write()
            self._look(now)
            stalled = self._stalled(now)
            if stalled is not None:
                self._end(stalled, now)

    def _forget(self) -> None:
        now = time.monotonic()
        for seen in self._seen.values():
            seen.wrote = seen.went_on = now

    def _write(self) -> None:
        heartbeat = {
            "token": self.token,
            "rank": self.rank,
            "host": self._host,
            "pid": os.getpid(),
            "time": time.time(),
            "doing": self._doing,
            "number": self._number,
            "count": self._count,
            "patient": self._patient,
            "stack": stack_of(self._main),
        }
        # A full disk or a lost network drive is for those to report whose files matter.
        with contextlib.suppress(OSError):
            temporary = f"{self._path(self.rank)}.tmp"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                os.write(descriptor, json.dumps(heartbeat).encode())
            finally:
                os.close(descriptor)
            os.replace(temporary, self._path(self.rank))
        self._take(self.rank, heartbeat, time.monotonic())

    def _look(self, now: float) -> None:
        for rank in range(self.world_size):
            if rank == self.rank:
                continue
            try:
                with open(self._path(rank), "rb") as file:
                    heartbeat = json.loads(file.read())
            except FileNotFoundError:
                self._seen[rank].left = bool(self._seen[rank].heartbeat)
                continue
            except (OSError, ValueError):
                continue
            if heartbeat.get("token") == self.token:
                self._take(rank, heartbeat, now)

    def _take(self, rank: int, heartbeat: dict[str, Any], now: float) -> None:
        seen = self._seen[rank]
        if seen.heartbeat.get("time") != heartbeat["time"]:
            seen.wrote = now
        if seen.heartbeat.get("count") != heartbeat["count"]:
            seen.went_on = now
        seen.heartbeat, seen.left = heartbeat, False

    def _stalled(self, now: float) -> str | None:
        """What stands still, in words; None while all is well."""
        for rank, seen in self._seen.items():
            if seen.heartbeat and not seen.left and now - seen.wrote > self.timeout:
                return f"rank {rank} has given no sign of life for {now - seen.wrote:.0f} s"
        quiet = min(now - seen.went_on for seen in self._seen.values())
        patient = any(not s.heartbeat or s.heartbeat["patient"] for s in self._seen.values())
        limit = self.start_timeout if patient else self.timeout
        if quiet <= limit:
            return None
        if self.world_size == 1:
            return f"the run has not gone on for {quiet:.0f} s"
        return f"no rank has gone on for {quiet:.0f} s"

    def _end(self, stalled: str, now: float) -> None:
        alive = [r for r, s in self._seen.items() if s.heartbeat and now - s.wrote <= self.timeout]
        ends = self.world_size > 1 or not (sys.stdin is not None and sys.stdin.isatty())
        if self.rank == min(alive, default=self.rank):
            report = self.report(stalled, now, ends)
            with contextlib.suppress(OSError):
                os.write(2, report.encode())
        elif ends:
            time.sleep(_GRACE)  # the report must come before a launcher ends everything
        if ends:
            os._exit(STALLED)
        self._forget()

    # ------------------------------------------------------------------ the report

    def report(self, stalled: str, now: float, ends: bool) -> str:
        """One line on what stands still, and one on each rank; whole stacks go to a file."""
        stacks = os.path.join(os.path.dirname(self.folder), "stalled.txt")
        text = [f"error: {stalled} (dist_params.timeout is {self.timeout:g} s)"]
        culprits = self._culprits(now)
        if culprits and self.world_size > 1:
            text[0] += f"; held up by rank {', '.join(map(str, culprits))}"
        text[0] += "; the run ends with status 76, and --auto-resume goes on from its last checkpoint"
        text[0] = text[0] if ends else text[0].partition("; the run ends")[0]
        lines, whole = [], [text[0]]
        for rank, seen in self._seen.items():
            if not seen.heartbeat:
                lines.append(f"  rank {rank}: its heartbeat in {self.folder} is not seen from here")
                continue
            beat_, silent = seen.heartbeat, now - seen.wrote
            at = f"{beat_['doing']}" + ("" if beat_["number"] is None else f" {beat_['number']}")
            dead = f", no sign of life for {silent:.0f} s" if silent > self.timeout / 2 else ""
            who = f"rank {rank} ({beat_['host']}, process {beat_['pid']}{dead})"
            lines.append(f"  {who}: {at}, in {place_of(beat_['stack'])}")
            whole += [f"\n{who}: {at}, for {now - seen.went_on:.0f} s", *map(_line_of, beat_["stack"])]
        with contextlib.suppress(OSError), open(stacks, "w", encoding="utf-8") as file:
            file.write("\n".join(whole) + "\n")
            lines.append(f"  whole stacks: {stacks}")
        return "\n".join([*text, *lines]) + "\n"

    def _culprits(self, now: float) -> list[int]:
        """Ranks that are silent; else those that have gone less far, or wait for nobody while others do."""
        known = {r: s for r, s in self._seen.items() if s.heartbeat}
        silent = [r for r, s in known.items() if now - s.wrote > self.timeout / 2]
        if silent:
            return silent
        waiting = {r: waits_for_others(s.heartbeat["stack"]) for r, s in known.items()}
        if any(waiting.values()) and not all(waiting.values()):
            return [r for r, waits in waiting.items() if not waits]
        least = min((s.heartbeat["count"] for s in known.values()), default=0)
        behind = [r for r, s in known.items() if s.heartbeat["count"] == least]
        return behind if len(behind) < len(known) else []

    def _path(self, rank: int) -> str:
        return os.path.join(self.folder, f"rank_{rank}.json")


def stack_of(thread: int | None) -> list[Frame]:
    """The stack of a thread, the innermost frame last."""
    frame = sys._current_frames().get(thread) if thread is not None else None
    stack: list[Frame] = []
    while frame is not None:
        stack.append((frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name))
        frame = frame.f_back
    return stack[::-1]


def place_of(stack: list[Frame]) -> str:
    """The innermost line that is neither of a library nor of Python itself, and the library's it calls."""
    if not stack:
        return "an unknown place"
    own = [frame for frame in stack if not _is_library(frame[0])]
    file, line, function = own[-1] if own else stack[-1]
    text = linecache.getline(file, line).strip()
    inner = stack[-1]
    calls = "" if inner[0] == file and inner[2] == function else f" (in {inner[2]} of {inner[0]}:{inner[1]})"
    return f"{file}:{line} in {function}{f': {text}' if text else ''}{calls}"


def waits_for_others(stack: list[Frame]) -> bool:
    """Whether a stack ends in a collective operation, or in a backward pass, which has some in it."""
    places = ("/torch/distributed/", "/torch/autograd/", "/torch/nn/parallel/")
    return any(place in frame[0].replace(os.sep, "/") for frame in stack[-4:] for place in places)


def _is_library(file: str) -> bool:
    parts = file.replace(os.sep, "/")
    return (
        "/site-packages/" in parts
        or "/dist-packages/" in parts
        or parts.startswith("<")
        or parts.startswith(os.path.dirname(os.__file__).replace(os.sep, "/"))
    )


def _line_of(frame: Frame) -> str:
    file, line, function = frame
    text = linecache.getline(file, line).strip()
    return f"  {file}:{line} in {function}" + (f": {text}" if text else "")
