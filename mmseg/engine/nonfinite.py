"""Run one training step under observation: where the first value that is not finite comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmseg.engine.precision import Precision
from mmseg.engine.sharding import is_sharded, local_part
from mmseg.utils.random import seed_iteration

_SHOWN = 12


@dataclass
class StepTrace:
    """What one step gave.

    Attributes:
        losses: Every value of the log, the sum of the losses as ``loss``.
        first: Where the first value that is not finite stands: ``kind`` (``batch``, ``weights``, ``output``,
            ``loss``, ``gradient``) and ``name`` of the entry, parameter, module or loss; None without any.
        activations: For each module, in the order of their outputs, the largest absolute value in them.
        gradients: For each parameter the norm of its gradient; empty without a backward pass.
    """

    losses: dict[str, float] = field(default_factory=dict)
    first: dict[str, str] | None = None
    activations: list[tuple[str, float]] = field(default_factory=list)
    gradients: list[tuple[str, float]] = field(default_factory=list)

    def told(self) -> str:
        """``first`` in words."""
        if self.first is None:
            return "no value was found that is not finite when the step was computed once more"
        text = {
            "batch": "the batch itself holds it, in `{}`",
            "weights": "the weights are not finite before the step ({}), so an earlier gradient was not",
            "output": "it appears first in the output of `{}`",
            "loss": "every module's output is finite, and `{}` is not",
            "gradient": "the loss is finite, and the gradient is not, first that of `{}`",
        }
        return text[self.first["kind"]].format(self.first["name"])


def trace_step(
    model: nn.Module,
    batch: Mapping[str, Any],
    *,
    precision: Precision,
    device: torch.device,
    seed: int,
    iteration: int,
    rank: int = 0,
    backward: bool = False,
    loss_scale: float = 1.0,
) -> StepTrace:
    """Compute the losses of ``batch`` as iteration ``iteration`` (0-based) does, and look at every value.

    Gradients are added to those of the model; running statistics change; both are the caller's to restore.

    Args:
        model: A segmentor in training mode, on ``device``.
        batch: What the segmentor takes.
        precision: Autocast or not.
        device: Of model and batch.
        seed: Of the run; it and the two next decide what dropout draws.
        iteration: Of the step.
        rank: That computed it.
        backward: Compute the gradients too.
        loss_scale: Factor of the loss in the backward pass (float16).
    """
    trace = StepTrace()
    seen: list[tuple[str, Tensor]] = []
    flowing: list[tuple[str, Tensor]] = []
    hooks = [
        module.register_forward_hook(_observer(name, seen, flowing if backward else None))
        for name, module in model.named_modules()
        if name
    ]
    try:
        seed_iteration(seed, iteration, rank)
        with precision.autocast(device):
            loss, log_vars = model.parse_losses(model(**batch, return_loss=True))
        if backward:
            (loss * loss_scale).backward()
    finally:
        for hook in hooks:
            hook.remove()
    trace.losses = {name: float(value) for name, value in log_vars.items()}
    trace.activations = [(name, float(value)) for name, value in seen]
    if backward:
        trace.gradients = [
            (name, float(p.grad.detach().float().norm()) / loss_scale)
            for name, p in model.named_parameters()
            if p.grad is not None
        ]
    trace.first = _first(model, batch, trace, flowing)
    return trace


def _observer(name: str, seen: list[tuple[str, Tensor]], flowing: list[tuple[str, Tensor]] | None) -> Any:
    def observe(module: nn.Module, args: Any, output: Any) -> None:
        for value in tensors_in(output):
            if not value.is_floating_point() or not value.numel():
                continue
            seen.append((name, value.detach().abs().amax().float()))
            if flowing is not None and value.requires_grad:
                value.register_hook(lambda grad: flowing.append((name, grad.detach().abs().amax().float())))

    return observe


def _first(
    model: nn.Module, batch: Mapping[str, Any], trace: StepTrace, flowing: list[tuple[str, Tensor]]
) -> dict[str, str] | None:
    bad = _bad_weights(model)  # before anything that one rank alone may find
    for key, value in batch.items():
        for tensor in tensors_in(value):
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                return {"kind": "batch", "name": key}
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        return {"kind": "weights", "name": bad[0] + more}
    for name, value in trace.activations:
        if not _finite(value):
            return {"kind": "output", "name": name}
    for name, value in trace.losses.items():
        if "loss" in name and not _finite(value):
            return {"kind": "loss", "name": name}
    for name, value in flowing:
        if not _finite(float(value)):
            return {"kind": "gradient", "name": name}
    for name, value in trace.gradients:
        if not _finite(value):
            return {"kind": "gradient", "name": name}
    return None


@torch.no_grad()
def _bad_weights(model: nn.Module) -> list[str]:
    """The names of the parameters that are not finite; where they are sharded, every rank must ask."""
    named = list(model.named_parameters())
    if not named:
        return []
    good = torch.stack([torch.isfinite(local_part(p)).all() for _, p in named]).float()
    if any(is_sharded(p) for _, p in named):
        dist.all_reduce(good, dist.ReduceOp.MIN)
    return [name for (name, _), fine in zip(named, good.tolist(), strict=True) if not fine]


def statistics(batch: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the tensors of a batch hold: shape, smallest and largest value, mean, spread, how many are not
    finite; of whole numbers how often each comes."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in batch.items():
        for tensor in tensors_in(value):
            entry: dict[str, Any] = {"shape": list(tensor.shape), "dtype": str(tensor.dtype)}
            if tensor.is_floating_point():
                finite = tensor[torch.isfinite(tensor)].float()
                entry["not_finite"] = tensor.numel() - finite.numel()
                if finite.numel():
                    entry["min"], entry["max"] = float(finite.min()), float(finite.max())
                    entry["mean"], entry["std"] = float(finite.mean()), float(finite.std(correction=0))
            else:
                values, counts = torch.unique(tensor, return_counts=True)
                entry["counts"] = dict(zip(values.tolist(), counts.tolist(), strict=True))
            found[key] = entry
    return found


def largest(pairs: list[tuple[str, float]], number: int = _SHOWN) -> list[tuple[str, float]]:
    """The entries of the largest values, those that are not finite first, in their order."""
    order = sorted(pairs, key=lambda pair: (_finite(pair[1]), -pair[1] if _finite(pair[1]) else 0.0))
    return order[:number]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


def _finite(value: float) -> bool:
    return value - value == 0
