"""One score of each evaluation: for the best checkpoint, and for stopping early."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from mmseg.core.evaluation.metrics import check_metrics, total_area_to_metrics
from mmseg.core.evaluation.report import eval_results
from mmseg.engine.sections import build_section
from mmseg.engine.val_loss import loss_names, wants_val_loss
from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.logger import get_root_logger


class Monitor:
    """Picks a score and tells the better of two.

    Args:
        key: A key of an evaluation's scores: ``mIoU``, ``IoU.road``, ``loss``, ``decode.loss_ce``, ...
            Loggers show them below ``val/``, which may stand in front.
        where: The setting that names the key, for messages.
        rule: ``greater`` or ``less``; None infers it: losses shall fall, everything else shall rise.
        min_delta: By how much a score must be better to count as such.

    Raises:
        UserError: an unknown rule or a negative ``min_delta``.
    """

    def __init__(self, key: str, *, where: str, rule: str | None = None, min_delta: float = 0.0) -> None:
        if not isinstance(key, str):
            raise UserError(f"{where} names one score such as 'mIoU', not {key!r}")
        if rule not in (None, "greater", "less"):
            raise UserError(f"{where}: the rule is 'greater' or 'less', not {rule!r}")
        if not isinstance(min_delta, int | float) or min_delta < 0:
            raise UserError(f"{where}: min_delta must not be negative, and is {min_delta!r}")
        self.key, self.where, self.min_delta = key.removeprefix("val/"), where, min_delta
        self.rule = rule or ("less" if "loss" in self.key.lower() else "greater")

    @property
    def is_loss(self) -> bool:
        """Whether only the validation loss gives this score."""
        return "loss" in self.key or self.key.endswith("acc_seg")

    def check(self, known: Sequence[str]) -> None:
        """Raise ``UserError`` where the key is not among ``known``; the first of those are named."""
        if self.key not in known:
            raise UserError(
                f"{self.where}: no score is called `{self.key}`{near_matches(self.key, known)} "
                f"(known: {', '.join(known[:15])}{', ...' if len(known) > 15 else ''})"
            )

    def value(self, scores: Mapping[str, float]) -> float:
        """Return the monitored score; NaN where it has no value this time.

        Raises:
            UserError: there is no such score.
        """
        self.check(list(scores))
        return float(scores[self.key])

    def improves(self, score: float, best: float | None) -> bool:
        """Whether ``score`` is better than ``best``; NaN never is, and anything is better than None."""
        if math.isnan(score):
            return False
        if best is None:
            return True
        return score > best + self.min_delta if self.rule == "greater" else score < best - self.min_delta

    def file_name(self, unit: str, count: int) -> str:
        """``best_mIoU_iter_100.pth``; what a file name should not hold becomes ``_``."""
        return f"best_{re.sub(r'[^A-Za-z0-9_.-]+', '_', self.key)}_{unit}_{count}.pth"


class EarlyStopping:
    """Ends a run when a score has not improved for ``patience`` evaluations.

    Args:
        monitor: The score, as ``evaluation.save_best`` names it; ``auto`` is the first metric.
        patience: Evaluations without improvement after which the run ends.
        min_delta: Smaller improvements do not count.
        rule: ``greater`` or ``less``; inferred if None.
    """

    def __init__(
        self, monitor: str = "auto", patience: int = 5, min_delta: float = 0.0, rule: str | None = None
    ) -> None:
        if not isinstance(patience, int) or isinstance(patience, bool) or patience < 1:
            raise UserError(f"early_stopping.patience counts evaluations, at least 1, not {patience!r}")
        self.monitor = Monitor(monitor, where="early_stopping.monitor", rule=rule, min_delta=min_delta)
        self.patience = patience
        self.state: dict[str, Any] = {"best": None, "waited": 0}

    @property
    def should_stop(self) -> bool:
        """Whether patience is at its end; a resumed run with more of it goes on."""
        return self.state["waited"] >= self.patience

    def update(self, scores: Mapping[str, float]) -> None:
        """Take the scores of an evaluation."""
        score = self.monitor.value(scores)
        if self.monitor.improves(score, self.state["best"]):
            self.state = {"best": score, "waited": 0}
        else:
            self.state = {**self.state, "waited": self.state["waited"] + 1}

    def reason(self) -> str:
        """Why the run stops, for the log."""
        best = self.state["best"]
        return (
            f"{self.monitor.key} has not improved for {self.patience} evaluations"
            f" (best: {'none' if best is None else f'{best:.4f}'})"
        )


def known_scores(dataset: Any, metrics: str | Sequence[str]) -> list[str]:
    """Names of the scores that ``evaluate`` gives for this data set and these metrics."""
    nothing = [np.zeros(len(dataset.CLASSES))] * 4
    names = list(eval_results(total_area_to_metrics(*nothing, check_metrics(metrics)), dataset.CLASSES))
    parts = dataset.eval_parts() if hasattr(dataset, "eval_parts") else ()  # joined data sets
    return [*names, *(f"{i}_{name}" for i in range(len(parts)) for name in names)]


@dataclass(frozen=True)
class EvaluationPlan:
    """What evaluations measure, and what is made of it.

    Attributes:
        metrics: Of ``mIoU``, ``mDice``, ``mFscore``.
        with_loss: Whether the validation loss is computed.
        best: Decides which checkpoint is the best; None keeps none.
        early_stopping: Decides when the run ends; None leaves it to the plan.
    """

    metrics: list[str]
    with_loss: bool
    best: Monitor | None
    early_stopping: EarlyStopping | None


def plan_evaluation(cfg: Mapping[str, Any], model: nn.Module, dataset: Any) -> EvaluationPlan:
    """Read ``evaluation``, ``workflow`` and ``early_stopping``.

    A validation loss is computed where it is asked for, and where ``save_best`` or ``early_stopping``
    monitors it.

    Args:
        cfg: The config; its ``custom_hooks`` may add scores, so with some of them unknown keys are
            reported at the first evaluation only.
        model: Its heads tell what losses there will be.
        dataset: The validation set, or None.

    Raises:
        UserError: an unknown metric, rule or key.
    """
    evaluation = cfg.get("evaluation") or {}
    metrics = check_metrics(evaluation.get("metric") or "mIoU")
    key, rule, best = evaluation.get("save_best"), evaluation.get("rule"), None
    if key:
        key = metrics[0] if key in ("auto", True) else key
        for name, keys in (("greater", "greater_keys"), ("less", "less_keys")):
            if rule is None and key in (evaluation.get(keys) or ()):
                rule = name
        best = Monitor(key, where="evaluation.save_best", rule=rule)
    stopping = build_section(cfg, "early_stopping", EarlyStopping)
    if stopping is not None and stopping.monitor.key == "auto":
        stopping.monitor.key = metrics[0]
    if stopping is not None and dataset is None:
        get_root_logger().warning("early_stopping does nothing in a run without validation")
    monitors = [m for m in (best, stopping and stopping.monitor) if m is not None]
    with_loss = wants_val_loss(cfg) or any(m.is_loss for m in monitors)
    if dataset is not None and not cfg.get("custom_hooks"):
        losses = loss_names(model) if with_loss else []
        known = None if losses is None else [*losses, *known_scores(dataset, metrics)]
        for monitor in monitors if known else ():
            monitor.check(known)
    return EvaluationPlan(metrics, with_loss, best, stopping)
