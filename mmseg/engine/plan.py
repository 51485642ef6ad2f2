"""The numbers of a run, worked out from its config before it starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmseg.utils.errors import UserError

DEFAULT_LOG_INTERVAL = 50


@dataclass(frozen=True)
class RunPlan:
    """Lengths and intervals in iterations; an interval of 0 means never.

    ``by_epoch`` is how progress is counted for the user: in file names, in the log, in the schedule.
    """

    max_iters: int
    iters_per_epoch: int
    by_epoch: bool
    log_interval: int
    eval_interval: int
    eval_start: int
    save_interval: int
    max_keep: int
    save_last: bool

    @property
    def max_epochs(self) -> int:
        return math.ceil(self.max_iters / self.iters_per_epoch)

    def is_eval_time(self, iteration: int) -> bool:
        """Whether to evaluate after ``iteration`` finished iterations: at the interval and at the end."""
        if not self.eval_interval:
            return False
        due = iteration % self.eval_interval == 0 and iteration >= self.eval_start
        return due or iteration == self.max_iters

    def is_save_time(self, iteration: int, last: bool = False) -> bool:
        """Whether to keep a numbered checkpoint after ``iteration`` finished iterations; ``last`` says that
        the run stops there, before its planned end."""
        if self.save_interval and iteration % self.save_interval == 0:
            return True
        return self.save_last and (last or iteration == self.max_iters)

    def checkpoint_name(self, iteration: int) -> str:
        """``iter_N.pth``, or ``epoch_N.pth`` at the end of an epoch of an epoch-based run."""
        if self.by_epoch and iteration % self.iters_per_epoch == 0:
            return f"epoch_{iteration // self.iters_per_epoch}.pth"
        return f"iter_{iteration}.pth"


def plan_run(cfg: Mapping[str, Any], iters_per_epoch: int) -> RunPlan:
    """Work out a ``RunPlan`` from ``runner``, ``evaluation``, ``checkpoint_config`` and ``log_config``.

    Raises:
        UserError: no length, or one that is not a positive integer.
    """
    runner = _runner_of(cfg)
    by_epoch = runner["type"] == "EpochBasedRunner"
    key = "max_epochs" if by_epoch else "max_iters"
    length = runner.get(key)
    if not isinstance(length, int) or length < 1:
        raise UserError(f"runner.{key} must be a positive integer, not {length!r}")
    max_iters = length * iters_per_epoch if by_epoch else length

    def interval_of(section: Mapping[str, Any], default: int, name: str) -> int:
        interval = section.get("interval", default)
        if not isinstance(interval, int):
            raise UserError(f"{name}.interval must be an integer, not {interval!r}")
        return max(0, interval) * (iters_per_epoch if section.get("by_epoch", by_epoch) else 1)

    evaluation = cfg.get("evaluation") or {}
    # In 0.25 the runner's kind decides how evaluations are counted, whatever the section says.
    evaluation = {**evaluation, "by_epoch": by_epoch}
    saving = cfg.get("checkpoint_config") or {}
    logging = cfg.get("log_config") or {}
    return RunPlan(
        max_iters=max_iters,
        iters_per_epoch=iters_per_epoch,
        by_epoch=by_epoch,
        log_interval=max(1, logging.get("interval", DEFAULT_LOG_INTERVAL)),
        eval_interval=interval_of(evaluation, 1 if by_epoch else 1000, "evaluation"),
        eval_start=(evaluation.get("start") or 0) * (iters_per_epoch if by_epoch else 1),
        save_interval=interval_of(saving, -1, "checkpoint_config"),
        max_keep=saving.get("max_keep_ckpts", -1),
        save_last=bool(saving.get("save_last", True)),
    )


def _runner_of(cfg: Mapping[str, Any]) -> dict[str, Any]:
    runner = cfg.get("runner")
    if not runner:
        if cfg.get("total_epochs"):
            return {"type": "EpochBasedRunner", "max_epochs": cfg["total_epochs"]}
        if cfg.get("total_iters"):
            return {"type": "IterBasedRunner", "max_iters": cfg["total_iters"]}
        raise UserError(
            "the config has no `runner`: say runner=dict(type='IterBasedRunner', max_iters=20000) "
            "or runner=dict(type='EpochBasedRunner', max_epochs=100)"
        )
    kind = runner.get("type", "IterBasedRunner" if "max_iters" in runner else "EpochBasedRunner")
    if kind not in ("IterBasedRunner", "EpochBasedRunner"):
        raise UserError(f"runner.type: unknown runner `{kind}` (known: IterBasedRunner, EpochBasedRunner)")
    return {**runner, "type": kind}
