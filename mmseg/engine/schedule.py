"""Learning-rate schedules: each policy is arithmetic on the iteration number.

The learning rate of iteration ``i`` is ``policy(i) * warm-up(i)``: a pure function of ``i``, with
nothing to save or to replay. Policies and their arguments are those of MMSegmentation 0.25.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

from torch.optim import Optimizer

from mmseg.engine.schedule_values import check_values, is_number
from mmseg.utils.errors import UserError, near_matches

# progress and total are iterations, or epochs where the schedule is by epoch.
Policy = Callable[..., float]


def fixed(base: float, progress: int, total: int) -> float:
    """``base`` at all times."""
    return base


def step(
    base: float,
    progress: int,
    total: int,
    *,
    step: int | Sequence[int],
    gamma: float = 0.1,
    min_lr: float | None = None,
) -> float:
    """``base`` times ``gamma`` for every step passed; ``step`` is a period or a list of positions."""
    passed = progress // step if isinstance(step, int) else sum(progress >= s for s in step)
    value = base * gamma**passed
    return value if min_lr is None else max(value, min_lr)


def exp(base: float, progress: int, total: int, *, gamma: float) -> float:
    """``base * gamma ** progress``."""
    return base * gamma**progress


def inv(base: float, progress: int, total: int, *, gamma: float, power: float = 1.0) -> float:
    """``base * (1 + gamma * progress) ** -power``."""
    return base * (1 + gamma * progress) ** -power


def poly(base: float, progress: int, total: int, *, power: float = 1.0, min_lr: float = 0.0) -> float:
    """From ``base`` to ``min_lr`` along ``(1 - progress / total) ** power``."""
    return (base - min_lr) * max(0.0, 1 - progress / total) ** power + min_lr


def poly_restart(
    base: float,
    progress: int,
    total: int,
    *,
    periods: Sequence[int],
    restart_weights: Sequence[float] = (1,),
    power: float = 1.0,
    min_lr: float = 0.0,
) -> float:
    """A poly decay in each of ``periods``, starting at ``min_lr + weight * (base - min_lr)``."""
    fraction, weight = _within_period(progress, periods, restart_weights)
    return weight * (base - min_lr) * (1 - fraction) ** power + min_lr


def cosine_annealing(
    base: float,
    progress: int,
    total: int,
    *,
    min_lr: float | None = None,
    min_lr_ratio: float | None = None,
) -> float:
    """Half a cosine from ``base`` to ``min_lr`` (or ``base * min_lr_ratio``)."""
    return _cosine(base, _floor(base, min_lr, min_lr_ratio), progress / total)


def flat_cosine_annealing(
    base: float,
    progress: int,
    total: int,
    *,
    start_percent: float = 0.75,
    min_lr: float | None = None,
    min_lr_ratio: float | None = None,
) -> float:
    """``base`` for the first ``start_percent`` of the run, then half a cosine."""
    start = round(total * start_percent)
    if progress < start:
        return base
    return _cosine(base, _floor(base, min_lr, min_lr_ratio), (progress - start) / max(1, total - start))


def cosine_restart(
    base: float,
    progress: int,
    total: int,
    *,
    periods: Sequence[int],
    restart_weights: Sequence[float] = (1,),
    min_lr: float | None = None,
    min_lr_ratio: float | None = None,
) -> float:
    """Half a cosine in each of ``periods`` (Loshchilov and Hutter 2017, SGDR)."""
    fraction, weight = _within_period(progress, periods, restart_weights)
    return _cosine(base, _floor(base, min_lr, min_lr_ratio), fraction, weight)


def linear_annealing(
    base: float,
    progress: int,
    total: int,
    *,
    min_lr: float | None = None,
    min_lr_ratio: float | None = None,
) -> float:
    """A straight line from ``base`` to ``min_lr`` (or ``base * min_lr_ratio``)."""
    end = _floor(base, min_lr, min_lr_ratio)
    return base + (end - base) * min(1.0, progress / total)


def cyclic(
    base: float,
    progress: int,
    total: int,
    *,
    target_ratio: float | Sequence[float] = (10, 1e-4),
    cyclic_times: int = 1,
    step_ratio_up: float = 0.4,
    anneal_strategy: str = "cos",
    gamma: float = 1.0,
) -> float:
    """``cyclic_times`` times from ``base`` up to ``target_ratio[0] * base`` and down to
    ``target_ratio[1] * base``; each further peak rises above ``base`` by ``gamma`` times the former.

    (Smith, 2017, "Cyclical Learning Rates for Training Neural Networks".)
    """
    up, down = _ratios(target_ratio)
    length = max(1, total // cyclic_times)
    rising = int(step_ratio_up * length)
    cycle, position = divmod(progress, length)
    peak = 1 + gamma**cycle * (up - 1)
    if position < rising:
        return _anneal(anneal_strategy, base, base * peak, position / rising)
    return _anneal(anneal_strategy, base * peak, base * down, (position - rising) / (length - rising))


def one_cycle(
    base: float,
    progress: int,
    total: int,
    *,
    max_lr: float,
    total_steps: int | None = None,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> float:
    """From ``max_lr / div_factor`` up to ``max_lr`` and down to its ``1 / final_div_factor``; the
    optimizer's own rate plays no part. ``three_phase`` comes back to the start before it falls to the end.

    (Smith and Topin, 2018, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates".)
    """
    steps = total_steps or total
    start = max_lr / div_factor
    points = [(0.0, start), (pct_start * steps - 1, max_lr)]
    if three_phase:
        points.append((2 * pct_start * steps - 2, start))
    points.append((steps - 1.0, start / final_div_factor))
    for (begin, low), (end, high) in pairwise(points):
        if progress <= end:
            fraction = (progress - begin) / (end - begin) if end > begin else 1.0
            return _anneal(anneal_strategy, low, high, fraction)
    return points[-1][1]


POLICIES: dict[str, Policy] = {
    "fixed": fixed,
    "step": step,
    "exp": exp,
    "inv": inv,
    "poly": poly,
    "polyrestart": poly_restart,
    "cosineannealing": cosine_annealing,
    "flatcosineannealing": flat_cosine_annealing,
    "cosinerestart": cosine_restart,
    "linearannealing": linear_annealing,
    "cyclic": cyclic,
    "onecycle": one_cycle,
}
_NAMES = ["poly", "PolyRestart", "fixed", "step", "exp", "inv", "CosineAnnealing", "FlatCosineAnnealing"]
_NAMES += ["CosineRestart", "LinearAnnealing", "cyclic", "OneCycle"]
_COMMON = ("policy", "type", "by_epoch", "warmup", "warmup_iters", "warmup_ratio", "warmup_by_epoch")


class LRSchedule:
    """Sets the learning rate of every parameter group for a given iteration.

    Args:
        optimizer: Its groups' present learning rates are the bases (kept as ``initial_lr``).
        lr_at: ``(base, iteration) -> learning rate``.
    """

    def __init__(self, optimizer: Optimizer, lr_at: Callable[[float, int], float]) -> None:
        self.optimizer = optimizer
        self.lr_at = lr_at
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])

    def step(self, iteration: int) -> None:
        """Set the learning rates of ``iteration`` (0-based)."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr_at(group["initial_lr"], iteration)


def build_lr_schedule(
    lr_config: dict[str, Any] | None,
    optimizer: Optimizer,
    max_iters: int,
    iters_per_epoch: int | None = None,
    by_epoch: bool | None = None,
) -> LRSchedule:
    """Build the schedule that ``lr_config`` describes.

    Args:
        lr_config: ``policy`` (``poly``, ``PolyRestart``, ``fixed``, ``step``, ``exp``, ``inv``,
            ``CosineAnnealing``, ``FlatCosineAnnealing``, ``CosineRestart``, ``LinearAnnealing``,
            ``cyclic``, ``OneCycle``), its arguments, ``by_epoch``, and ``warmup`` (``constant``,
            ``linear``, ``exp``) with ``warmup_iters``, ``warmup_ratio``, ``warmup_by_epoch``. None means
            fixed.
        optimizer: Whose groups' learning rates are the bases.
        max_iters: Length of the run in iterations.
        iters_per_epoch: Needed where the schedule or the warm-up counts epochs.
        by_epoch: For an ``lr_config`` that does not say it; by default whether ``iters_per_epoch`` is
            given. ``cyclic`` and ``OneCycle`` always count iterations.

    Raises:
        UserError: an unknown policy, warm-up or argument, or a value out of range.
    """
    cfg = dict(lr_config or {"policy": "fixed"})
    policy, arguments = _policy_of(cfg)
    counts_iterations = policy in (cyclic, one_cycle)
    if by_epoch is None:
        by_epoch = iters_per_epoch is not None
    by_epoch = bool(cfg.get("by_epoch", by_epoch and not counts_iterations))
    if by_epoch and counts_iterations:
        raise UserError(f"lr_config: policy {cfg.get('policy')} counts iterations; set by_epoch=False")
    if by_epoch and iters_per_epoch is None:
        raise UserError("lr_config: by_epoch=True needs the number of iterations per epoch")
    total = math.ceil(max_iters / iters_per_epoch) if by_epoch else max_iters
    warm_up = _warm_up_of(cfg, iters_per_epoch)

    def lr_at(base: float, iteration: int) -> float:
        progress = iteration // iters_per_epoch if by_epoch else iteration
        # A restart's weight above 1 leads below 0 where a group's base is far below `min_lr`.
        return max(0.0, policy(base, progress, total, **arguments)) * warm_up(iteration)

    lr_at(1.0, 0)  # a value of the wrong kind shows here and not in the middle of a run
    return LRSchedule(optimizer, lr_at)


def _policy_of(cfg: dict[str, Any]) -> tuple[Policy, dict[str, Any]]:
    name = cfg.get("policy") or str(cfg.get("type", "")).removesuffix("LrUpdaterHook") or None
    policy = POLICIES.get(str(name).lower())
    if policy is None:
        raise UserError(
            f"lr_config.policy: unknown policy `{name}`{near_matches(str(name), _NAMES)}"
            f" (known: {', '.join(_NAMES)})"
        )
    parameters = inspect.signature(policy).parameters
    takes = {n: p for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    arguments = {k: v for k, v in cfg.items() if k not in _COMMON}
    for key in arguments:
        if key not in takes:
            raise UserError(
                f"lr_config: policy {name} takes no `{key}`{near_matches(key, [*takes, *_COMMON])}"
            )
    for key, parameter in takes.items():
        if parameter.default is parameter.empty and key not in arguments:
            raise UserError(f"lr_config: policy {name} needs `{key}`")
    check_values(arguments, {key: parameter.default is None for key, parameter in takes.items()})
    _check_cycles(policy, arguments)
    if "periods" in arguments:
        periods = arguments["periods"]
        weights = arguments.setdefault("restart_weights", [1] * len(periods))
        if len(periods) != len(weights):
            raise UserError(
                f"lr_config: periods has {len(periods)} entries and restart_weights {len(weights)}; "
                "give one weight a period"
            )
    if policy in (cosine_annealing, flat_cosine_annealing, cosine_restart, linear_annealing) and (
        (arguments.get("min_lr") is None) == (arguments.get("min_lr_ratio") is None)
    ):
        raise UserError(f"lr_config: policy {name} needs either `min_lr` or `min_lr_ratio`")
    return policy, arguments


def _check_cycles(policy: Policy, arguments: dict[str, Any]) -> None:
    """Raise ``UserError`` where an argument of ``cyclic`` or ``OneCycle`` is out of its range."""
    if policy not in (cyclic, one_cycle):
        return
    values = {
        k: p.default for k, p in inspect.signature(policy).parameters.items() if p.kind is p.KEYWORD_ONLY
    }
    values.update(arguments)
    share = "step_ratio_up" if policy is cyclic else "pct_start"
    if not 0 <= values[share] < 1:
        raise UserError(f"lr_config.{share} must lie in [0, 1), not {values[share]!r}")
    if values["anneal_strategy"] not in ("cos", "linear"):
        raise UserError(f"lr_config.anneal_strategy is 'cos' or 'linear', not {values['anneal_strategy']!r}")
    if policy is one_cycle and not isinstance(values["max_lr"], int | float):
        raise UserError(f"lr_config.max_lr must be one number, not {values['max_lr']!r}")
    if policy is cyclic and (not isinstance(values["cyclic_times"], int) or values["cyclic_times"] < 1):
        raise UserError(f"lr_config.cyclic_times must be a positive integer, not {values['cyclic_times']!r}")


def _warm_up_of(cfg: dict[str, Any], iters_per_epoch: int | None) -> Callable[[int], float]:
    """Return the factor by which warm-up multiplies the policy's learning rate of an iteration."""
    kind, ratio = cfg.get("warmup"), cfg.get("warmup_ratio", 0.1)
    if kind is None:
        return lambda i: 1.0
    kinds = ("constant", "linear", "exp")
    if kind not in kinds:
        raise UserError(
            f"lr_config.warmup: unknown kind `{kind}`{near_matches(str(kind), kinds)}"
            f" (known: {', '.join(kinds)})"
        )
    length = cfg.get("warmup_iters", 0)
    if not is_number(length) or length <= 0:
        raise UserError(f"lr_config.warmup_iters must be positive with warmup={kind!r}, not {length!r}")
    if not is_number(ratio) or not 0 <= ratio <= 1:
        raise UserError(f"lr_config.warmup_ratio must lie in 0..1, not {ratio!r}")
    if cfg.get("warmup_by_epoch"):
        if iters_per_epoch is None:
            raise UserError("lr_config: warmup_by_epoch=True needs the number of iterations per epoch")
        length *= iters_per_epoch

    def factor(i: int) -> float:
        if i >= length:
            return 1.0
        if kind == "constant":
            return ratio
        if kind == "linear":
            return 1 - (1 - i / length) * (1 - ratio)
        return ratio ** (1 - i / length)

    return factor


def _floor(base: float, min_lr: float | None, min_lr_ratio: float | None) -> float:
    return min_lr if min_lr is not None else base * (min_lr_ratio or 0.0)


def _cosine(start: float, end: float, fraction: float, weight: float = 1.0) -> float:
    return end + 0.5 * weight * (start - end) * (math.cos(math.pi * min(1.0, fraction)) + 1)


def _anneal(strategy: str, start: float, end: float, fraction: float) -> float:
    return start + (end - start) * fraction if strategy == "linear" else _cosine(start, end, fraction)


def _ratios(target_ratio: float | Sequence[float]) -> tuple[float, float]:
    """Peak and end of a cycle, in bases; the end of a lone peak is a hundred-thousandth of it."""
    if isinstance(target_ratio, int | float):
        target_ratio = (target_ratio,)
    return (target_ratio[0], target_ratio[0] / 1e5) if len(target_ratio) == 1 else tuple(target_ratio)


def _within_period(progress: int, periods: Sequence[int], weights: Sequence[float]) -> tuple[float, float]:
    """Return how far ``progress`` is into its period (0..1) and that period's weight; past the end, 1."""
    ends = list(accumulate(periods))
    for period, end, weight in zip(periods, ends, weights, strict=True):
        if progress < end:
            return (progress - (end - period)) / period, weight
    return 1.0, weights[-1]
