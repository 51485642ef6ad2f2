"""Runs in other processes that tests stop, kill and start again."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.helpers_run import REPO, tiny_config, write_config, write_dataset

PATIENCE = 240.0  # seconds; a machine may have other things to do


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def survivor_config(folder: Path, max_iters: int, **sections: Any) -> Path:
    """A config that evaluates and saves often, with its data, in ``folder``."""
    own = dict(
        seed=1,
        evaluation=dict(interval=20, metric="mIoU", save_best="mIoU"),
        checkpoint_config=dict(by_epoch=False, interval=5, max_keep_ckpts=3),
        log_config=dict(interval=5, hooks=[dict(type="TextLoggerHook"), dict(type="CsvLoggerHook")]),
        custom_imports=dict(imports=["tests.helpers_hooks"], allow_failed_imports=False),
    )
    config = tiny_config(write_dataset(folder / "data"), max_iters=max_iters, **(own | sections))
    return write_config(folder / "config.py", config)


class Run:
    """``tools/dist_train.sh`` as one agent, with everything it starts.

    Args:
        config: Of the run.
        gpus: Processes.
        work_dir: Of the run; it is resumed.
        prefix: Words before the command, such as ``ip netns exec NAME``.
        variables: Of the environment, such as ``NNODES``.
    """

    started: list[Run] = []

    def __init__(
        self,
        config: Path,
        gpus: int,
        work_dir: Path,
        *args: object,
        prefix: tuple[str, ...] = (),
        **variables: object,
    ) -> None:
        own = dict(PYTHON=sys.executable, OMP_NUM_THREADS=1, PORT=free_port()) | variables
        env = {**os.environ, **{name: str(value) for name, value in own.items()}}
        words = ["bash", REPO / "tools" / "dist_train.sh", config, gpus, "--auto-resume"]
        words += ["--work-dir", work_dir, *args]
        Run.started.append(self)
        self.work_dir = work_dir
        work_dir.mkdir(parents=True, exist_ok=True)
        self.log = work_dir.parent / f"{work_dir.name}_{time.time_ns()}.txt"
        with open(self.log, "w") as log:
            self.agent = subprocess.Popen(
                [*prefix, *map(str, words)], env=env, stdout=log, stderr=subprocess.STDOUT, cwd=REPO
            )

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until ``condition`` holds; the run must not end before."""
        ends = time.monotonic() + PATIENCE
        while not condition():
            assert self.agent.poll() is None, f"ended before {what}:\n{self.output()[-3000:]}"
            assert time.monotonic() < ends, f"no {what} within {PATIENCE} s:\n{self.output()[-3000:]}"
            time.sleep(0.02)

    def wait_for_log(self, pattern: str) -> None:
        self.wait_for(lambda: re.search(pattern, self.output()) is not None, f"`{pattern}` in the log")

    def heartbeat(self, rank: int) -> dict[str, Any]:
        """The last one of ``rank``."""
        path = self.work_dir / "heartbeats" / f"rank_{rank}.json"
        self.wait_for(path.exists, f"heartbeat of rank {rank}")
        return json.loads(path.read_text())

    def ended(self) -> int:
        """Wait for the end; gives the exit status."""
        return self.agent.wait(timeout=PATIENCE)

    def kill_everything(self) -> None:
        """Kill the agent and whatever it started, with -9."""
        for pid in (self.agent.pid, *descendants(self.agent.pid)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.agent.wait()


def end_all_runs() -> None:
    """Kill whatever a test has left."""
    for run in Run.started:
        if run.agent.poll() is None:
            run.kill_everything()
    Run.started.clear()


def descendants(pid: int) -> list[int]:
    """The processes below ``pid``."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def weights_of(work_dir: Path, name: str = "latest.pth") -> dict[str, Any]:
    """Weights and optimizer state of a run."""
    checkpoint = torch.load(work_dir / name, weights_only=True)
    return {key: checkpoint[key] for key in ("meta", "state_dict", "optimizer", "best")} | {
        "meta": checkpoint["meta"]["iter"]
    }
