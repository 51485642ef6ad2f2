"""The profiler by config: a Chrome trace and a table of the heaviest operators."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import profiler

from mmseg.engine.sections import build_section
from mmseg.utils.distributed import get_rank
from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.logger import get_root_logger

_SCHEDULE = {"wait": 1, "warmup": 1, "active": 3}
_ACTIVITIES = {"cpu": profiler.ProfilerActivity.CPU, "cuda": profiler.ProfilerActivity.CUDA}


class Profiling:
    """Profiles the first iterations of a run on rank 0, as mmcv 1.x's ``ProfilerHook`` is set up.

    Each recording is written to ``WORK_DIR/profile/trace.json`` (``trace_2.json``, ... for further
    ones), for chrome://tracing or https://ui.perfetto.dev, and its heaviest operators go to the log.

    Args:
        schedule: ``wait``, ``warmup`` and ``active`` steps, perhaps ``repeat`` and ``skip_first``, of
            ``torch.profiler.schedule``. With ``profile_iters`` and without this, all of those are recorded.
        profile_iters: Steps after which the profiler ends; by default the schedule's sum.
        by_epoch: A step is an epoch instead of an iteration.
        activities: ``cpu``, ``cuda``; what the machine does not have is left out.
        on_trace_ready: ``dict(type='log_trace', sort_by_key=..., row_limit=...)`` shapes the table,
            ``dict(type='tb_trace', dir_name=..., worker_name=...)`` puts a copy where tensorboard looks; a
            function takes the profiler and writes what it likes instead.
        record_shapes, profile_memory, with_stack, with_flops: Of ``torch.profiler.profile``.
        json_trace_path: Another place for the trace.

    Raises:
        UserError: a value that it cannot have.
    """

    def __init__(
        self,
        schedule: Mapping[str, int] | None = None,
        profile_iters: int | None = None,
        by_epoch: bool = False,
        activities: Sequence[str] = ("cpu", "cuda"),
        on_trace_ready: Mapping[str, Any] | Callable[[Any], None] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        json_trace_path: str | None = None,
    ) -> None:
        for name in activities:
            if name not in _ACTIVITIES:
                raise UserError(f"profiler_config.activities: `{name}` is neither 'cpu' nor 'cuda'")
        if profile_iters is not None and (not isinstance(profile_iters, int) or profile_iters < 1):
            raise UserError(
                f"profiler_config.profile_iters must be a positive integer, not {profile_iters!r}"
            )
        if schedule is None and profile_iters is None:
            schedule = _SCHEDULE
        self.schedule = None if schedule is None else _schedule(schedule)
        self.steps = profile_iters or _length(schedule)
        self.by_epoch = by_epoch
        self.activities = list(activities)
        self.table, self.board, self.own_handler = _handler(on_trace_ready)
        self.options = dict(
            record_shapes=record_shapes,
            profile_memory=profile_memory,
            with_stack=with_stack,
            with_flops=with_flops,
        )
        self.trace_path = json_trace_path
        self.traces: list[str] = []
        self._profile: profiler.profile | None = None

    def start(self, work_dir: str, device: torch.device) -> None:
        """Begin; the trace goes to ``work_dir`` unless the config has a place of its own."""
        self._path = self.trace_path or os.path.join(work_dir, "profile", "trace.json")
        self._work_dir, self._done = work_dir, 0
        kinds = [_ACTIVITIES[n] for n in self.activities if n == "cpu" or device.type == "cuda"]
        self._profile = profiler.profile(
            activities=kinds or [_ACTIVITIES["cpu"]],
            schedule=self.schedule,
            on_trace_ready=self._on_trace,
            **self.options,
        )
        self._profile.start()

    def step(self, end_of_epoch: bool) -> None:
        """After each iteration."""
        if self._profile is None or (self.by_epoch and not end_of_epoch):
            return
        self._done += 1
        if self._done >= self.steps:
            self.stop()
        else:
            self._profile.step()

    def stop(self) -> None:
        """End, and write what was being recorded."""
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def _on_trace(self, profile: profiler.profile) -> None:
        where = "with the config's own function"
        if self.own_handler is not None:
            self.own_handler(profile)
        else:
            where = f"in {self._export(profile)}"
        on_cuda = any(kind is _ACTIVITIES["cuda"] for kind in profile.activities)
        key = self.table["sort_by_key"] or ("self_cuda_time_total" if on_cuda else "self_cpu_time_total")
        table = profile.key_averages().table(sort_by=key, row_limit=self.table["row_limit"])
        get_root_logger().info(f"the profiler's trace is {where}; by {key}:\n{table}")

    def _export(self, profile: profiler.profile) -> str:
        root, suffix = os.path.splitext(self._path)
        path = self._path if not self.traces else f"{root}_{len(self.traces) + 1}{suffix}"
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        profile.export_chrome_trace(path)
        self.traces.append(path)
        if self.board is not None:  # a copy: torch writes a trace only once
            folder = self.board.get("dir_name") or os.path.join(self._work_dir, "tf_logs")
            worker = self.board.get("worker_name") or f"{socket.gethostname()}_{os.getpid()}"
            os.makedirs(folder, exist_ok=True)
            shutil.copyfile(path, os.path.join(folder, f"{worker}.{time.time_ns()}.pt.trace.json"))
        return path


def build_profiling(cfg: Mapping[str, Any]) -> Profiling | None:
    """The profiler that ``profiler_config`` (True, or settings) asks for, on rank 0.

    Raises:
        UserError: a setting that it does not take.
    """
    section = cfg.get("profiler_config")
    if isinstance(section, Mapping):
        cfg = {"profiler_config": {k: v for k, v in section.items() if k != "type"}}
    profiling = build_section(cfg, "profiler_config", Profiling)
    return profiling if get_rank() == 0 else None


def _schedule(schedule: Mapping[str, int]) -> Callable[[int], Any]:
    known = ("wait", "warmup", "active", "repeat", "skip_first")
    for key, value in schedule.items():
        if key not in known:
            raise UserError(f"profiler_config.schedule: unknown key `{key}`{near_matches(key, known)}")
        if not isinstance(value, int) or value < (key == "active"):
            raise UserError(f"profiler_config.schedule.{key} must be a number of steps, not {value!r}")
    return profiler.schedule(**{**_SCHEDULE, **schedule})


def _length(schedule: Mapping[str, int] | None) -> int:
    values = {**_SCHEDULE, **(schedule or {})}
    cycle = values["wait"] + values["warmup"] + values["active"]
    return values.get("skip_first", 0) + cycle * max(1, values.get("repeat", 1))


def _handler(
    on_trace_ready: Any,
) -> tuple[dict[str, Any], dict[str, Any] | None, Callable[[Any], None] | None]:
    """The shape of the table, where tensorboard looks for traces, and a function that writes them."""
    table = {"sort_by_key": None, "row_limit": 20}
    if on_trace_ready is None:
        return table, None, None
    if callable(on_trace_ready):
        return table, None, on_trace_ready
    settings = dict(on_trace_ready)
    kind = settings.pop("type", None)
    kinds = {"log_trace": ("sort_by_key", "row_limit"), "tb_trace": ("dir_name", "worker_name")}
    if kind not in kinds:
        raise UserError(f"profiler_config.on_trace_ready.type is 'log_trace' or 'tb_trace', not {kind!r}")
    for key in settings:
        if key not in kinds[kind]:
            raise UserError(
                f"profiler_config.on_trace_ready: {kind} takes no `{key}`{near_matches(key, kinds[kind])}"
            )
    return ({**table, **settings}, None, None) if kind == "log_trace" else (table, settings, None)
