"""Learning-rate range test (Smith, 2017, "Cyclical Learning Rates for Training Neural Networks",
section 3.3)."""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass, field

import torch.distributed as dist

from mmseg.engine.progress import ProgressBar
from mmseg.engine.trainer import Trainer
from mmseg.utils.distributed import get_rank, get_world_size
from mmseg.utils.errors import UserError
from mmseg.utils.random import seed_iteration

SMOOTHING = 0.9  # share of the former losses in the smoothed one
DIVERGED = 4.0  # a smoothed loss this many times the lowest ends the sweep


@dataclass
class LrSweep:
    """Losses over a sweep of learning rates.

    Attributes:
        lrs: The optimizer's ``lr`` at each step (that of groups without a multiplier).
        losses: The loss before each step.
        smoothed: Their exponential average, corrected for its start.
        diverged: Whether the sweep ended before its last learning rate.
    """

    lrs: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    smoothed: list[float] = field(default_factory=list)
    diverged: bool = False

    def add(self, lr: float, loss: float) -> None:
        """Take one step; notices when the loss runs away."""
        self.lrs.append(lr)
        self.losses.append(loss)
        if not math.isfinite(loss):
            self.smoothed.append(math.nan)
            self.diverged = True
            return
        n = len(self.losses)
        before = self.smoothed[-1] * (1 - SMOOTHING ** (n - 1)) if n > 1 else 0.0
        self.smoothed.append((SMOOTHING * before + (1 - SMOOTHING) * loss) / (1 - SMOOTHING**n))
        self.diverged = n > 10 and self.smoothed[-1] > DIVERGED * min(self.smoothed)

    def suggestion(self) -> float | None:
        """The learning rate at which the smoothed loss falls fastest before its lowest point.

        The slope is over the logarithm of the rate. None where the loss never falls.
        """
        values = [v for v in self.smoothed if math.isfinite(v)]
        lowest = min(range(len(values)), key=values.__getitem__, default=0)
        slopes = {
            i: (values[i + 1] - values[i - 1]) / math.log(self.lrs[i + 1] / self.lrs[i - 1])
            for i in range(1, min(lowest + 1, len(values) - 1))
        }
        if not slopes or min(slopes.values()) >= 0:
            return None
        return self.lrs[min(slopes, key=slopes.__getitem__)]


def sweep_learning_rates(trainer: Trainer, *, min_lr: float, max_lr: float, iters: int) -> LrSweep:
    """Train for ``iters`` optimizer steps while the learning rate rises exponentially.

    The model is trained away; nothing is written. Groups with a multiplier keep it. With
    ``cumulative_iters`` a step takes as many batches.

    Args:
        trainer: New, not resumed.
        min_lr, max_lr: The ends of the sweep.
        iters: Its steps, at least 10.

    Raises:
        UserError: values that make no sweep.
    """
    if not 0 < min_lr < max_lr:
        raise UserError(
            f"the sweep goes from a smaller to a larger positive rate, not from {min_lr} to {max_lr}"
        )
    if iters < 10:
        raise UserError(f"a sweep needs at least 10 iterations, not {iters}")
    groups = trainer.optimizer.param_groups
    base = trainer.optimizer.defaults.get("lr")
    factors = [group["initial_lr"] / base if base else 1.0 for group in groups]
    sweep, batches = LrSweep(), trainer.batches()
    trainer.train_mode()
    with ProgressBar("lr finder", iters, enabled=get_rank() == 0) as bar:
        for i in range(iters):
            lr = min_lr * (max_lr / min_lr) ** (i / (iters - 1))
            for group, factor in zip(groups, factors, strict=True):
                group["lr"] = lr * factor
            sweep.add(lr, _step(trainer, batches))
            bar.advance()
            if sweep.diverged:
                break
    return sweep


def _step(trainer: Trainer, batches: object) -> float:
    """One optimizer step; returns the mean loss of its batches over all ranks."""
    total, count = 0.0, trainer.accumulation.cumulative_iters
    for k in range(count):
        seed_iteration(trainer.seed, trainer.iter, get_rank())
        log_vars = trainer.forward_backward(next(batches))  # type: ignore[call-overload]
        total = total + log_vars["loss"].double() / count
        if k == count - 1:
            trainer.optimizer_step(log_vars)
        trainer.iter += 1
    if get_world_size() > 1:
        dist.all_reduce(total)
        total = total / get_world_size()
    return float(total)


def write_sweep(sweep: LrSweep, folder: str) -> tuple[str, str]:
    """Write ``lr_finder.csv`` (lr, loss, smoothed) and the chart ``lr_finder.png``; return their paths."""
    table, chart = os.path.join(folder, "lr_finder.csv"), os.path.join(folder, "lr_finder.png")
    with open(table, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["lr", "loss", "smoothed"])
        writer.writerows(zip(sweep.lrs, sweep.losses, sweep.smoothed, strict=True))

    from matplotlib.backends.backend_agg import FigureCanvasAgg  # draws without a display
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(sweep.lrs, sweep.losses, color="0.8", label="loss")
    axes.plot(sweep.lrs, sweep.smoothed, label="smoothed")
    best = sweep.suggestion()
    if best is not None:
        axes.axvline(best, color="tab:red", linestyle="--", label=f"steepest: {best:.2e}")
    finite = [v for v in sweep.smoothed if math.isfinite(v)]
    if finite:  # the last losses of a run that diverged would flatten everything else
        axes.set_ylim(0, 1.5 * max(finite[: max(1, len(finite) // 2)]))
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.legend()
    figure.savefig(chart, dpi=120)
    return table, chart
